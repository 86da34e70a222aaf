"""The backends of bpnet, one module per array library.

Backends are found through the entry-point group ``bpnet.backends``, and imported when first
used.
"""
