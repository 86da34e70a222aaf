"""The version of bpnet."""

__version__ = "0.1.0"
