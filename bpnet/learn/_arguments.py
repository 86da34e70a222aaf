"""Validation of the arguments of experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpnet import activations
from bpnet.backend.memory import check_room
from bpnet.common.checks import check_integer, check_number, check_text


def at_least(minimum: int) -> Callable[[str, Any], int]:
    """Return a check for integers >= `minimum`."""
    return lambda name, value: check_integer(name, value, minimum)


def check_positive(name: str, value: Any) -> float:
    """Return `value` as a finite float > 0."""
    return check_number(name, value, 0.0, above=True)


def check_activation(name: str, value: Any) -> str:
    """Return the name of an activation."""
    return activations.get(check_text(name, value)).name


def check_width(width: Any) -> int:
    """Return a number of units, after checking that the weights fit in memory."""
    units: int = check_integer("width", width, 1)
    check_room("width", units, 8 * units * units)
    return units
