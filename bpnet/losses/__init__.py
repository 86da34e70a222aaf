"""Loss functions, each with its output error and its link.

The last Dense layer is linear: its output z_L, shape (m, n_L), is called the logits, and the
loss includes the link from logits to predictions. So every loss is accurate for any logit, and
the output error has the textbook form ``delta_L = sigmoid(z_L) - y``.

A loss computes the loss of each example and its derivative with respect to the logits. The
weighted mean over examples is taken once, in :func:`mean_loss` and :func:`output_error`:

    L       = sum_i w_i l_i / sum_i w_i
    delta_L = dL/dz_L = (w_i / sum_i w_i) dl_i/dz_L        (1/m without weights)
"""

from bpnet.losses.base import Loss, TargetKind, mean_loss, output_error, sum_of_weights
from bpnet.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    one_hot,
    smoothed,
)
from bpnet.losses.masked import Masked
from bpnet.losses.poisson import Poisson
from bpnet.losses.quantile import Quantile
from bpnet.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError
from bpnet.losses.table import ALIASES, LOSSES, get

__all__ = [
    "ALIASES",
    "LOSSES",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "Loss",
    "Masked",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "Quantile",
    "TargetKind",
    "get",
    "mean_loss",
    "one_hot",
    "output_error",
    "smoothed",
    "sum_of_weights",
]
