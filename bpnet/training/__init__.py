"""The training loop.

`loop` runs the epochs and calls the callbacks, `runner` owns the arrays and takes the steps,
`step` is the pure function of a single step. `state` carries the optimizer state between runs,
and `nan_guard` restores the last good epoch.
"""

from bpnet.common.history import History
from bpnet.training.loop import Callback, Training

__all__ = ["Callback", "History", "Training"]
