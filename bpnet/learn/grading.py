"""Explain a wrong array: transposed, a wrong sign, a missing 1/m, or a common mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

_TOLERANCE = 1e-6


class Quantity(NamedTuple):
    """A quantity computed by an answer, and what it should be."""

    name: str
    got: Any  # the answer's result
    want: Any  # bpnet's result
    reference: Any  # finite differences, or `want`; errors are measured against it
    mistakes: Mapping[str, Any]  # hint: result of a common mistake
    m: int  # number of examples, to recognize a missing 1/m


class Mark(NamedTuple):
    """The grade of one quantity."""

    name: str
    error: float | None  # relative to the largest value; None if it cannot be compared
    hint: str | None  # what is wrong; None if nothing is


def marked(quantity: Quantity) -> Mark:
    """Compare a quantity with what it should be, and explain what is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> right = np.array([[1.0, 2.0, 3.0]])
    >>> marked(Quantity("dW", -right, right, right, {}, 5)).hint
    'the sign is wrong'
    >>> marked(Quantity("dW", right.T, right, right, {}, 5)).hint
    'transposed: it has shape (3, 1), right is (1, 3)'
    """
    name, want = quantity.name, quantity.want
    if quantity.got is Ellipsis:
        return Mark(name, None, "not written yet")
    if quantity.got is None:
        return Mark(name, None, "is None: return it")
    try:
        got = np.asarray(quantity.got, dtype=float)
    except (TypeError, ValueError):
        kind = type(quantity.got).__name__
        return Mark(name, None, f"is a {kind}, not an array of shape {want.shape}")
    if got.shape != want.shape:
        return Mark(name, None, _explain_shape(got, quantity))
    if not np.isfinite(got).all():
        return Mark(name, None, "has values that are not finite")
    scale = float(np.abs(quantity.reference).max())
    error = float(np.abs(got - quantity.reference).max()) / scale
    return Mark(name, error, None if error <= _TOLERANCE else _explain(got, quantity))


def _explain_shape(got: Any, quantity: Quantity) -> str:
    want = quantity.want
    shapes = f"it has shape {got.shape}, right is {want.shape}"
    for mistake, wrong in quantity.mistakes.items():
        if _same(got, wrong):
            return f"{mistake}; {shapes}"
    if got.shape == want.T.shape:
        further = "" if _same(got.T, want) else f"; besides, {_explain(got.T, quantity)}"
        return f"transposed: {shapes}{further}"
    if _same(got.ravel(), want.ravel()):
        return f"the right numbers in the wrong shape: {shapes}"
    return shapes


def _explain(got: Any, quantity: Quantity) -> str:
    want, m = quantity.want, quantity.m
    for mistake, wrong in quantity.mistakes.items():
        if _same(got, wrong):
            return mistake
    if _same(got.T, want):
        return "transposed"
    factor = _factor(got, want)
    if factor is not None:
        return _factor_in_words(factor, m)
    for mistake, wrong in quantity.mistakes.items():
        if got.shape == wrong.shape and (factor := _factor(got, wrong)) is not None:
            return f"{mistake}; besides, {_factor_in_words(factor, m)}"
    worst = np.unravel_index(int(np.argmax(np.abs(got - want))), want.shape)
    place = ", ".join(map(str, worst))
    return f"element [{place}] is {got[worst]:.4g}, right is {want[worst]:.4g}"


def _same(got: Any, want: Any) -> bool:
    if got.shape != want.shape:
        return False
    scale = float(np.abs(want).max())
    return bool(np.abs(got - want).max() <= _TOLERANCE * scale)


def _factor(got: Any, want: Any) -> float | None:
    """Return the factor between got and want, if there is one."""
    norm = float(np.sum(want * want))
    factor = float(np.sum(got * want)) / norm if norm else 0.0
    return factor if factor and _same(got, factor * want) else None


def _factor_in_words(factor: float, m: int) -> str:
    sign = "the sign is wrong" if factor < 0.0 else ""
    size = abs(factor)
    if np.isclose(size, 1.0):
        return sign
    if np.isclose(size, m):
        words = f"it is m = {m} times too large: 1/m is missing"
    elif np.isclose(size, 1.0 / m):
        words = f"it is m = {m} times too small: divided by m once too often"
    else:
        words = f"it is {size:.4g} times what is right"
    return f"{words}, and {sign}" if sign else words
