"""Files of fitted estimators: parameters, fitted attributes and arrays, without pickle.

The file is that of a network (:mod:`bpnet.serialization.safetensors_file`), its document has
the entry "estimator" instead of "network"::

    {"version": 3, "estimator": {"class": "MLPClassifier", "bpnet": "0.1.0",
                                 "parameters": {...}, "state": {...}}}

To make a class of estimators storable:

1. Derive it from :class:`StoredEstimator`, and decorate it with :func:`in_files`, which
   declares its name. Users then have ``estimator.save(path)`` and ``bpnet.load(path)``.
2. The parameters are those of ``get_params(deep=False)``: numbers, strings, components, arrays,
   and lists, tuples and dicts of them. Those in `not_in_files` are left out, and have their
   defaults in a loaded estimator.
3. ``_file_state()`` returns the fitted attributes by name, as a dict of whatever
   :func:`bpnet.estimators._packing.pack` accepts: the same kinds of values, and bytes, arrays
   (of any library, loaded as NumPy arrays of the same dtype and bits; dates are refused),
   :class:`bpnet.Network` with weights, :class:`bpnet.History` and ``RandomState``. It raises
   before anything is written if the estimator cannot be stored.
4. ``_restore_file_state(state)`` is called on an estimator that was created from its stored
   parameters, and sets the attributes. `state` is a :class:`FileState`, from which each entry
   is taken once, and checked: a file may hold anything, and its checksum only says that it is
   intact. Errors that it raises (ValueError, TypeError, LookupError, ...) become
   :class:`bpnet.ModelFileError`; entries that it leaves are refused.

For an estimator of a network and arrays that prepare its inputs::

    @in_files
    class Tabular(StoredEstimator, BaseEstimator):
        def _file_state(self):
            return {"network_": self.network_, "mean_": self.mean_, "classes_": self.classes_,
                    "categories_": self.categories_}   # a list of arrays

        def _restore_file_state(self, state):
            self.network_ = state.take("network_", Network)
            self.mean_ = state.array("mean_", (self.network_.n_inputs,), "float64")
            self.classes_ = state.array("classes_", (None,))
            self.categories_ = state.take("categories_", list)
"""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from bpnet.common.checks import check_integer, check_number, check_path
from bpnet.common.version import __version__
from bpnet.estimators._packing import pack, unpack
from bpnet.serialization import safetensors_file
from bpnet.serialization.config import Custom, short
from bpnet.serialization.model_state import check_rest
from bpnet.serialization.safetensors_file import Tensors

Stored = TypeVar("Stored", bound="type[StoredEstimator]")

# bpnet's own estimators by their names in files.
_OWN: dict[str, type[StoredEstimator]] = {}


def in_files(cls: Stored) -> Stored:
    """Declare that files may hold estimators of this class, by its name."""
    _OWN[cls.__name__] = cls
    return cls


class StoredEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of estimators that can be written to a file.

    Attributes
    ----------
    not_in_files : tuple of str
        Parameters that files do not hold, because they are no part of what was learned, or are
        code.
    """

    not_in_files: ClassVar[tuple[str, ...]] = ()

    def _set(self, arguments: dict[str, Any]) -> None:
        """Store the arguments of `__init__` unchanged."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    @abstractmethod
    def _file_state(self) -> dict[str, Any]:
        """Return the fitted attributes, by name, for a file."""

    @abstractmethod
    def _restore_file_state(self, state: FileState) -> None:
        """Set the fitted attributes to those of a file, or raise if they are malformed."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file, for :func:`bpnet.load`.

        A loaded estimator makes the same predictions, to the bit, and continues alike with
        `partial_fit` or `warm_start`. It has the same parameters, except for `callbacks` and
        `backend`, which have their defaults: a file says neither where to compute nor contains
        code. It is in safetensors format and written atomically: after an error or a crash, the
        previous file is intact. Requires safetensors.

        Parameters
        ----------
        path : path
            Output file; by convention it ends in ".safetensors".

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If a parameter is invalid, or cannot be stored, such as a lambda.
        OSError
            If the file cannot be written.

        See Also
        --------
        bpnet.load : Loads it.
        """
        path = check_path("path", path)
        safetensors_file.write(path, safetensors_file.encode(*contents(self)))


class FileState(dict[str, Any]):
    """The fitted attributes in a file, each of which is taken once and checked."""

    def take(self, name: str, *kinds: Any) -> Any:
        """Remove and return an entry, which must be of one of these types.

        A bool is not an int.

        Raises
        ------
        KeyError
            If it is missing.
        ValueError
            If it is of another type.
        """
        value = self.pop(name)
        is_allowed = isinstance(value, kinds) and (
            not isinstance(value, bool) or bool in kinds or object in kinds
        )
        if not is_allowed:
            allowed = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
            raise ValueError(f"{name} must be {allowed}, got {short(value)}")
        return value

    def count(self, name: str, minimum: int = 0) -> int:
        """Remove and return an integer, which must be exact as float64."""
        value = check_integer(name, self.pop(name), minimum)
        if value >= 2**53:
            raise ValueError(f"{name} is too large")
        return value

    def number(self, name: str) -> float:
        """Remove and return a finite number."""
        return check_number(name, self.pop(name))

    def array(
        self, name: str, shape: tuple[int | None, ...] | None = None, dtype: str | None = None
    ) -> Any:
        """Remove and return an array; None in a shape is any number."""
        return checked_array(name, self.pop(name), shape, dtype)


def checked_array(
    name: str, array: Any, shape: tuple[int | None, ...] | None, dtype: str | None
) -> Any:
    """Return a NumPy array, which must have this shape and dtype; None is any."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} must be an array, got {short(array)}")
    fits = shape is None or (
        len(shape) == array.ndim
        and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    )
    if not fits or dtype not in (None, array.dtype.name):
        raise ValueError(
            f"{name} must have shape {short(shape)} in {dtype}, got {short(array.shape)} in "
            f"{array.dtype}"
        )
    return array


# --- whole estimators -----------------------------------------------------------------------


def contents(estimator: StoredEstimator) -> tuple[dict[str, Any], Tensors]:
    """Return the document and the tensors of a fitted estimator.

    Raises
    ------
    TypeError, ValueError
        If it cannot be stored.
    """
    check_is_fitted(estimator)
    name = _name(type(estimator))
    tensors: Tensors = {}
    parameters = {}
    for key, value in estimator.get_params(deep=False).items():
        if key not in estimator.not_in_files:
            parameters[key] = _packed(f"the parameter {key}", value, tensors, key)
    state = {
        key: _packed(f"the attribute {key}", value, tensors, f"state.{key}")
        for key, value in estimator._file_state().items()
    }
    described = {
        "class": name, "bpnet": __version__, "parameters": parameters, "state": state,
    }  # fmt: skip
    return {"estimator": described}, tensors


def _packed(what: str, value: Any, tensors: Tensors, name: str) -> Any:
    try:
        return pack(value, tensors, name)
    except TypeError as error:
        raise TypeError(f"{what} cannot be saved: {error}") from error


def _name(cls: type) -> str:
    if _OWN.get(cls.__name__, cls) is not cls:
        raise TypeError(
            f"{cls!r} has the name of bpnet's own {cls.__name__}, as which it would be loaded; "
            f"give it another name"
        )
    return cls.__name__


def estimator_of(described: Any, tensors: Tensors, custom: Custom) -> StoredEstimator:
    """Create the estimator of a document, and check that nothing is left over.

    Raises
    ------
    ValueError, TypeError, LookupError
        If it is malformed.
    """
    cls = _find(described["class"], custom)
    parameters = {
        name: unpack(value, tensors, custom) for name, value in described["parameters"].items()
    }
    unknown = parameters.keys() - set(cls._get_param_names())
    if unknown:
        written = short(described["bpnet"])
        raise ValueError(
            f"{cls.__name__} has no parameter {short(min(unknown))}; bpnet {written} wrote the "
            f"file, this is {__version__}"
        )
    if named := parameters.keys() & set(cls.not_in_files):
        raise ValueError(f"a file holds no {min(named)}")
    estimator = cls(**parameters)
    estimator._validate_params()
    state = FileState(
        {name: unpack(value, tensors, custom) for name, value in described["state"].items()}
    )
    estimator._restore_file_state(state)
    if state:
        raise ValueError(f"it holds an unexpected attribute {short(min(state))}")
    check_rest(tensors)
    return estimator


def _find(name: Any, custom: Custom) -> type[StoredEstimator]:
    """Return the class of a name: bpnet's own, or one of the reader's."""
    found = _OWN.get(name) if isinstance(name, str) else None
    found = custom.get(name) if found is None else found
    if found is None:
        raise ValueError(
            f"it has the estimator {short(name)}, which this version of bpnet does not have; "
            f"if it is your own, pass custom={{{short(name)}: its class}} to bpnet.load"
        )
    if not isinstance(found, type) or not issubclass(found, StoredEstimator):
        raise ValueError(f"custom[{short(name)}] must be a class derived from an estimator")
    return found
