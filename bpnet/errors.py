"""Exceptions of bpnet; other invalid values raise ValueError, invalid types TypeError."""

from __future__ import annotations

from typing import NamedTuple

from bpnet.common.history import History


class BackendError(Exception):
    """A requested backend is unavailable; base class of the three reasons."""


class UnknownBackendError(BackendError, ValueError):
    """The backend name or the form of the device is unknown."""


class BackendNotInstalledError(BackendError, ImportError):
    """The backend is known, but its array library cannot be imported."""


class NoDeviceError(BackendError, RuntimeError):
    """The array library is installed, but the requested device is unavailable."""


class ModelFileError(ValueError):
    """A file is not a model that bpnet can read: damaged, of another format, or too new."""


class ComponentError(ValueError):
    """A component of your own returned what its interface does not allow."""


class OutOfMemoryError(MemoryError):
    """A device has no memory for data, parameters or a batch; states the amount requested."""


class NonFinite(NamedTuple):
    """Where a training run first produced a NaN or an infinity.

    Attributes
    ----------
    epoch : int
        The epoch of this run, from 1.
    step : int or None
        The step in that epoch, from 1; None if replaying the epoch succeeded, which means that
        a callback changed the weights.
    layer : int
        The layer, numbered from 1 among those with weights; a layer without weights has the
        number of the one before it.
    quantity : str
        The first non-finite quantity, in order of computation: "z", "a", "loss", "delta", "dW",
        "db", "dL/da", "W", "b", "optimizer state of W" and so on.
    value : str
        "NaN" or "infinite".
    cause : str
        The most likely cause.
    """

    epoch: int
    step: int | None
    layer: int
    quantity: str
    value: str
    cause: str

    def __str__(self) -> str:
        where = "" if self.step is None else f", step {self.step}"
        return (
            f"epoch {self.epoch}{where}: {self.quantity} of layer {self.layer} is "
            f"{self.value}; likely cause: {self.cause}"
        )


class NonFiniteError(ArithmeticError):
    """Training produced a NaN or an infinity and stopped after that epoch.

    The network has the weights of the last good epoch, or those restored by
    :class:`bpnet.EarlyStopping`.

    Attributes
    ----------
    found : NonFinite
        Where it began: ``found.epoch``, ``step``, ``layer``, ``quantity`` and ``cause``.
    history : History
        The metrics of all epochs including the failing one, for :func:`bpnet.diagnose`.
    """

    def __init__(self, message: str, found: NonFinite, history: History) -> None:
        super().__init__(message)
        self.found, self.history = found, history

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.found, self.history)
