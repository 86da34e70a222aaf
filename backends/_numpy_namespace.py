"""NumPy's Array API namespace, with matrix products that take as many threads as pay off."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat.numpy import *  # noqa: F403

from .capture.numpy_products import product


def matmul(x1: Any, x2: Any, /, **options: Any) -> Any:
    """Return the matrix product."""
    if options or not (isinstance(x1, np.ndarray) and isinstance(x2, np.ndarray)):
        return np.matmul(x1, x2, **options)
    return product(x1, x2)(x1, x2)
