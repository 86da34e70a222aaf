"""What can be recorded of a function of arrays, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from bpnet_backends.capture.numpy_ops import _UFUNCS, NumpyLibrary
from bpnet_backends.capture.tracer import Recording, RecordingNamespace, UnrecordableError

import bpnet


def recorded():
    library = NumpyLibrary()
    recording = Recording(library, bpnet.get_backend("numpy").xp)
    return RecordingNamespace(recording), recording.value(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "look",
    [bool, int, float, complex, str, repr, format, len, iter, np.asarray, hash],
    ids=lambda look: look.__name__,
)
def test_numbers_are_not_looked_at(look):
    _, x = recorded()
    with pytest.raises((UnrecordableError, TypeError)):
        look(x)


def test_arrays_from_elsewhere_are_refused():
    xp, x = recorded()
    for operation in (
        lambda: x + np.ones(3),
        lambda: xp.maximum(x, np.ones(3)),
        lambda: xp.concat([x, x]),
        lambda: xp.unstack(x),
    ):
        with pytest.raises(UnrecordableError):
            operation()


def test_values_know_their_shape():
    xp, x = recorded()
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float64)
    assert x.T.shape == (3, 2)
    assert x[0, :].shape == (3,)
    assert x.device == "cpu"
    assert xp.float32 is np.float32
    assert xp.finfo(x.dtype).bits == 64


@pytest.mark.parametrize("name", sorted(_UFUNCS))
def test_ufuncs_write_into_memory_without_a_warning(name):
    """What warned while it was recorded would be taken for one that needs a new array."""
    kind = {"bitwise": "int64", "logical": "bool"}.get(name.partition("_")[0], "float64")
    recording = Recording(NumpyLibrary(), bpnet.get_backend("numpy").xp)
    x = recording.value(np.ones(3, kind))
    getattr(RecordingNamespace(recording), name)(*[x] * _UFUNCS[name].nin)
    assert [op.in_place for op in recording.operations] == [True]
