"""Parameters copied to NumPy arrays, to compare them."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal


def host(backend, parameters):
    """Return the parameters as one dict per layer."""
    return [
        {name: np.array(backend.to_numpy(p)) for name, p in layer.items()}
        for layer in parameters
    ]


def flat(backend, parameters):
    """Return the parameters as a flat list."""
    return [p for layer in host(backend, parameters) for p in layer.values()]


def assert_same(arrays, expected):
    for p, q in zip(arrays, expected, strict=True):
        assert_array_equal(p, q)
