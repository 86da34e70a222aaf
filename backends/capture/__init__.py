"""Trace a training step once, then replay it in place, fused, or as a CUDA graph.

`tracer` records the operations of a step, `graph` plans their memory, and `executor` runs the
graph. `horizontal_fusion` updates small parameters together, `kernel_fusion` compiles each
elementwise group to one kernel, and `verify` checks captures before they are used. `ops` is the
interface to an array library; each library implements it in a module of its own.
"""
