"""Callbacks, which monitor a training run and may stop it.

A callback overrides the hooks of :class:`bpnet.Callback` that it needs. Each hook receives the
:class:`bpnet.training.Training`. The next step may overwrite its current ``parameters``, so
copy arrays that you store (``training.copy_parameters()``).
"""

from bpnet.callbacks.checkpoint import Checkpoint
from bpnet.callbacks.early_stopping import EarlyStopping
from bpnet.callbacks.log_files import CSVLogger, JSONLLogger
from bpnet.callbacks.mlflow import MLflowLogger
from bpnet.callbacks.progress import ProgressBar
from bpnet.callbacks.snapshots import Snapshots
from bpnet.callbacks.tensorboard import TensorBoardLogger
from bpnet.training.loop import Callback

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "JSONLLogger",
    "MLflowLogger",
    "ProgressBar",
    "Snapshots",
    "TensorBoardLogger",
]
