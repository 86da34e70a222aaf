"""Training: epochs of steps over checked examples, and who may look in on them.

`loop` runs the epochs and calls the callbacks, `runner` owns the arrays and takes the steps,
`step` is the pure function that each of them runs. `state` is what one run hands to the next,
`nan_guard` goes back to the last good epoch, `history` is what is returned.
"""

from bpnet.common.history import History
from bpnet.training.loop import Callback, Training

__all__ = ["Callback", "History", "Training"]
