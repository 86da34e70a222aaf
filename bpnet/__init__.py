"""bpnet: backpropagation, every equation in plain sight, on any array API library."""

from typing import TYPE_CHECKING

from bpnet import activations, datasets, initializers, losses, optimizers, schedules
from bpnet.backend import Backend, BackendInfo
from bpnet.backend.precision import matmul_precision
from bpnet.backend.registry import available_backends, get_backend, use_backend
from bpnet.callbacks.early_stopping import EarlyStopping
from bpnet.common.history import History
from bpnet.errors import (
    BackendError,
    BackendNotInstalledError,
    ModelFileError,
    NoDeviceError,
    NonFiniteError,
    OutOfMemoryError,
    UnknownBackendError,
)
from bpnet.gradcheck import GradientReport, check_gradients
from bpnet.gradient_flow import GradientFlow
from bpnet.layers import Dense, Dropout, Layer
from bpnet.network import Network
from bpnet.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from bpnet.training.loop import Callback

if TYPE_CHECKING:
    from bpnet import learn as learn
    from bpnet import plot as plot
    from bpnet import sanity
    from bpnet.callbacks.checkpoint import Checkpoint
    from bpnet.callbacks.snapshots import Snapshots
    from bpnet.contract import Parity, parity
    from bpnet.diagnosis import Diagnosis, Doctor, TrainingWarning, diagnose
    from bpnet.estimators import MLPClassifier as MLPClassifier
    from bpnet.estimators import MLPRegressor as MLPRegressor
    from bpnet.loading import load
    from bpnet.rate_finder import RateTest, find_learning_rate

__version__ = "0.1.0"

# Not listed: MLPClassifier, MLPRegressor, learn and plot, as `from bpnet import *` must work
# without scikit-learn and matplotlib.
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
    "Checkpoint",
    "Dense",
    "Diagnosis",
    "Doctor",
    "Dropout",
    "EarlyStopping",
    "GradientFlow",
    "GradientReport",
    "History",
    "Layer",
    "ModelFileError",
    "Network",
    "NoDeviceError",
    "NonFiniteError",
    "OutOfMemoryError",
    "Parity",
    "RMSprop",
    "RateTest",
    "Snapshots",
    "TrainingWarning",
    "UnknownBackendError",
    "activations",
    "available_backends",
    "check_gradients",
    "datasets",
    "diagnose",
    "find_learning_rate",
    "get_backend",
    "initializers",
    "load",
    "losses",
    "matmul_precision",
    "optimizers",
    "parity",
    "sanity",
    "schedules",
    "use_backend",
]


# What `import bpnet` leaves out to stay light: its module is imported when it is asked for.
_LATER = {
    "Checkpoint": "bpnet.callbacks.checkpoint",
    "Diagnosis": "bpnet.diagnosis",
    "Doctor": "bpnet.diagnosis",
    "MLPClassifier": "bpnet.estimators",
    "MLPRegressor": "bpnet.estimators",
    "Parity": "bpnet.contract",
    "RateTest": "bpnet.rate_finder",
    "Snapshots": "bpnet.callbacks.snapshots",
    "TrainingWarning": "bpnet.diagnosis",
    "diagnose": "bpnet.diagnosis",
    "find_learning_rate": "bpnet.rate_finder",
    "learn": "bpnet.learn",
    "load": "bpnet.loading",
    "parity": "bpnet.contract",
    "plot": "bpnet.plot",
    "sanity": "bpnet.sanity",
}


if not TYPE_CHECKING:  # or a type checker would take any name for one of these

    def __getattr__(name: str) -> object:
        """Import what is needed seldom only when it is asked for."""
        if name not in _LATER:
            raise AttributeError(f"module 'bpnet' has no attribute {name!r}")
        import importlib

        module = importlib.import_module(_LATER[name])
        return module if _LATER[name] == f"bpnet.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    """List what is imported later, too."""
    return sorted({*globals(), *_LATER})
