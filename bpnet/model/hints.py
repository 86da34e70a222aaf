"""What helps when a user's own component fails or returns what it may not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from bpnet.backend.typing import Array, LayerParameters
from bpnet.errors import ComponentError

WIDTH = "a layer of another width than its input defines n_outputs(self, n_inputs)"
PREVIOUS = "it has the shape of the layer's input, one derivative for each of its elements"
_TRACED = (
    "; JAX calls it with arrays that have no values yet: compute with functions of xp instead "
    "of NumPy's and Python's, choose with xp.where instead of if, and look for other mistakes "
    "with run_eagerly=True"
)


def missing_return(result: Any) -> str:
    """Return the likely reason of a result that is no array."""
    return "is there no return statement?" if result is None else ""


@contextlib.contextmanager
def noted(
    where: str, takes: str, parameters: LayerParameters, **arrays: Array
) -> Iterator[None]:
    """Add to an error of a component's method how it is called, with which shapes.

    The note follows the error in its traceback; type and message stay what they are.
    """
    try:
        yield
    except ComponentError:
        raise
    except Exception as error:
        given = _shapes(arrays)
        own = f"; parameters: {_shapes(parameters) or 'none'}" if "parameters" in takes else ""
        traced = _TRACED if type(error).__module__.startswith("jax.") else ""
        error.add_note(f"in {where}, which is called as {takes} with {given}{own}{traced}")
        raise


def _shapes(arrays: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
