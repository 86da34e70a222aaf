"""How exactly matrix products of float32 are computed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from bpnet.common.checks import check_choice

# From the most exact to the least.
PRECISIONS = ("highest", "high", "medium")

_wanted: ContextVar[str] = ContextVar("matmul_precision", default="highest")


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Allow faster and coarser products of float32 inside a block.

    Everything else stays in float32, and so do weights, activations and gradients: only the
    factors of a product are rounded as it is computed, and its sums are taken in float32. The
    choice is local to the thread and to the asyncio task that made it; where threads differ
    at the same time, the most exact choice holds on PyTorch, which has one for the process.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        "highest", the default outside of blocks, multiplies float32 as it is: a rounding of
        2^-24 for each factor. "high" allows TensorFloat-32, 2^-11; "medium" allows bfloat16,
        2^-9. The words are PyTorch's.

    Raises
    ------
    ValueError
        If the precision is none of these.

    Notes
    -----
    It allows, and does not ask for: a device without such units, NumPy, and products of
    float64 stay as they are. CuPy is the exception, as it has a choice of its own: the
    environment variable ``CUPY_TF32=1``, read when it is imported.

    :func:`bpnet.parity` promises what it does for "highest" alone.

    Examples
    --------
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)], "binary_crossentropy")
    >>> X, y = bpnet.datasets.make_spiral()
    >>> with bpnet.matmul_precision("high"):
    ...     history = net.fit(X, y, epochs=1)
    """
    token = _wanted.set(check_choice("precision", precision, PRECISIONS))
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted_precision() -> str:
    """Give the choice of the innermost :func:`matmul_precision` block."""
    return _wanted.get()
