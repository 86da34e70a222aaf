"""The precision of float32 matrix products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from bpnet.common.checks import check_choice

# From the most to the least precise.
PRECISIONS = ("highest", "high", "medium")

_wanted: ContextVar[str] = ContextVar("matmul_precision", default="highest")


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Allow faster, less precise float32 matrix products inside a block.

    Weights, activations, gradients and all other operations stay in float32: only the factors
    of a product are rounded, and it is accumulated in float32. The setting is local to the
    thread and the asyncio task. PyTorch and CuPy have one setting per process, so there the
    most precise setting of concurrent threads is used.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        "highest", the default outside of blocks, is full float32: a rounding error of 2^-24
        per factor. "high" allows TensorFloat-32, 2^-11; "medium" allows bfloat16, 2^-9, where
        the library has it (CuPy does not). The names are PyTorch's.

    Raises
    ------
    ValueError
        If the precision is none of these.

    Notes
    -----
    Devices without such units, NumPy, and float64 products are not affected. What the program
    has set otherwise (such as ``torch.set_float32_matmul_precision``, or the environment
    variable ``CUPY_TF32``) does not reach bpnet, and is restored after each call. A callback
    runs inside bpnet's setting.

    The tolerances of :func:`bpnet.parity` hold for "highest" only.

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
    """Return the precision of the innermost :func:`matmul_precision` block."""
    return _wanted.get()
