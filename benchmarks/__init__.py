"""Measurements of bpnet beside its peers: ``python -m benchmarks --help``."""
