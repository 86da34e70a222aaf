"""Validation of user data, before anything is computed or changed.

Host data becomes NumPy arrays; arrays of a device library stay on their device. Errors name
the argument, the given value and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.compat import array_namespace, is_array
from bpnet.backend.float_errors import without_float_errors
from bpnet.backend.registry import backend_of
from bpnet.backend.transfer import device_context, to_device, to_host
from bpnet.backend.typing import Array
from bpnet.common.checks import kind_of
from bpnet.common.plurals import number_of
from bpnet.data import deferred, frames, missing
from bpnet.data.dataset import Dataset
from bpnet.losses import Loss
from bpnet.losses.masked import is_there, without_missing

# Elements of features up to which a cheap check pays.
PLAIN_SIZE = 2**12
# Elements up to which an array of a device is looked at on the host, which takes no longer, and
# JAX would compile that anew for each shape.
HOST_SIZE = 2**15
_FLOATS = (np.dtype("float32"), np.dtype("float64"))
_LARGEST = {dtype.name: float(np.finfo(dtype).max) for dtype in _FLOATS}


def check_features(X: Any, dtype: str, n_inputs: int | None) -> tuple[Array, Backend | None]:
    """Check features; return them and their backend (None for host arrays)."""
    owner = backend_of(X=X)
    with device_context(owner):
        return as_features(X, dtype, n_inputs), owner


def plain_features(X: Any, dtype: str, n_inputs: int | None) -> Array | None:
    """Return a few rows in `dtype` if they are finite floats in a NumPy array.

    None means that they must be looked at more closely: that says nothing of whether they are
    valid. For a single row this takes 2 us instead of 20.
    """
    if (
        type(X) is not np.ndarray
        or X.ndim != 2
        or X.shape[1] != n_inputs
        or not 0 < X.size <= PLAIN_SIZE
        or X.dtype not in _FLOATS
        or not float(np.vdot(X, X)) <= _LARGEST[dtype]  # false of NaN, too
    ):
        return None
    if X.dtype == dtype:
        return X
    with without_float_errors():
        return X.astype(dtype)


def check_data(
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    dtype: str,
    n_inputs: int | None,
    n_outputs: int,
    loss: Loss,
    suffix: str = "",
    part: bool = False,
) -> Dataset:
    """Check features, targets and weights; errors append `suffix` to the argument names.

    The weights of a `part` of the examples may all be 0.
    """
    names = {"X": f"X{suffix}", "y": f"y{suffix}", "w": f"sample_weight{suffix}"}
    owner = backend_of(**{names["X"]: X, names["y"]: y, names["w"]: sample_weight})
    with device_context(owner):
        X = as_features(X, dtype, n_inputs, names["X"])
        y = as_targets(y, X.shape, n_outputs, loss, dtype, names["y"])
        w = as_weights(sample_weight, X.shape[0], dtype, names["w"], part=part)
        if owner is not None:  # host arrays move to the backend of the device arrays
            X, y, w = (a if a is None else to_device(a, owner) for a in (X, y, w))
        if loss.accepts_missing and not part:
            w = _of_rows_with_targets(names["y"], y, w)
    return Dataset(X, y, w, owner, dtype)


def as_features(X: Any, dtype: str, n_inputs: int | None = None, name: str = "X") -> Array:
    """Return a finite feature matrix (m, n_0) in `dtype`, a :class:`Deferred` if large."""
    given, X = X, as_array(name, X, dtype)
    if X.ndim != 2:
        raise ValueError(
            f"{name} must be 2-D (examples, features), got shape {tuple(X.shape)}"
            f"{_shape_hint(X.shape, n_inputs)}"
        )
    if 0 in X.shape:
        raise ValueError(
            f"{name} must have at least one example and one feature, got shape {tuple(X.shape)}"
        )
    if n_inputs is not None and X.shape[1] != n_inputs:
        raise ValueError(
            f"{name} must have {number_of(n_inputs, 'feature')}, as the network was built "
            f"with; got {X.shape[1]}{', but X.T has' if X.shape[0] == n_inputs else ''}"
        )
    return _as_finite(name, X, dtype, given, defer=True)


def as_targets(
    y: Any, of_X: tuple[int, ...], n_outputs: int, loss: Loss, dtype: str, name: str = "y"
) -> Array:
    """Return targets for features of a shape: labels (m,) as int64, others (m, n_L) floats."""
    m = of_X[0]
    given, y = y, as_array(name, y)
    if y.ndim not in (1, 2):
        raise ValueError(f"{name} must be 1-D or 2-D, got shape {tuple(y.shape)}")
    if y.shape[0] != m:
        raise ValueError(
            f"{name} must have one entry for each of {m} examples, got {y.shape[0]}"
            f"{_length_hint(y.shape, of_X)}"
        )
    if loss.targets == "labels" and (y.ndim == 1 or y.shape[1] == 1):
        return _as_labels(name, y, n_outputs)
    shape = (m, 1) if y.ndim == 1 else tuple(y.shape)
    n_targets = loss.n_targets(n_outputs)
    if shape[1] != n_targets:
        units = "unit" if n_targets == n_outputs else f"{n_outputs // n_targets} units"
        raise ValueError(
            f"{name} must have {n_targets} column(s), one for each {units} of the last Dense, "
            f"got shape {tuple(y.shape)}"
        )
    xp = array_namespace(y)
    may_miss = loss.accepts_missing and xp.isdtype(y.dtype, "real floating")
    hint = ""
    if loss.elementwise and not loss.accepts_missing:
        hint = "; if targets are missing, wrap the loss: bpnet.losses.Masked(loss)"
    finite = _as_finite(name, without_missing(xp, y) if may_miss else y, dtype, given, hint)
    _check_range(name, finite, loss)
    if may_miss:
        finite = xp.where(is_there(y), finite, xp.full_like(finite, xp.nan))
    return xp.reshape(finite, shape)


def _of_rows_with_targets(name: str, y: Array, w: Array | None) -> Array | None:
    """Return the weights, 0 in rows whose targets are all missing; None if all are 1."""
    xp = array_namespace(y)
    has_targets = xp.any(is_there(y), axis=1)
    if bool(xp.all(has_targets)):
        return w
    w = xp.astype(has_targets, y.dtype) if w is None else xp.where(has_targets, w, 0.0 * w)
    if not float(xp.sum(w)) > 0.0:
        raise ValueError(
            f"{name} must have a target that is not missing (NaN), in a row of weight > 0"
        )
    return w


def as_weights(
    w: Any, m: int, dtype: str, name: str = "sample_weight", *, part: bool = False
) -> Array | None:
    """Return sample weights (m,), >= 0, and not all 0 unless `part`; None stays None.

    Each is 0 or a normal number in `dtype`; :func:`vanish` says which become 0.
    """
    if w is None:
        return None
    given, w = w, as_array(name, w)
    if tuple(w.shape) != (m,):
        raise ValueError(f"{name} must have shape ({m},), got {tuple(w.shape)}")
    host = to_host(w)  # a device may compare subnormal numbers as if they were 0
    if bool((host < 0.0).any()):
        raise ValueError(f"{name} must be >= 0, got {float(host.min()):g}")
    smallest = vanish(name, host, dtype)
    w = _as_finite(name, w, dtype, given)
    xp = array_namespace(w)
    if smallest:
        w = xp.where(w < smallest, xp.zeros_like(w), w)
    with np.errstate(over="ignore"):
        total = float(xp.sum(w))
    if not (0.0 < total < math.inf or (part and total == 0.0)):
        raise ValueError(f"{name} must have a finite sum > 0 in {dtype}, got {total:g}")
    return w


def vanish(name: str, weights: Any, dtype: str) -> float:
    """Return the number below which host weights are 0 in `dtype`; 0.0 if none of them is.

    These are the subnormal numbers: they have few digits, and some libraries (XLA) flush them
    to 0. They may only be so many and so small that they do not change the sum of the weights.

    Raises
    ------
    ValueError
        If they would.
    """
    limits = np.finfo(dtype)
    smallest = float(limits.smallest_normal)
    too_small = weights[(weights > 0.0) & (weights < smallest)]
    if not too_small.size:
        return 0.0
    if smallest * too_small.size > float(limits.eps) * float(weights.max()):
        raise ValueError(
            f"{name} must be 0 or at least {smallest:.3g}, the smallest normal number of "
            f"{dtype}; got {float(too_small.min()):.3g}. Multiply all weights by a constant"
        )
    return smallest


def as_parameter(name: str, value: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """Return a finite array of the given shape in `dtype`, to replace a parameter."""
    value = as_array(name, value)
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(value.shape)}")
    with device_context(backend_of(value=value)):
        return _as_finite(name, value, dtype, value)


def as_array(name: str, value: Any, dtype: str | None = None) -> Array:
    """Return a numeric array: device arrays as they are, all other data as a NumPy array.

    A frame of columns of several dtypes becomes an array of `dtype` at once, if it is given.
    """
    if frames.is_tabular(value):
        return frames.as_numbers(name, value, dtype)
    refuse_special(name, value)
    if (dense := _sparse(value)) is not None:
        raise TypeError(f"{name} is sparse ({type(value).__name__}); pass {name}.{dense}()")
    if not is_array(value) or isinstance(value, np.ndarray):
        value = _as_numpy(name, value)
    xp = array_namespace(value)
    if not xp.isdtype(value.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    return value


def refuse_special(name: str, value: Any) -> None:
    """Reject masked arrays, whose mask would be ignored, and dtypes that NumPy lacks."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; fill it first: "
            f"{name}.filled(value)"
        )
    if isinstance(value, np.ndarray) and value.dtype.isbuiltin == 2:  # as of ml_dtypes
        raise TypeError(
            f"{name} has dtype {value.dtype}, which is not NumPy's own; convert it first: "
            f"{name}.astype('float32')"
        )


def _sparse(value: Any) -> str | None:
    """Return the name of the method that densifies a sparse array; None if not sparse."""
    if "sparse" in str(getattr(value, "layout", "")):
        return "to_dense"
    return next((name for name in ("toarray", "todense") if hasattr(value, name)), None)


def _as_numpy(name: str, value: Any) -> Any:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from error
    if array.dtype.kind in "biuf":
        return array
    if array.ndim == 0:
        raise TypeError(
            f"{name} must be an array of numbers, got {kind_of(value)}{_kind_hint(value)}"
        )
    hint = ""
    if array.dtype.kind in "UST":
        hint = "; encode text as numbers, labels as 0, 1, ..."
    elif array.dtype.kind in "mM":
        hint = "; convert dates and durations to numbers, such as days"
    elif array.dtype.kind == "O":
        hint = (
            f" ({missing.contents(array)}); if all of it is numbers, convert it with "
            f"np.asarray(..., dtype=float)"
        )
    raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{hint}")


def _kind_hint(value: Any) -> str:
    """Say how what is no array becomes one."""
    if isinstance(value, type):
        return ""
    if hasattr(value, "__next__"):
        return "; collect its rows first: list(...)"
    if hasattr(value, "collect"):
        return "; compute the frame first, with collect()"
    return "; stack its columns first" if isinstance(value, Mapping) else ""


def _shape_hint(shape: tuple[int, ...], n_inputs: int | None) -> str:
    """Say how an array that is not a matrix becomes one, the likelier way first."""
    if len(shape) == 1:
        ways = ["one feature: X.reshape(-1, 1)", "one example: X.reshape(1, -1)"]
        return f"; {', '.join(ways[::-1] if shape[0] == n_inputs else ways)}"
    return "; flatten each example: X.reshape(len(X), -1)" if len(shape) > 2 else ""


def _length_hint(shape: tuple[int, ...], of_X: tuple[int, ...]) -> str:
    """Say what must be transposed if targets do not match the features."""
    if shape[0] == of_X[1]:
        return ", as many as X has columns: the rows must be the examples (X.T)"
    return "; the rows must be the examples (y.T)" if shape[1:] == of_X[:1] else ""


def _as_finite(
    name: str, array: Array, dtype: str, given: Any, hint: str = "", defer: bool = False
) -> Array:
    """Cast what was `given` as an array to `dtype`, rejecting NaN, infinities and overflow.

    With `defer`, features that would take a large copy are cast when they are read.
    """
    bad, array = _cast(array, dtype, defer)
    if bad:
        if frames.is_tabular(given):
            what = frames.not_finite(given, np.asarray(array))
            raise ValueError(f"{name} must be finite in {dtype}, got {what}{hint}")
        raise ValueError(
            f"{name} must be finite in {dtype}, got {bad} NaN or infinite value(s) "
            f"in an array of shape {tuple(array.shape)}{hint}"
        )
    return array


def _is_finite(array: Array) -> bool:
    """Whether there is neither a NaN nor an infinity in an array of floats."""
    if math.prod(array.shape) <= HOST_SIZE:
        return bool(np.isfinite(to_host(array)).all())
    xp = array_namespace(array)
    return bool(xp.all(xp.isfinite(array)))


def _cast(array: Array, dtype: str, defer: bool) -> tuple[int, Array]:
    """Return the number of values that are not finite in `dtype`, and the array in it."""
    if isinstance(array, np.ndarray) and array.size > deferred.CHECKED:
        array = deferred.cast_or_deferred(array, dtype) if defer else _astype(array, dtype)
        return deferred.count_not_finite(array), array
    array = _astype(array, dtype)
    if _is_finite(array):
        return 0, array
    xp = array_namespace(array)
    return int(xp.sum(xp.astype(~xp.isfinite(array), xp.int64))), array


def _astype(array: Array, dtype: str) -> Array:
    xp = array_namespace(array)
    with np.errstate(over="ignore"):  # an overflow shows as an infinity
        return xp.astype(array, getattr(xp, dtype), copy=False)


def _as_labels(name: str, y: Array, n_classes: int) -> Array:
    """Return labels as int64, checking floats before the cast, which may overflow."""
    xp = array_namespace(y)
    y = xp.reshape(y, (y.shape[0],))
    if xp.isdtype(y.dtype, "real floating"):
        whole = xp.isfinite(y) & (y == xp.floor(y))
        if not bool(xp.all(whole)):
            bad = int(xp.sum(xp.astype(~whole, xp.int64)))
            raise ValueError(
                f"{name} must hold integer labels 0 to {n_classes - 1}, got {bad} value(s) "
                f"that are fractional, missing (NaN) or infinite"
            )
    else:
        y = xp.astype(y, xp.int64)
    low, high = float(xp.min(y)), float(xp.max(y))
    if low < 0.0 or high >= n_classes:
        raise ValueError(
            f"{name} must hold labels 0 to {n_classes - 1}, one for each unit of the last "
            f"Dense; got labels from {low:.0f} to {high:.0f}"
        )
    return xp.astype(y, xp.int64, copy=False)


def _check_range(name: str, y: Array, loss: Loss) -> None:
    """Check the range of counts and probabilities."""
    if loss.targets == "real":
        return
    xp = array_namespace(y)
    low, high = float(xp.min(y)), float(xp.max(y))
    if loss.targets == "counts":
        if low < 0.0:
            raise ValueError(f"{name} must be >= 0 for loss {loss.name!r}, got {low:g}")
        return
    if low < 0.0 or high > 1.0:
        raise ValueError(
            f"{name} must be from 0 to 1 for loss {loss.name!r}, got {low:g} to {high:g}"
        )
    if loss.targets == "labels":
        _check_sums(name, y)


def _check_sums(name: str, y: Array) -> None:
    """Check that each row is a distribution over the classes."""
    xp = array_namespace(y)
    sums = xp.sum(y, axis=1)
    if bool(xp.any(xp.abs(sums - 1.0) > 1e-3)):
        raise ValueError(
            f"each row of {name} must sum to 1, as one-hot or class probabilities; "
            f"got sums from {float(xp.min(sums)):g} to {float(xp.max(sums)):g}"
        )
