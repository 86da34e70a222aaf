"""Schedules of the learning rate, the weight decay and the dropout rate.

A schedule maps the time in epochs to a value: 0.0 is the start of training, 2.5 the middle of
the third epoch. It is evaluated for every step. Pass one wherever an optimizer takes a learning
rate or a weight decay, or a layer a rate: ``Adam(Cosine(1e-2, epochs=100))``,
``Dropout(Step(0.5, every=10))``.

A schedule is frozen. One that depends on the metrics keeps its memory in a dict that belongs to
the training state: ``initial_state()`` creates it, ``observe(state, logs)`` returns that of the
next epoch, and ``value(epoch, state)`` reads it.
"""

from bpnet.schedules.base import Directions, Schedule, ScheduleState
from bpnet.schedules.cycles import CosineRestarts, CosLog, OneCycle
from bpnet.schedules.decay import (
    Constant,
    Cosine,
    Exponential,
    FlatCosine,
    InverseScaling,
    Step,
)
from bpnet.schedules.lookup import check_value, example, get
from bpnet.schedules.plateau import ReduceOnPlateau
from bpnet.schedules.warm_up import WarmUp

__all__ = [
    "Constant",
    "CosLog",
    "Cosine",
    "CosineRestarts",
    "Directions",
    "Exponential",
    "FlatCosine",
    "InverseScaling",
    "OneCycle",
    "ReduceOnPlateau",
    "Schedule",
    "ScheduleState",
    "Step",
    "WarmUp",
    "check_value",
    "example",
    "get",
]
