"""What a command prints: words for people, or one JSON document for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from bpnet.common.streams import complain
from bpnet.common.tables import align


class Output:
    """The streams of a command.

    Parameters
    ----------
    as_json : bool
        Whether stdout is for one JSON document; everything else then goes to stderr.
    is_silent : bool, default False
        Whether to print nothing, as another process of the same command does.
    """

    def __init__(self, as_json: bool, is_silent: bool = False) -> None:
        self.as_json, self.is_silent = as_json, is_silent

    def say(self, text: str = "") -> None:
        """Print text for people."""
        if self.is_silent:
            return
        if not self.as_json:
            print(text, flush=True)
        elif sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows of words in columns."""
        if rows:
            self.say("\n".join(align(rows)))

    def note(self, text: str) -> None:
        """Print one line on stderr."""
        if not self.is_silent:
            complain(text)

    def document(self, value: Any) -> None:
        """Print the JSON document, if it is asked for."""
        if self.as_json:
            print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return a value as JSON has it: what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def number(value: float) -> str:
    """Return a number in four significant digits or all of its whole ones, "-" for NaN."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.4g}"
