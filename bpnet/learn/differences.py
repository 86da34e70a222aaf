"""Finite differences, in the plainest form: to look at, and to grade exercises with.

For a check of a network :func:`bpnet.check_gradients` has the rules that make it reliable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bpnet.backend.typing import Parameters
from bpnet.network import Network, clone

# Central differences err by h^2 f'''/6 + eps f/h: least for h near eps^(1/3).
STEP = float(np.finfo(np.float64).eps) ** (1.0 / 3.0)


def numerical_gradient(f: Callable[[Any], float], x: Any, h: float = STEP) -> Any:
    """Compute df/dx of each element by central differences, (f(x + h) - f(x - h)) / 2h.

    Parameters
    ----------
    f : callable
        A function of an array that gives a number.
    x : numpy.ndarray
        Where; it is not changed.
    h : float
        Step, in units of x.

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
    """Compute dL/dp of every parameter of a network by central differences, on the host."""
    other = clone(net)
    start = [
        {name: np.array(other.backend.to_numpy(p)) for name, p in layer.items()}
        for layer in other.parameters
    ]

    def loss(number: int, name: str, value: Any) -> float:
        moved = list(start)
        moved[number] = start[number] | {name: value}
        other.parameters = moved
        return other.evaluate(X, y)["loss"]

    return [
        {
            name: numerical_gradient(functools.partial(loss, number, name), p, h)
            for name, p in layer.items()
        }
        for number, layer in enumerate(start)
    ]
