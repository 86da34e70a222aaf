"""bpnet: backpropagation, every equation in plain sight, on any array API library."""

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from bpnet import activations, initializers, losses, optimizers, schedules
from bpnet.backend import (
    Backend,
    BackendInfo,
    available_backends,
    get_backend,
    use_backend,
)
from bpnet.common.deprecation import warn_renamed
from bpnet.common.history import History
from bpnet.common.version import __version__ as __version__
from bpnet.errors import (
    BackendError,
    BackendNotInstalledError,
    ComponentError,
    ModelFileError,
    NoDeviceError,
    NonFiniteError,
    OutOfMemoryError,
    UnknownBackendError,
)
from bpnet.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Frozen,
    Layer,
    LayerNorm,
    ParametricActivation,
    PeriodicEmbedding,
    Residual,
    Scale,
)
from bpnet.network import Network
from bpnet.optimizers import SGD, Adagrad, Adam, AdamW, MovingAverage, RMSprop

if TYPE_CHECKING:
    from bpnet import datasets, interchange
    from bpnet import learn as learn
    from bpnet import metrics as metrics
    from bpnet import plot as plot
    from bpnet.backend.precision import matmul_precision
    from bpnet.callbacks import (
        Callback,
        Checkpoint,
        CSVLogger,
        EarlyStopping,
        JSONLLogger,
        MLflowLogger,
        Snapshots,
        TensorBoardLogger,
    )
    from bpnet.data import streams
    from bpnet.data.loader import Loader
    from bpnet.diagnosis import (
        Diagnosis,
        Doctor,
        GradientFlow,
        RateTest,
        TrainingWarning,
        diagnose,
        find_learning_rate,
        sanity,
    )
    from bpnet.estimators import MLPClassifier as MLPClassifier
    from bpnet.estimators import MLPRegressor as MLPRegressor
    from bpnet.estimators import TabularClassifier as TabularClassifier
    from bpnet.estimators import TabularRegressor as TabularRegressor
    from bpnet.loading import load
    from bpnet.testing.gradcheck import GradientReport, check_gradients
    from bpnet.testing.parity import Parity, parity

# The estimators, learn and plot are left out, because `from bpnet import *` must work without
# scikit-learn and matplotlib.
__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Backend",
    "BackendError",
    "BackendInfo",
    "BackendNotInstalledError",
    "BatchNorm",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "ComponentError",
    "Dense",
    "Diagnosis",
    "Doctor",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "Frozen",
    "GradientFlow",
    "GradientReport",
    "History",
    "JSONLLogger",
    "Layer",
    "LayerNorm",
    "Loader",
    "MLflowLogger",
    "ModelFileError",
    "MovingAverage",
    "Network",
    "NoDeviceError",
    "NonFiniteError",
    "OutOfMemoryError",
    "ParametricActivation",
    "Parity",
    "PeriodicEmbedding",
    "RMSprop",
    "RateTest",
    "Residual",
    "Scale",
    "Snapshots",
    "TensorBoardLogger",
    "TrainingWarning",
    "UnknownBackendError",
    "activations",
    "available_backends",
    "check_gradients",
    "datasets",
    "diagnose",
    "distributed",
    "find_learning_rate",
    "get_backend",
    "initializers",
    "interchange",
    "load",
    "losses",
    "matmul_precision",
    "metrics",
    "optimizers",
    "parity",
    "sanity",
    "schedules",
    "streams",
    "use_backend",
]


# Names imported lazily from these packages, to keep `import bpnet` light.
_LAZY = {
    "CSVLogger": "bpnet.callbacks",
    "Callback": "bpnet.training",
    "Checkpoint": "bpnet.callbacks",
    "Diagnosis": "bpnet.diagnosis",
    "Doctor": "bpnet.diagnosis",
    "EarlyStopping": "bpnet.callbacks",
    "GradientFlow": "bpnet.diagnosis",
    "GradientReport": "bpnet.testing.gradcheck",
    "JSONLLogger": "bpnet.callbacks",
    "Loader": "bpnet.data.loader",
    "MLPClassifier": "bpnet.estimators",
    "MLPRegressor": "bpnet.estimators",
    "MLflowLogger": "bpnet.callbacks",
    "Parity": "bpnet.testing.parity",
    "RateTest": "bpnet.diagnosis",
    "Snapshots": "bpnet.callbacks",
    "TabularClassifier": "bpnet.estimators",
    "TabularRegressor": "bpnet.estimators",
    "TensorBoardLogger": "bpnet.callbacks",
    "TrainingWarning": "bpnet.diagnosis",
    "callbacks": "bpnet.callbacks",
    "check_gradients": "bpnet.testing.gradcheck",
    "datasets": "bpnet.datasets",
    "diagnose": "bpnet.diagnosis",
    "diagnosis": "bpnet.diagnosis",
    "distributed": "bpnet.distributed",
    "find_learning_rate": "bpnet.diagnosis",
    "interchange": "bpnet.interchange",
    "learn": "bpnet.learn",
    "load": "bpnet.loading",
    "matmul_precision": "bpnet.backend.precision",
    "metrics": "bpnet.metrics",
    "parity": "bpnet.testing.parity",
    "plot": "bpnet.plot",
    "sanity": "bpnet.diagnosis.sanity",
    "streams": "bpnet.data.streams",
}

# Deprecated names of public modules, and their new names.
_MOVED = {
    "bpnet.checkpoint": "bpnet.callbacks.checkpoint",
    "bpnet.contract": "bpnet.testing.parity",
    "bpnet.demo": "bpnet.cli.demo",
    "bpnet.gradcheck": "bpnet.testing.gradcheck",
    "bpnet.gradient_flow": "bpnet.diagnosis.gradient_flow",
    "bpnet.history": "bpnet.common.history",
    "bpnet.precision": "bpnet.backend.precision",
    "bpnet.rate_finder": "bpnet.diagnosis.lr_finder",
    "bpnet.registry": "bpnet.backend.registry",
    "bpnet.sanity": "bpnet.diagnosis.sanity",
    "bpnet.snapshots": "bpnet.callbacks.snapshots",
    "bpnet.trace": "bpnet.model.trace",
}


class _Finder:
    """Import a module by its deprecated name, with a DeprecationWarning."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return a spec for a module that has moved, None for all others."""
        return ModuleSpec(name, _Finder()) if name in _MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Use the default module creation."""

    def exec_module(self, module: ModuleType) -> None:
        """Replace it with the module of the new name."""
        old = module.__name__
        warn_renamed(old, _MOVED[old])
        sys.modules[old] = importlib.import_module(_MOVED[old])


sys.meta_path.append(_Finder)

if not TYPE_CHECKING:  # otherwise type checkers would accept any attribute name

    def __getattr__(name: str) -> object:
        """Import lazy names on first access."""
        if name in _LAZY:
            module = importlib.import_module(_LAZY[name])
            return getattr(module, name, module)
        if (old := f"bpnet.{name}") in _MOVED:
            warn_renamed(old, _MOVED[old])
            return importlib.import_module(_MOVED[old])
        raise AttributeError(f"module 'bpnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Include the lazy names."""
    return sorted({*globals(), *_LAZY})
