"""What a backend is: one array library on one device.

The core of bpnet says *what* is computed, in the operations of the Array API standard.
A backend says *how* it runs: which namespace, which device, how arrays get there and back,
and how a training step or an elementwise rule is compiled. It never changes the result.

How one is found and chosen stands in :mod:`bpnet.backend.registry`.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, TypeVar

from bpnet.backend.typing import Array, Namespace
from bpnet.errors import NoDeviceError

Function = TypeVar("Function", bound=Callable[..., Any])


class BackendInfo(NamedTuple):
    """What is known of one backend on this machine.

    Attributes
    ----------
    available : bool
        Whether a device answers.
    devices : tuple of str
        The devices that answer, best first; empty when none does.
    reason : str or None
        Why the backend cannot be used; None when it can.
    version : str or None
        Version of the array library; None when it is not installed.
    """

    available: bool
    devices: tuple[str, ...]
    reason: str | None
    version: str | None = None


class Backend(ABC):
    """One array library, bound to one device.

    A new backend sets the class attributes, implements the four abstract methods and names
    its class in the entry-point group ``bpnet.backends``. The entry point has the name of
    the package whose arrays it owns (``torch`` for ``torch.Tensor``), so that arrays passed
    to bpnet find it.

    Parameters
    ----------
    device : str or None
        A name from :meth:`devices`; None takes :meth:`default_device`.

    Raises
    ------
    bpnet.errors.NoDeviceError
        If the device does not answer.

    Attributes
    ----------
    xp : namespace
        The Array API namespace in which the core computes.
    device : str
        Name of the device.
    """

    name: ClassVar[str]
    xp: Namespace
    device: str

    def __init__(self, device: str | None = None) -> None:
        devices = self.devices()
        chosen = self.default_device() if device is None else self.canonical_device(device)
        if chosen not in devices:
            raise NoDeviceError(
                f"backend {self.name!r} has no device {device or chosen!r} on this machine; "
                f"devices that answer: {', '.join(devices)}"
            )
        self.device = chosen

    # --- what every backend says ----------------------------------------------------------

    @classmethod
    @abstractmethod
    def devices(cls) -> tuple[str, ...]:
        """Name the devices that answer, best first.

        Raises
        ------
        bpnet.errors.NoDeviceError
            If none answers, with the library's own reason.
        """

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Version of the array library."""

    @abstractmethod
    def asarray(self, host_array: Any, dtype: str | None = None) -> Array:
        """Put an array of the host (or of this library) on this backend's device.

        Parameters
        ----------
        host_array : numpy.ndarray or array of this library
            The values.
        dtype : str or None
            Name of the dtype in the standard, such as "float32"; None keeps the given one.
        """

    @abstractmethod
    def to_numpy(self, array: Array) -> Any:
        """Bring an array to the host as a `numpy.ndarray`; waits for the device."""

    # --- what a backend may do better -----------------------------------------------------

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Give the one name of a device that may be written in several ways."""
        return device

    @classmethod
    def default_device(cls) -> str:
        """Name the device that is used when none is asked for."""
        return cls.devices()[0]

    @classmethod
    def device_of(cls, array: Array) -> str:
        """Name the device on which an array of this library lives."""
        return str(array.device)

    def activate(self) -> AbstractContextManager[Any]:
        """Make this device (and its arithmetic) current while the block runs.

        bpnet enters this context wherever it touches the backend's arrays, but for
        :meth:`asarray` and :meth:`to_numpy`, which enter it themselves if they need it.
        """
        return contextlib.nullcontext()

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Compile a pure function ``step(xp, state, data) -> state`` of nested containers.

        Parameters
        ----------
        step : callable
            The function; the state is a dict, and the new one has its structure.
        own : bool, default True
            Whether all that the step calls is bpnet's. Where not, a backend that need not
            compile lets the step run as it is written: it may print, count or draw.

        Returns
        -------
        callable
            ``compiled(state, data) -> state``. It consumes the state: its arrays may be
            overwritten or freed, and their containers are not to be changed. If it keeps
            memory between calls, it has a method ``release()`` that gives it back; called
            when a training ends.
        """
        return functools.partial(step, self.xp)

    def compile_pure(self, function: Function) -> Function:
        """Compile a pure function of nested containers that consumes nothing."""
        return function

    def fuse(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Run an elementwise ``rule(xp, p, g, *slots, *scalars) -> (p, *slots)`` faster.

        The arrays are of one shape and the scalars 0-d. All arguments but the gradient `g`
        are consumed: the result may stand in their memory.
        """
        return rule

    def fits(self, nbytes: int) -> bool:
        """Whether so many more bytes can stay on the device beside a running training."""
        return True

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether an error of the library says that memory does not suffice."""
        return isinstance(error, MemoryError)

    def synchronize(self) -> None:
        """Wait until the device has finished all work given to it."""

    # --- identity -------------------------------------------------------------------------

    @property
    def spec(self) -> str:
        """The string that names this backend and device, such as ``"cupy:1"``."""
        return f"{self.name}:{self.device}"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Backend)
            and type(self) is type(other)
            and self.device == other.device
        )

    def __hash__(self) -> int:
        return hash((type(self), self.device))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(device={self.device!r})"
