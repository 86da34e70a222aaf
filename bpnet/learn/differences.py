"""Finite differences in their simplest form, for demonstrations and for grading exercises.

To check a network, use the more reliable :func:`bpnet.check_gradients`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bpnet.backend.typing import Parameters
from bpnet.network import Network

# The error of central differences, h^2 f'''/6 + eps f/h, is smallest near h = eps^(1/3).
STEP = float(np.finfo(np.float64).eps) ** (1.0 / 3.0)


def numerical_gradient(f: Callable[[Any], float], x: Any, h: float = STEP) -> Any:
    """Return df/dx of a scalar function by central differences, (f(x + h) - f(x - h)) / 2h.

    The array x is not changed; h is in units of x.

    Examples
    --------
    >>> import numpy as np
    >>> numerical_gradient(lambda x: float(np.sum(x**2)), np.array([1.0, 3.0])).round(6)
    array([2., 6.])
    """
    gradient = np.zeros(np.shape(x))
    for index in np.ndindex(gradient.shape):
        high, low = np.array(x), np.array(x)
        high[index] += h
        low[index] -= h
        gradient[index] = (f(high) - f(low)) / (2.0 * h)
    return gradient


def numerical_gradients(net: Network, X: Any, y: Any, h: float = STEP) -> Parameters:
    """Return dL/dp of every parameter of a network by central differences, on the host."""
    copy = net.replace()
    start = [
        {name: np.array(copy.backend.to_numpy(p)) for name, p in layer.items()}
        for layer in copy.parameters
    ]

    def loss(number: int, name: str, value: Any) -> float:
        moved = list(start)
        moved[number] = start[number] | {name: value}
        copy.parameters = moved
        return copy.evaluate(X, y)["loss"]

    return [
        {
            name: numerical_gradient(functools.partial(loss, number, name), p, h)
            for name, p in layer.items()
        }
        for number, layer in enumerate(start)
    ]
