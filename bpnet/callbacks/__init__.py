"""Callbacks: code that looks in on a training run and may end it.

A callback overrides the hooks of :class:`bpnet.Callback` that it needs. Each hook gets the
:class:`bpnet.training.Training`, whose ``network`` and ``parameters`` are those of the moment;
the next step may overwrite these arrays, so copy what you keep
(``training.copy_parameters()``).
"""

from bpnet.callbacks.checkpoint import Checkpoint
from bpnet.callbacks.early_stopping import EarlyStopping
from bpnet.callbacks.progress import ProgressBar
from bpnet.callbacks.snapshots import Snapshots
from bpnet.training.loop import Callback

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "ProgressBar", "Snapshots"]
