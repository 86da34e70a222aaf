"""The backends of bpnet, one module per array library.

A backend is found through the entry-point group ``bpnet.backends``, and imported only when it
is chosen.
"""
