"""Parameter validation: errors name the argument, the given value and what is allowed."""

from __future__ import annotations

import inspect
import itertools
import math
import os
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from bpnet.common.suggestions import did_you_mean

Value = TypeVar("Value")


def check_integer(name: str, value: Any, minimum: float) -> int:
    """Return `value` as an int >= `minimum`; bools are rejected."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {described(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {value}")
    return int(value)


def check_number(
    name: str,
    value: Any,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
) -> float:
    """Return `value` as a finite float in a range; `above` and `below` exclude its limits."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {described(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond the largest float
        number = math.inf
    too_low = number <= minimum if above else number < minimum
    too_high = number >= maximum if below else number > maximum
    if not math.isfinite(number) or too_low or too_high:
        limits = []
        if minimum > -math.inf:
            limits.append(f"{'>' if above else '>='} {minimum:g}")
        if maximum < math.inf:
            limits.append(f"{'<' if below else '<='} {maximum:g}")
        allowed = f" {' and '.join(limits)}" if limits else ""
        raise ValueError(f"{name} must be a finite number{allowed}, got {value!r}")
    return number


def check_flag(name: str, value: Any) -> bool:
    """Return `value`, which must be True or False, as a bool."""
    if not isinstance(value, bool | np.bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return `value`, which must be one of the allowed strings."""
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be a string, one of {', '.join(allowed)}; got {described(value)}"
        )
    if value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(allowed)}; got {value!r}"
            f"{did_you_mean(value, allowed)}"
        )
    return value


def check_text(name: str, value: Any) -> str:
    """Return `value`, which must be a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {described(value)}")
    return value


def check_path(name: str, value: Any) -> str:
    """Return a path as a string."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a str or a Path, got {value!r}")
    path = os.fsdecode(value)
    if "\0" in path:
        raise ValueError(f"{name} must have no NUL character, got {path!r}")
    return path


def check_file(name: str, value: Any) -> str:
    """Return the path of a file from the root, where it stays if the program moves on."""
    path = check_path(name, value)
    if not os.path.basename(path):
        raise ValueError(f"{name} must name a file, got {path!r}")
    return os.path.abspath(path)


def check_sequence(
    name: str,
    values: Any,
    check: Callable[[str, Any], Value],
    minimum: int = 1,
    *,
    rising: bool = False,
) -> list[Value]:
    """Return a sequence as a list, after checking each value."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence, got {described(values)}")
    checked: list[Any] = [check(name, value) for value in values]
    pairs = itertools.pairwise(checked)
    if len(checked) < minimum or (rising and not all(a < b for a, b in pairs)):
        order = ", rising" if rising else ""
        raise ValueError(f"{name} must have {minimum} or more values{order}; got {checked}")
    return checked


def described(value: Any) -> str:
    """Return a value with its type for an error."""
    if isinstance(value, type):
        return kind_of(value)
    return f"{value!r} ({kind_of(value)})"


def instance_hint(value: Any, base: type, arguments: str = "") -> str:
    """Return "; pass an instance, ..." if a class was passed instead of an instance, or ""."""
    if not isinstance(value, type) or not issubclass(value, base):
        return ""
    return f"; pass an instance, {value.__name__}({arguments})"


def kind_of(value: Any) -> str:
    """Describe the type of a value for an error, telling a class from its instances."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return type(value).__name__


def fits(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> bool:
    """Whether a function takes these arguments; True if Python cannot tell."""
    try:
        inspect.signature(function).bind(*arguments, **keywords)
    except TypeError:
        return False
    except ValueError:  # a function written in C has no signature
        return True
    return True
