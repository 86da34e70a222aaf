"""Optimizers: pure elementwise rules that update a parameter p from its gradient g.

A rule takes a parameter, its gradient, the optimizer state (named arrays like the parameter,
initially 0), the learning rate and other scalars of the step as 0-d arrays, and returns the new
parameter and state. Being elementwise, it can be run by a backend in blocks or as one fused
kernel (``Backend.fuse``).
"""

from bpnet.optimizers.adam import Adam, AdamW
from bpnet.optimizers.adaptive import Adagrad, RMSprop
from bpnet.optimizers.averaging import MovingAverage
from bpnet.optimizers.base import Optimizer, OptimizerState, SpecialRules, global_norm
from bpnet.optimizers.factors import special_rules
from bpnet.optimizers.sgd import SGD
from bpnet.optimizers.table import OPTIMIZERS, get

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "MovingAverage",
    "Optimizer",
    "OptimizerState",
    "RMSprop",
    "SpecialRules",
    "get",
    "global_norm",
    "special_rules",
]
