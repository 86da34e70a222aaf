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
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """Print text for people."""
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
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
