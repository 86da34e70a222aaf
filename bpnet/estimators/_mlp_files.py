"""The fitted attributes of the two MLPs in a file, and setting them from one.

What a loaded estimator continues with is stored, too: the optimizer's arrays and schedules, the
order of the examples, the random states, and the best and last weights of early stopping.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone

from bpnet.activations import Activation
from bpnet.backend.typing import Parameters
from bpnet.common.checks import check_choice, check_integer, check_number
from bpnet.common.history import History
from bpnet.estimators._architecture import Architecture
from bpnet.estimators._files import FileState, checked_array
from bpnet.estimators._losses import described_loss, loss_of
from bpnet.estimators._parameters import SETTINGS
from bpnet.estimators._solvers import optimizer_of
from bpnet.estimators._stochastic import Stochastic
from bpnet.initializers import INITIALIZERS
from bpnet.losses import Loss
from bpnet.model.parameters import parameter_shapes
from bpnet.training.scheduled import prepared_schedule
from bpnet.training.state import TrainingState

NONE = type(None)
# Attributes of the last call, which one that was interrupted or another solver lacks.
_LAST_CALL: dict[str, tuple[type, ...]] = {"loss_": (float,), "history_": (History,)}
# What stochastic solvers record, and the types.
_RECORD: dict[str, tuple[type, ...]] = {
    "loss_curve_": (list,),
    "best_loss_": (float, NONE),
    "validation_scores_": (list, NONE),
    "validation_loss_curve_": (list, NONE),
    "best_validation_score_": (float, NONE),
}
_COUNTERS = ("n_iter_", "t_", "_no_improvement_count")


# --- writing ------------------------------------------------------------------------------


def file_state(estimator: Any) -> dict[str, Any]:
    """Return the fitted attributes that both estimators have."""
    estimator._validate_params()
    estimator._hidden_layers()  # raises if they are invalid
    architecture = estimator._architecture
    state = {
        "architecture": architecture._asdict() | {"loss": described_loss(architecture.loss)},
        "out_activation_": estimator.out_activation_,
        "feature_names_in_": getattr(estimator, "feature_names_in_", None),
        "coefs_": estimator.coefs_,
        "intercepts_": estimator.intercepts_,
    }
    state |= {name: getattr(estimator, name) for name in _COUNTERS}
    for name in _LAST_CALL | _RECORD:
        if hasattr(estimator, name):
            state[name] = getattr(estimator, name)
    if isinstance(estimator.random_state, Integral):
        state["_random_state"] = estimator._random_state
    if estimator._split_state is not None:
        state["_split_state"] = _as_random_state(estimator._split_state)
    for name in ("_order", "_best", "_last"):
        if getattr(estimator, name) is not None:
            state[name] = getattr(estimator, name)
    if estimator._optimizer is not None:
        state["_settings"] = dict(zip(SETTINGS, estimator._settings, strict=True))
        state["_optimizer"] = _training(estimator._optimizer)
    return state


def _training(state: TrainingState) -> dict[str, Any]:
    return {
        "step": state.step, "epoch": state.epoch, "steps_before": state.steps_before,
        "epochs_before": state.epochs_before, "arrays": state.optimizer_state,
        "schedules": {
            name: {"memory": value.state, "fixed": value.fixed}
            for name, value in state.values.items()
        },
    }  # fmt: skip


def _as_random_state(state: Any) -> np.random.RandomState:
    found = np.random.RandomState()
    found.set_state(state)
    return found


# --- reading ------------------------------------------------------------------------------


def restore(estimator: Any, state: FileState) -> None:
    """Set the fitted attributes that both estimators have."""
    estimator._hidden_layers()
    architecture = _architecture(FileState(state.take("architecture", dict)))
    estimator._architecture, estimator._seed = architecture, architecture.seed
    estimator.n_features_in_ = architecture.n_inputs
    estimator.n_outputs_ = architecture.n_outputs
    estimator.n_layers_ = len(architecture.sizes)
    estimator.out_activation_ = state.take("out_activation_", str)
    names = state.take("feature_names_in_", np.ndarray, NONE)
    if names is not None:
        names = checked_array("feature_names_in_", names, (architecture.n_inputs,), "object")
        if not all(type(name) is str for name in names):
            raise ValueError("feature_names_in_ must hold strings")
        estimator.feature_names_in_ = names
    _restore_weights(estimator, architecture, state)
    for name in _COUNTERS:
        setattr(estimator, name, state.count(name))
    due = {name: kinds for name, kinds in _LAST_CALL.items() if name in state}
    if state.keys() & _RECORD.keys():  # all or none
        due |= _RECORD
    for name, kinds in due.items():
        setattr(estimator, name, _checked_record(name, state.take(name, *kinds)))
    _restore_continuation(estimator, architecture, state)


def _checked_record(name: str, value: Any) -> Any:
    if isinstance(value, list) and not all(type(part) is float for part in value):
        raise ValueError(f"{name} must hold floats")
    return value


def _architecture(state: FileState) -> Architecture:
    hidden, activations = state.take("hidden", tuple), state.take("activations", tuple)
    dropout, n = state.take("dropout", tuple), max(1, len(state.get("hidden", ())))
    if not all(isinstance(f, Activation) for f in activations):
        raise ValueError("activations must hold activations")
    found = Architecture(
        tuple(check_integer("hidden", units, 1) for units in hidden),
        activations,
        tuple(check_number("dropout", rate, 0.0, 1.0, below=True) for rate in dropout),
        state.count("n_inputs", 1),
        state.count("n_outputs", 1),
        _loss(state.pop("loss")),
        check_number("alpha", state.pop("alpha"), 0.0),
        _init(state.pop("init")),
        check_choice("dtype", state.pop("dtype"), ("float32", "float64")),
        state.count("seed"),
    )
    n = max(1, len(hidden))
    if not len(activations) == len(dropout) == n or state:
        raise ValueError("the architecture is malformed")
    return found


def _loss(described: Any) -> Loss:
    loss = loss_of(described) if isinstance(described, str) else described
    if not isinstance(loss, Loss):
        raise ValueError("the loss is malformed")
    return loss


def _init(init: Any) -> Any:
    if init is not None and not callable(init) and init not in INITIALIZERS:
        raise ValueError("the initializer is malformed")
    return init


def _restore_weights(estimator: Any, architecture: Architecture, state: FileState) -> None:
    sizes, dtype = architecture.sizes, architecture.dtype
    coefs, intercepts = state.take("coefs_", list), state.take("intercepts_", list)
    shapes = zip(sizes[:-1], sizes[1:], coefs, intercepts, strict=True)
    for n, (rows, columns, W, b) in enumerate(shapes):
        checked_array(f"coefs_[{n}]", W, (rows, columns), dtype)
        checked_array(f"intercepts_[{n}]", b, (columns,), dtype)
    estimator.coefs_, estimator.intercepts_ = coefs, intercepts


def _restore_continuation(
    estimator: Stochastic, architecture: Architecture, state: FileState
) -> None:
    """Set what `warm_start` and `partial_fit` continue with."""
    if "_random_state" in state:
        estimator._random_state = state.take("_random_state", np.random.RandomState)
    elif isinstance(estimator.random_state, np.random.RandomState):
        estimator._random_state = estimator.random_state
    if "_split_state" in state:
        split_state = state.take("_split_state", np.random.RandomState)
        estimator._split_state = split_state.get_state()
    if "_order" in state:
        order = state.array("_order", (None,), "int64")
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise ValueError("_order must be a permutation")
        estimator._order = order
    shapes = parameter_shapes(architecture.network().layers, architecture.n_inputs)
    for name in ("_best", "_last"):
        if name in state:
            layers = state.take(name, list)
            setattr(estimator, name, _parameters(name, layers, shapes, architecture.dtype))
    if "_optimizer" in state:
        settings = state.take("_settings", dict)
        estimator._settings = tuple(settings[name] for name in SETTINGS)
        held = FileState(state.take("_optimizer", dict))
        estimator._optimizer = _restored_training(estimator, held, shapes, architecture.dtype)


def _parameters(name: str, layers: Any, shapes: Any, dtype: str) -> Parameters:
    """Return the parameters of all layers, which must have these shapes."""
    for layer, expected in zip(layers, shapes, strict=True):
        if layer.keys() != expected.keys():
            raise ValueError(f"{name} has other parameters than the network")
        for key, array in layer.items():
            checked_array(f"{name}[{key}]", array, expected[key], dtype)
    return layers  # type: ignore[no-any-return]


def _restored_training(
    estimator: Stochastic, held: FileState, shapes: Any, dtype: str
) -> TrainingState:
    """Return the training state of the optimizer that the settings describe."""
    settings = dict(zip(SETTINGS, estimator._settings, strict=True))
    builder = clone(estimator).set_params(**settings)
    builder._validate_params()
    state = TrainingState(
        optimizer_of(builder), held.count("steps_before"), held.count("epochs_before")
    )
    state.step, state.epoch = held.count("step"), held.count("epoch")
    _restore_schedules(state, held.take("schedules", dict))
    arrays = held.take("arrays", list, NONE)
    if arrays is not None:
        names = state.optimizer.state_names
        expected = [
            {f"{k}.{name}": shape for k, shape in layer.items() for name in names}
            for layer in shapes
        ]
        flat = [
            {f"{k}.{name}": s for k, part in layer.items() for name, s in part.items()}
            for layer in arrays
        ]
        _parameters("_optimizer", flat, expected, dtype)
        state.optimizer_state = arrays
    if held:
        raise ValueError("_optimizer is malformed")
    return state


class _AllMetrics(dict[str, float]):
    """Metrics of an epoch that have every name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> float:
        return 0.0


def _restore_schedules(state: TrainingState, held: dict[str, Any]) -> None:
    """Set the memory of the schedules, which must be one that they can continue with."""
    if state.values.keys() != held.keys():
        raise ValueError("the schedules do not match the optimizer")
    for name, value in state.values.items():
        memory = held[name]["memory"]
        if memory.keys() != value.state.keys():
            raise ValueError(f"the memory of {name} is malformed")
        prepared = prepared_schedule(name, value.schedule, lambda _, mode: mode or "min")
        for then in (memory, prepared.observe(memory, _AllMetrics())):
            value.check(prepared.value(float(state.epoch), then))
        value.state = memory
        value.fix(held[name]["fixed"])
