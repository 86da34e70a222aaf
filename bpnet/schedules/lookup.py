"""What is accepted where a schedule is: a schedule, or a number."""

from __future__ import annotations

from bpnet.common.checks import (
    check_number,
)
from bpnet.schedules.base import Schedule
from bpnet.schedules.decay import Constant

# How to write a schedule that someone has given by a name.
_EXAMPLES = {
    "coslog": "CosLog(0.01, epochs=100)",
    "flat": "FlatCosine(0.01, epochs=100)",
    "cycl": "OneCycle(0.01, epochs=100)",
    "restart": "CosineRestarts(0.01, epochs=10)",
    "sgdr": "CosineRestarts(0.01, epochs=10)",
    "cos": "Cosine(0.01, epochs=100)",
    "step": "Step(0.01, every=10)",
    "exp": "Exponential(0.01, factor=0.95)",
    "inv": "InverseScaling(0.01)",
    "warm": "WarmUp(0.01, epochs=5)",
    "plateau": "ReduceOnPlateau(0.01, 'val_loss')",
    "adaptive": "ReduceOnPlateau(0.01, 'val_loss')",
    "const": "Constant(0.01)",
    "": "Cosine(0.01, epochs=100)",
}


def example(name: str) -> str:
    """Return how to write the schedule that a name may stand for."""
    return f"bpnet.schedules.{next(c for word, c in _EXAMPLES.items() if word in name.lower())}"


def check_value(
    name: str, value: float | Schedule, minimum: float, *, above: bool = False
) -> float | Schedule:
    """Return a schedule, or a number in a range; the error for a name says how to write it."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, str):
        raise TypeError(
            f"{name} must be a number, got {value!r} (str); a schedule is given as "
            f"{example(value)}"
        )
    return check_number(name, value, minimum, above=above)


def get(learning_rate: float | Schedule, argument: str = "learning_rate") -> Schedule:
    """Return a schedule; a number becomes a Constant. Errors name the parameter `argument`."""
    value = check_value(argument, learning_rate, 0.0, above=True)
    return value if isinstance(value, Schedule) else Constant(value)
