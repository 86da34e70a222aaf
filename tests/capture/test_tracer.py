"""What a trace of a function records, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from bpnet_backends.capture.numpy_ops import _UFUNCS, NumpyOps
from bpnet_backends.capture.tracer import Trace, TracingError, TracingNamespace
from numpy.testing import assert_array_equal

import bpnet


def traced():
    trace = Trace(NumpyOps(), bpnet.get_backend("numpy").xp)
    return TracingNamespace(trace), trace.add(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "look",
    [bool, int, float, complex, str, repr, format, len, iter, np.asarray, hash],
    ids=lambda look: look.__name__,
)
def test_values_cannot_be_read(look):
    _, x = traced()
    with pytest.raises((TracingError, TypeError)):
        look(x)


def test_arrays_that_are_not_arguments_are_refused():
    xp, x = traced()
    for operation in (
        lambda: x + np.ones(3),
        lambda: xp.maximum(x, np.ones(3)),
        lambda: xp.concat([x, np.ones((2, 3))]),
        lambda: xp.broadcast_arrays([x, x]),
        lambda: xp.unstack(x),
    ):
        with pytest.raises(TracingError):
            operation()


def test_arrays_that_are_joined_are_recorded_one_by_one():
    xp, x = traced()
    for name, options in (("concat", {"axis": 1}), ("stack", {})):
        joined = getattr(xp, name)([x, x], **options)
        operation = x.trace.operations[-1]
        assert operation.name == name
        assert operation.operands == [x.index, x.index]
        assert not operation.is_view
        result = operation.function(x.array, x.array, **operation.options)
        assert_array_equal(joined.array, result)
        assert operation.in_place == (name == "concat")


def test_traced_arrays_know_their_shape():
    xp, x = traced()
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float64)
    assert x.T.shape == (3, 2)
    assert x[0, :].shape == (3,)
    assert x.device == "cpu"
    assert xp.float32 is np.float32
    assert xp.finfo(x.dtype).bits == 64


@pytest.mark.parametrize("name", sorted(_UFUNCS))
def test_ufuncs_write_into_memory_without_a_warning(name):
    """A ufunc that warns while it is traced would count as one that needs a new array."""
    kind = {"bitwise": "int64", "logical": "bool"}.get(name.partition("_")[0], "float64")
    trace = Trace(NumpyOps(), bpnet.get_backend("numpy").xp)
    x = trace.add(np.ones(3, kind))
    getattr(TracingNamespace(trace), name)(*[x] * _UFUNCS[name].nin)
    assert [op.in_place for op in trace.operations] == [True]
