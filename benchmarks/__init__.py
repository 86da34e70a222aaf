"""Benchmarks of bpnet against its peers: ``python -m benchmarks --help``."""
