"""Metrics: how well a network predicts, beside its loss.

Pass names or metrics to ``Network.evaluate`` and ``Network.fit``, such as
``metrics=["accuracy", bpnet.metrics.TopKAccuracy(k=3)]``.

=========================================== ================================================
"accuracy"                                  share of examples with every label right
"balanced_accuracy"                         mean recall of the classes
"top_k_accuracy"                            the class is among the k = 5 most probable
"f1"                                        harmonic mean of precision and recall
"roc_auc"                                   area under the ROC curve
"log_loss"                                  cross-entropy, without penalties
"mse", "mean_squared_error"                 mean squared error
"rmse", "root_mean_squared_error"           its root
"mae", "mean_absolute_error"                mean absolute error
"r2"                                        share of the variance that is predicted
=========================================== ================================================

All take sample weights, and several labels or outputs. They are computed on the device, in the
dtype of the network. For one of your own, derive from :class:`MeanMetric`,
:class:`WholeMetric` or :class:`Metric`.
"""

from bpnet.metrics.base import MeanMetric, Metric, WholeMetric
from bpnet.metrics.classification import F1, Accuracy, BalancedAccuracy, LogLoss, TopKAccuracy
from bpnet.metrics.ranking import ROCAUC
from bpnet.metrics.regression import (
    R2,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
)
from bpnet.metrics.table import METRICS, get

__all__ = [
    "F1",
    "METRICS",
    "R2",
    "ROCAUC",
    "Accuracy",
    "BalancedAccuracy",
    "LogLoss",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "WholeMetric",
    "get",
]
