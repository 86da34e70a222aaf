"""Finding and selecting backends, and explaining why one is unavailable.

Backends are the entry points of the group ``bpnet.backends``, of bpnet or of any other
installed distribution. One is selected, in this order, by

1. an argument: ``backend="cupy:1"``;
2. the arrays passed in: CuPy arrays stay on their GPU (host arrays do not count);
3. the innermost :func:`use_backend` block;
4. the environment variable ``BPNET_BACKEND``;
5. NumPy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from bpnet.backend.base import Backend, BackendInfo
from bpnet.backend.compat import array_namespace
from bpnet.common.checks import kind_of
from bpnet.common.suggestions import did_you_mean
from bpnet.errors import (
    BackendError,
    BackendNotInstalledError,
    NoDeviceError,
    UnknownBackendError,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "bpnet.backends"
VARIABLE = "BPNET_BACKEND"
DEFAULT = "numpy"

# The order in which `auto` looks for an accelerator.
_AUTO = ("cupy", "torch", "jax")

# Distributions that are not named like their backend.
_DISTRIBUTIONS = {
    "cupy": "cupy-cuda12x   (or cupy-cuda13x, after the CUDA driver)",
    "array_api_strict": "array-api-strict",
}

_block: ContextVar[Backend | None] = ContextVar("bpnet_backend", default=None)


def get_backend(spec: str | Backend | None = None) -> Backend:
    """Return the backend for a spec string, or the default of this context.

    Parameters
    ----------
    spec : str, Backend or None
        The name of a backend, optionally with a device: ``"numpy"``, ``"cupy"``, ``"cupy:1"``,
        ``"torch:cuda:0"``, ``"torch:mps"``, ``"jax"``, ``"array_api_strict:device1"``.
        ``"auto"`` is the best available device. None selects the backend of the innermost
        :func:`use_backend` block, else the environment variable ``BPNET_BACKEND``, else NumPy.

    Returns
    -------
    Backend
        The backend, bound to its device.

    Raises
    ------
    bpnet.errors.UnknownBackendError
        If there is no backend of this name.
    bpnet.errors.BackendNotInstalledError
        If its array library is not installed or cannot be imported.
    bpnet.errors.NoDeviceError
        If the device is unavailable.

    Examples
    --------
    >>> import bpnet
    >>> bpnet.get_backend("numpy").spec
    'numpy:cpu'
    """
    if isinstance(spec, Backend):
        return spec
    if spec is None:
        chosen = _block.get()
        return chosen if chosen is not None else _from_environment()
    if not isinstance(spec, str):
        raise TypeError(
            f"backend must be a spec string such as 'numpy' or 'cupy:1', or a Backend; "
            f"got {kind_of(spec)}"
        )
    if spec.strip() == "auto":
        return _best()
    name, _, device = spec.strip().partition(":")
    return _bound(name, device or None)


@contextlib.contextmanager
def use_backend(spec: str | Backend) -> Iterator[Backend]:
    """Make a backend the default inside a block, for the current thread and asyncio task.

    Parameters
    ----------
    spec : str or Backend
        As in :func:`get_backend`.

    Examples
    --------
    >>> import bpnet
    >>> with bpnet.use_backend("numpy") as backend:
    ...     bpnet.get_backend() is backend
    True
    """
    if spec is None:
        raise TypeError("spec must be a spec string such as 'torch', got None")
    backend = get_backend(spec)
    token = _block.set(backend)
    try:
        yield backend
    finally:
        _block.reset(token)


def current_block() -> Backend | None:
    """Return the backend of the innermost :func:`use_backend` block, or None outside of one."""
    return _block.get()


def backend_of(**arrays: Any) -> Backend | None:
    """Return the backend of the device arrays among the arguments, or None if there are none.

    None and host data (lists, NumPy arrays, data frames) are ignored. Arrays of different
    libraries or on different devices raise ValueError.
    """
    found: tuple[str, Backend] | None = None
    for argument, array in arrays.items():
        name = _library(array)
        if name is None:
            continue
        backend = _owner(argument, name, array)
        if found is not None and found[1] != backend:
            raise ValueError(
                f"{found[0]} lives on {found[1].spec} and {argument} on {backend.spec}; "
                f"pass arrays of one library on one device"
            )
        found = (argument, backend)
    return found[1] if found else None


def _owner(argument: str, name: str, array: Any) -> Backend:
    """Return the backend of a device array; errors name the argument."""
    try:
        return _bound(name, _load(name).device_of(array))
    except BackendError as error:
        raise type(error)(
            f"{argument}: {error}. Or convert it: np.asarray({argument})"
        ) from error
    except Exception as error:  # traced, deleted, or spread over several devices
        raise TypeError(
            f"{argument} must be an array on one device, got {type(array).__name__}: {error}"
        ) from error


def available_backends() -> Mapping[str, BackendInfo]:
    """Return the availability of each known backend, by name, NumPy first.

    This imports each installed array library to query its devices.

    Examples
    --------
    >>> import bpnet
    >>> bpnet.available_backends()["numpy"].devices
    ('cpu',)
    """
    names = sorted(_entry_points(), key=lambda name: (name != DEFAULT, name))
    return {name: _info(name) for name in names}


def _from_environment() -> Backend:
    spec = os.environ.get(VARIABLE, "").strip()
    if not spec:
        return _default()
    try:
        return get_backend(spec)
    except BackendError as error:
        raise type(error)(f"{VARIABLE}={spec}: {error}") from None


@cache
def _default() -> Backend:
    return _bound(DEFAULT, None)


def _best() -> Backend:
    for name in _AUTO:
        info = _info(name)
        for device in info.devices:
            if not device.startswith("cpu"):
                return _bound(name, device)
    return _bound(DEFAULT, None)


def _bound(name: str, device: str | None) -> Backend:
    """Bind a backend to a device; errors list what is available."""
    try:
        backend = _load(name)
        return _bind(backend, device or backend.default_device())
    except BackendError as error:
        end = "" if str(error).endswith("?") else "."
        raise type(error)(f"{error}{end} {_what_is_available()}") from error


@cache
def _bind(backend: type[Backend], device: str) -> Backend:
    """Cache one backend per device, so that its compiled functions are reused."""
    return backend(device)


def _load(name: str) -> type[Backend]:
    points = _entry_points()
    if name not in points:
        _entry_points.cache_clear()  # a plugin may have been installed meanwhile
        points = _entry_points()
    if name not in points:
        raise UnknownBackendError(
            f"unknown backend {name!r}; known backends: {', '.join(sorted(points))}, and 'auto'"
            f"{did_you_mean(name, points)}"
        )
    try:
        return cast("type[Backend]", points[name].load())
    except ImportError as error:
        raise BackendNotInstalledError(
            f"backend {name!r} is not installed ({error}); install it with: {pip_line(name)}"
        ) from error
    except Exception as error:  # a broken library may raise anything
        raise BackendNotInstalledError(
            f"backend {name!r} is broken ({type(error).__name__}: {error}); "
            f"reinstall it with: {pip_line(name)}"
        ) from error


@cache
def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import

    return {point.name: point for point in entry_points(group=GROUP)}


def _info(name: str) -> BackendInfo:
    version = None
    try:
        backend = _load(name)
        version = backend.version()
        return BackendInfo(True, backend.devices(), None, version)
    except (BackendNotInstalledError, NoDeviceError) as error:
        return BackendInfo(False, (), str(error), version)


def _what_is_available() -> str:
    usable = (
        f"{name} ({', '.join(info.devices)})"
        for name, info in available_backends().items()
        if info.available
    )
    return f"Available here: {'; '.join(usable)}"


def pip_line(name: str) -> str:
    """Return the pip command that installs a backend's array library."""
    return f"pip install {_DISTRIBUTIONS.get(name, name)}"


def _library(array: Any) -> str | None:
    """Return the package of a device array; None for host data."""
    package = type(array).__module__.partition(".")[0]
    if package in {"builtins", "numpy"}:
        return None
    if package == "jaxlib":  # whose namespace is asked for by computing something
        return "jax"
    try:
        namespace = array_namespace(array).__name__
    except TypeError:  # a data frame or another host container
        return None
    library = namespace.removeprefix("array_api_compat.").partition(".")[0]
    return None if library == "numpy" else str(library)
