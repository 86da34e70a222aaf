"""The errors of bpnet; besides these, bad values raise ValueError, bad types TypeError."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpnet._nonfinite import NonFinite
    from bpnet.history import History


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
