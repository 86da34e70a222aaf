"""Capture a training step once, and run what it does in place, fused, or as a CUDA graph.

`tracer` records the operations of a step, `graph` gives each result its memory, `executor`
runs the graph on the arrays of the moment. `horizontal_fusion` updates small parameters
together, `kernel_fusion` writes elementwise groups as one kernel, and `verify` tries what
they make before it is trusted. `ops` says what they ask of an array library; each library's
answer is a file of its own.
"""
