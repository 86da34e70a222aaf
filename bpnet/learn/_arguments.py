"""Checks of what experiments are told, before they compute anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpnet import activations
from bpnet.backend.memory import check_room
from bpnet.common.checks import check_integer, check_number, check_text


def at_least(minimum: int) -> Callable[[str, Any], int]:
    """Give a check of integers of at least `minimum`."""
    return lambda name, value: check_integer(name, value, minimum)


def check_positive(name: str, value: Any) -> float:
    """Give `value` as a finite float above 0."""
    return check_number(name, value, 0.0, above=True)


def check_activation(name: str, value: Any) -> str:
    """Give the name of an activation."""
    return activations.get(check_text(name, value)).name


def check_width(width: Any) -> int:
    """Give a number of units, for whose weights there is memory."""
    units: int = check_integer("width", width, 1)
    check_room("width", units, 8 * units * units)
    return units
