"""Numbers of things in words: "1 epoch", "2 epochs"."""

from __future__ import annotations


def number_of(count: float, noun: str, plural: str | None = None) -> str:
    """Return a number and a noun, in the plural (by default with an "s") unless it is 1."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
