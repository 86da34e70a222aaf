"""Text tables."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, width: int) -> str:
    """Return a text of at most so many characters; "..." stands for what was left out."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of words in columns, three spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
