"""bpnet: backpropagation, every equation in plain sight, on any array API library."""

from typing import TYPE_CHECKING

from bpnet import activations, datasets, initializers, losses, optimizers, schedules
from bpnet.backend import Backend, BackendInfo
from bpnet.callbacks import Callback, EarlyStopping
from bpnet.errors import (
    BackendError,
    BackendNotInstalledError,
    NoDeviceError,
    UnknownBackendError,
)
from bpnet.gradcheck import GradientReport, check_gradients
from bpnet.gradient_flow import GradientFlow
from bpnet.history import History
from bpnet.layers import Dense, Dropout, Layer
from bpnet.network import Network
from bpnet.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from bpnet.registry import available_backends, get_backend, use_backend

if TYPE_CHECKING:
    from bpnet.estimators import MLPClassifier as MLPClassifier
    from bpnet.estimators import MLPRegressor as MLPRegressor

__version__ = "0.1.0"

# Not listed: MLPClassifier and MLPRegressor, for `from bpnet import *` must work without
# scikit-learn.
__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Backend",
    "BackendError",
    "BackendInfo",
    "BackendNotInstalledError",
    "Callback",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "GradientFlow",
    "GradientReport",
    "History",
    "Layer",
    "Network",
    "NoDeviceError",
    "RMSprop",
    "UnknownBackendError",
    "activations",
    "available_backends",
    "check_gradients",
    "datasets",
    "get_backend",
    "initializers",
    "losses",
    "optimizers",
    "plot",
    "schedules",
    "use_backend",
]


def __getattr__(name: str) -> object:
    """Import what needs an optional library only when it is asked for."""
    if name == "plot":
        import importlib

        return importlib.import_module("bpnet.plot")
    if name in ("MLPClassifier", "MLPRegressor"):
        from bpnet import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'bpnet' has no attribute {name!r}")
