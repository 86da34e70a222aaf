"""NumPy's files and libsvm as frames; no pickle is read, as it could run code."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from bpnet.cli.failures import UserError
from bpnet.common.streams import one_line

# The name of the labels in a libsvm file.
LABEL = "target"
# Numbers of a dense table, 2 GiB.
_MOST = 2**28


def _read_npy(path: str, needed: tuple[str, ...]) -> Any:
    """Return a matrix as columns named 0, 1, ..., or a structured array by its fields."""
    return _frame(path, _loaded(path))


def batches(path: str, rows: int) -> Iterator[Any]:
    """Yield the rows of a .npy file in frames of at most so many, in order."""
    array = _loaded(path)
    for start in range(0, max(1, len(array)) if array.ndim else 1, rows):
        yield _frame(path, array[start : start + rows] if array.ndim else array)


def _frame(path: str, array: Any) -> Any:
    """Return an array as a frame."""
    if array.dtype.names:
        return pl.DataFrame(
            {name: _column(path, name, array[name]) for name in array.dtype.names}
        )
    if array.ndim != 2:
        raise UserError(
            f"{path!r} holds an array of shape {array.shape}, but a table has rows and columns"
        )
    return _matrix(path, "", array)


def _read_npz(path: str, needed: tuple[str, ...]) -> Any:
    """Return each vector as a column, and each matrix X as X_0, X_1, ..."""
    arrays = _loaded(path)
    if isinstance(arrays, np.ndarray):
        raise UserError(f"{path!r} is no .npz file, but a single array; name it .npy")
    try:
        with arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, zipfile.BadZipFile, OSError) as error:
        raise _unreadable(path, error) from None
    sizes = {name: len(array) for name, array in found.items() if array.ndim in (1, 2)}
    if len(sizes) < len(found) or len(set(sizes.values())) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in found.items())
        raise UserError(
            f"{path!r} must hold vectors and matrices of equally many rows, got "
            f"{shapes or 'none'}"
        )
    columns: dict[str, Any] = {}
    for name, array in found.items():
        if array.ndim == 1:
            columns[name] = _column(path, name, array)
        else:
            columns |= _matrix(path, f"{name}_", array).to_dict()
    return pl.DataFrame(columns)


def _read_libsvm(path: str, needed: tuple[str, ...]) -> Any:
    """Return the labels as column "target", and the features by their numbers from 1."""
    from sklearn.datasets import load_svmlight_file

    wanted = [int(name) for name in needed if name.isdecimal()]
    try:
        X, y = load_svmlight_file(path, zero_based="auto")
        if wanted and max(wanted) > X.shape[1]:
            X, y = load_svmlight_file(path, n_features=max(wanted), zero_based="auto")
    except (ValueError, OSError) as error:
        raise UserError(
            f"cannot read {path!r} as libsvm (label number:value ...): "
            f"{one_line(str(error))[:150]}"
        ) from None
    if X.shape[0] * X.shape[1] > _MOST:
        raise UserError(
            f"{path!r} has {X.shape[0]:,} rows of {X.shape[1]:,} features, too many for the "
            f"dense table that is trained on; use bpnet.MLPClassifier, which takes sparse ones"
        )
    dense = X.toarray()
    features = {str(number): dense[:, number - 1] for number in range(1, X.shape[1] + 1)}
    return pl.DataFrame({LABEL: y} | features)


READERS: Mapping[str, Callable[[str, tuple[str, ...]], Any]] = {
    "npy": _read_npy, "npz": _read_npz, "libsvm": _read_libsvm,
}  # fmt: skip


def _loaded(path: str) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> UserError:
    if re.search("pickle|Python objects", str(error)):
        return UserError(
            f"{path!r} holds Python objects (a pickle), which could run code and are not "
            f"read; save arrays of numbers or text"
        )
    return UserError(f"cannot read {path!r}: {one_line(str(error))[:200]}")


def _matrix(path: str, prefix: str, array: Any) -> Any:
    return pl.DataFrame(
        {
            f"{prefix}{number}": _column(path, f"{prefix}{number}", array[:, number])
            for number in range(array.shape[1])
        }
    )


def _column(path: str, name: str, array: Any) -> Any:
    """Return a column that polars can hold."""
    if array.ndim != 1 or array.dtype.kind not in "biufUSMm":
        raise UserError(
            f"{path!r} holds {array.dtype} of shape {array.shape} as {name!r}; a column is a "
            f"vector of numbers, text or dates"
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return pl.Series(name, np.ascontiguousarray(array))
