"""The backend interface: one array library on one device.

The core of bpnet defines *what* is computed, in Array API operations. A backend defines *how*:
the namespace, the device, transfers to and from the host, and how a training step or an
elementwise rule is compiled. It never changes the result. See :mod:`bpnet.backend.registry`
for how a backend is found and selected.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, TypeVar

from bpnet.backend.typing import Array, Namespace
from bpnet.errors import NoDeviceError

Function = TypeVar("Function", bound=Callable[..., Any])


class BackendInfo(NamedTuple):
    """The availability of one backend on this machine.

    Attributes
    ----------
    available : bool
        Whether any device is available.
    devices : tuple of str
        The available devices, best first.
    reason : str or None
        Why the backend is unavailable, if it is.
    version : str or None
        Version of the array library, if it is installed.
    """

    available: bool
    devices: tuple[str, ...]
    reason: str | None
    version: str | None = None


class Backend(ABC):
    """One array library, bound to one device.

    A new backend sets `name` and `xp`, implements the four abstract methods and registers its
    class in the entry-point group ``bpnet.backends``. The entry point is named after the
    package of its arrays (``torch`` for ``torch.Tensor``), so that bpnet can find the backend
    of an array.

    Parameters
    ----------
    device : str or None
        A name from :meth:`devices`; None selects :meth:`default_device`.

    Raises
    ------
    bpnet.errors.NoDeviceError
        If the device is unavailable.

    Attributes
    ----------
    xp : namespace
        The Array API namespace in which the core computes.
    device : str
        Name of the device.
    immutable : bool
        Whether arrays cannot be changed in place, so that keeping one needs no copy.
    """

    name: ClassVar[str]
    xp: Namespace
    device: str
    immutable: ClassVar[bool] = False

    def __init__(self, device: str | None = None) -> None:
        devices = self.devices()
        chosen = self.default_device() if device is None else self.canonical_device(device)
        if chosen not in devices:
            raise NoDeviceError(
                f"backend {self.name!r} has no device {device or chosen!r} on this machine; "
                f"available devices: {', '.join(devices)}"
            )
        self.device = chosen

    # --- to be implemented ----------------------------------------------------------------

    @classmethod
    @abstractmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the names of the available devices, best first.

        Raises
        ------
        bpnet.errors.NoDeviceError
            If none is available, with the reason given by the library.
        """

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return the version of the array library."""

    @abstractmethod
    def asarray(self, host_array: Any, dtype: str | None = None) -> Array:
        """Move a host (NumPy) array, or an array of this library, to this backend's device.

        `dtype` is an Array API name such as "float32"; None keeps the dtype of the array.
        """

    @abstractmethod
    def to_numpy(self, array: Array) -> Any:
        """Copy an array to the host as a `numpy.ndarray`; waits for the device."""

    # --- optional -------------------------------------------------------------------------

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Return the canonical name of a device that has several spellings."""
        return device

    @classmethod
    def default_device(cls) -> str:
        """Return the name of the device to use by default."""
        return cls.devices()[0]

    @classmethod
    def device_of(cls, array: Array) -> str:
        """Return the name of the device of an array of this library."""
        return str(array.device)

    def activate(self) -> AbstractContextManager[Any]:
        """Return a context in which this device (and its precision) is current.

        bpnet enters it wherever it uses the backend's arrays, except for :meth:`asarray` and
        :meth:`to_numpy`, which enter it themselves if needed. Inside, results must not depend
        on what the program has set for its own code: a default device, ``torch.autocast``,
        JAX's transfer guard, :func:`numpy.errstate`. All of that is restored on leaving, also
        by an error. Callbacks and components of the user's own run inside it.
        """
        return contextlib.nullcontext()

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Compile a pure function ``step(xp, state, data) -> state`` of nested containers.

        Parameters
        ----------
        step : callable
            The function; the state is a dict, and the new state has the same structure.
        own : bool, default True
            Whether the step calls only code of bpnet. If not, a backend that can do without
            compiling runs it uncompiled, as user code may have side effects.

        Returns
        -------
        callable
            ``compiled(state, data) -> state``. It consumes the state: its arrays may be
            overwritten or freed, and its containers must not be changed. If it keeps memory
            between calls, it has a method ``release()``, called at the end of training. If
            several steps can run as one program, it has a method
            ``run(state, data, count) -> state`` that takes `count` steps with the same data,
            where nothing looks between them, and a method ``wait(state)`` that returns when
            the steps that give this state are done.
        """
        return functools.partial(step, self.xp)

    def compile_pure(self, function: Function) -> Function:
        """Compile a pure function of nested containers that does not consume its arguments."""
        return function

    def compile_inference(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a pure function ``function(xp, parameters, X) -> array`` of bpnet's own.

        It computes each row of the result from the same row of X. The result is a new array.
        """
        return self.compile_pure(functools.partial(function, self.xp))

    def padded_rows(self, m: int) -> int:
        """Return how many rows to compute for m rows of a prediction; the others are zeros.

        A backend that compiles a function anew for each number of rows has fewer to compile.
        """
        return m

    def fuse(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Fuse an elementwise ``rule(xp, p, g, *state, *scalars) -> (p, *state)``.

        The arrays have one shape and the scalars are 0-d. All arguments but the gradient `g`
        are consumed: the result may reuse their memory.
        """
        return rule

    def refresh(self, host_arrays: dict[str, Any]) -> dict[str, Array]:
        """Move some host arrays, whose shapes recur in each epoch, to this backend's device.

        None stays None; an array may be there already. A backend may compile the transfer.
        Called inside :meth:`activate`.
        """
        return {k: a if a is None else self.asarray(a) for k, a in host_arrays.items()}

    def begin_transfer(self, host_arrays: dict[str, Any]) -> Callable[[], dict[str, Array]]:
        """Begin to move host arrays to the device, while it computes.

        Parameters
        ----------
        host_arrays : dict of str to numpy.ndarray or None
            They do not change until the result has been used. None stays None.

        Returns
        -------
        callable
            Returns the arrays on the device; what is computed next waits for the move. By
            default they are moved at once, by :meth:`refresh`.
        """
        moved = self.refresh(host_arrays)
        return lambda: moved

    def snapshot(
        self, arrays: Sequence[Array], memory: Array | None = None
    ) -> tuple[Array, Array]:
        """Copy arrays of one dtype, one after another, into a flat array.

        Parameters
        ----------
        arrays : sequence of array
            The first is 0-d.
        memory : array or None
            The flat array of an earlier snapshot, which is consumed.

        Returns
        -------
        first_and_sum : array (2,)
            The first of `arrays`, and the sum of all, which is finite only if all elements are.
        flat : array
            The copy. Both may be NumPy's, if copying to the host is as fast.
        """
        flat = self.xp.concat([self.xp.reshape(array, (-1,)) for array in arrays])
        return self.xp.stack([arrays[0], self.xp.sum(flat)]), flat

    def first_and_sum(self, arrays: Sequence[Array]) -> Array:
        """Return the first of the arrays, and a sum that is finite only if all elements are."""
        total = functools.reduce(operator.add, map(self.xp.sum, arrays))
        return self.xp.stack([arrays[0], total])

    def on_one_thread(self, compute: Callable[[], Any]) -> Any:
        """Return what a function computes, on one thread if the library has a number of them.

        For small decompositions on the host, whose threads would wait for each other.
        """
        return compute()

    @property
    def on_host(self) -> bool:
        """Whether :meth:`asarray` shares the memory of a NumPy array, and nothing runs later.

        Training then reads large data from a buffer on the host that is filled again and again.
        """
        return False

    def fits(self, nbytes: int) -> bool:
        """Return whether `nbytes` more can be kept on the device during training."""
        return True

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether an error of the library means that it ran out of memory."""
        return isinstance(error, MemoryError)

    def synchronize(self) -> None:
        """Wait until the device has finished all queued work."""

    def device_group(self, rank: int, size: int, share: Callable[[Any], Any]) -> Any:
        """Return what connects this device with those of other processes, None if nothing does.

        Parameters
        ----------
        rank, size : int
            The number of this process, and of all, which call this at once.
        share : callable
            ``share(value)`` returns the value of process 0.

        Returns
        -------
        group or None
            ``group.all_reduce(array)`` returns the sum of the arrays (n,) of all processes,
            ``group.broadcast(array)`` that of process 0; both may overwrite the array.
        """
        return None

    # --- identity -------------------------------------------------------------------------

    @property
    def spec(self) -> str:
        """The spec string of this backend and device, such as ``"cupy:1"``."""
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
