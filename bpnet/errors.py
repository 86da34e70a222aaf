"""The errors of choosing a backend and of model files; bad values raise ValueError."""

from __future__ import annotations


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
