"""Whether all of many arrays is finite, from one sum that each backend computes in its way."""

from __future__ import annotations

import math

import numpy as np
import pytest

# Two infinities of opposite sign must not cancel.
BAD = ({5: np.nan}, {5: np.inf}, {5: -np.inf}, {5: np.inf, 7: -np.inf})


def arrays(backend, bad):
    values = np.linspace(-2.0, 2.0, 12, dtype="float32")
    for place, value in bad.items():
        values[place] = value
    parts = np.asarray(0.25, "float32"), values[:4].reshape(2, 2), values[4:6], values[6:]
    return [backend.asarray(part) for part in parts]


def sums(backend, given):
    with backend.activate(), np.errstate(invalid="ignore"):
        brief = backend.first_and_sum(given)
        copied, _ = backend.snapshot(given)
        return [backend.to_numpy(found).tolist() for found in (brief, copied)]


def test_the_sum_of_finite_arrays_is_finite_and_the_first_is_returned(backend):
    for first, total in sums(backend, arrays(backend, {})):
        assert first == 0.25
        assert math.isfinite(total)


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_the_sum_is_not_finite_if_an_element_is_not(bad, backend):
    for first, total in sums(backend, arrays(backend, bad)):
        assert first == 0.25
        assert not math.isfinite(total)
