"""How the one backpropagation of bpnet runs on each array library.

Each module holds one backend, is found through the entry-point group ``bpnet.backends``
and is imported only when that backend is chosen.
"""
