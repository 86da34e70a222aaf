"""The errors of bpnet; besides these, bad values raise ValueError, bad types TypeError."""

from __future__ import annotations

from typing import NamedTuple

from bpnet.common.history import History


class BackendError(Exception):
    """A backend was asked for that cannot be had; the base of the three reasons."""


class UnknownBackendError(BackendError, ValueError):
    """No backend of this name or no device of this form is known."""


class BackendNotInstalledError(BackendError, ImportError):
    """The backend is known, but its array library cannot be imported."""


class NoDeviceError(BackendError, RuntimeError):
    """The array library is installed, but the device asked for does not answer."""


class ModelFileError(ValueError):
    """A file is no model that bpnet can read: damaged, of another kind, or too new."""


class OutOfMemoryError(MemoryError):
    """A device has no room for data, parameters or a batch; says how much was asked for."""


class NonFinite(NamedTuple):
    """Where a training first met a NaN or an infinity.

    Attributes
    ----------
    epoch : int
        The epoch of this training, from 1.
    step : int or None
        The step in that epoch, from 1; None if the epoch, run again, went well: then a
        callback has changed the weights.
    layer : int
        The layer, numbered from 1 among those that have weights; a layer without weights
        counts with the one before it.
    quantity : str
        The first bad quantity, in the order of computation: "z", "a", "loss", "delta", "dW",
        "db", "dL/da", "W", "b", "optimizer state of W" and so on.
    value : str
        "NaN" or "infinite".
    cause : str
        What has most likely led to it.
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
    """Training has met a NaN or an infinity, and ended with that epoch.

    The network has the weights of the last good epoch, or those that
    :class:`bpnet.EarlyStopping` has restored.

    Attributes
    ----------
    found : NonFinite
        Where it began: ``found.epoch``, ``step``, ``layer``, ``quantity`` and ``cause``.
    history : History
        The figures of all epochs with the bad one, for :func:`bpnet.diagnose`.
    """

    def __init__(self, message: str, found: NonFinite, history: History) -> None:
        super().__init__(message)
        self.found, self.history = found, history

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.found, self.history)
