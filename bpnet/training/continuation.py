"""Continuing the last training run of a network: warm starts and ``partial_fit``."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.backend.typing import Parameters
from bpnet.common.history import History
from bpnet.layers import trained_parameters
from bpnet.model.model import Model
from bpnet.model.parameters import Placement
from bpnet.optimizers import Adam, Optimizer
from bpnet.training.state import TrainingState


class LastRun(NamedTuple):
    """What the last call of ``fit`` has left.

    Attributes
    ----------
    state : TrainingState
        The state at the end.
    placement : Placement
        The weights at the end.
    is_complete : bool
        Whether `state` is that of the last epoch, and the weights are, too.
    """

    state: TrainingState
    placement: Placement
    is_complete: bool


def continued(model: Model, last: LastRun | None, optimizer: Optimizer | None) -> TrainingState:
    """Return a state that continues the last run, which is left as it is.

    Parameters
    ----------
    model : Model
        The network. If it was built anew since, the state is a new one; if only its weights
        were set, the optimizer is told so.
    last : LastRun or None
        Its last run.
    optimizer : Optimizer or None
        None is that of the last run, or Adam. Another one continues at the same time, but its
        schedules have no memory, and its arrays are kept only if it is of the same kind.
    """
    if last is None or last.state.steps_taken != model.steps_taken:
        rule = optimizer or (last.state.given if last else Adam())
        return TrainingState(rule, model.steps_taken, model.epochs_taken, model.layers)
    if optimizer is None or optimizer == last.state.given:
        state = last.state.copy()
    else:
        state = TrainingState(optimizer)
        state.warm_start(last.state)
        rates = {
            n: copy.copy(v) for n, v in last.state.values.items() if n.startswith("layers.")
        }
        state.values |= rates
    state.history, state.settings, state.place = History(), {}, {}
    if state.optimizer_state is not None and not _are_equal(model.placement, last.placement):
        _tell(state, model)
    return state


def _are_equal(now: Placement, then: Placement) -> bool:
    """Whether the weights have the same values, perhaps on another backend."""
    if now is then:
        return True
    return all(
        np.array_equal(to_host(p), to_host(before[name]))
        for layer, before in zip(now.parameters, then.parameters, strict=True)
        for name, p in layer.items()
    )


def _tell(state: TrainingState, model: Model) -> None:
    """Tell the optimizer that the weights were set."""
    backend, parameters = model.placement
    trained: Parameters = trained_parameters(model.layers, parameters)
    with backend.activate():
        arrays = state.optimizer_state_on(backend, trained)
        state.optimizer_state = state.optimizer.restarted(backend.xp, trained, arrays)
