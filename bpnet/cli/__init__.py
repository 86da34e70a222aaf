"""The command ``bpnet``."""

from bpnet.cli.main import main

__all__ = ["main"]
