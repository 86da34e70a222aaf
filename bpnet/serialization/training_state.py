"""The training state in a file, and resuming from it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bpnet.common.checks import check_number, check_path
from bpnet.common.component import Component, attributes, nested
from bpnet.common.history import History
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader
from bpnet.layers import trained_parameters
from bpnet.model.model import Model
from bpnet.model.parameters import parameter_shapes
from bpnet.optimizers import Optimizer
from bpnet.serialization import callback_state, safetensors_file
from bpnet.serialization.callback_state import RestoreCallbacks
from bpnet.serialization.config import Custom, argument, build, check_names, describe, short
from bpnet.serialization.model_state import (
    architecture,
    check_rest,
    counter,
    document,
    file_errors,
    named,
    printable,
    restored,
    take,
    weights,
)
from bpnet.serialization.safetensors_file import Tensors
from bpnet.serialization.upgrade import upgraded, with_former_defaults
from bpnet.training.loop import Training
from bpnet.training.scheduled import ScheduledValue, prepared
from bpnet.training.state import TrainingState

# What Network.save writes for the examples, which it no longer has, and what is written for
# those of several processes, of which none has all; what older files lack.
_UNKNOWN = "unknown"
# The settings as named in errors.
_LABELS = {
    "optimizer": "the optimizer",
    "batch_size": "batch_size",
    "shuffle": "shuffle",
    "loss_weighting": "the caller (Network.fit, or fit of an estimator)",
    "data": "the training examples",
    "validation": "the validation examples",
    "precision": "matmul_precision",
}


# --- writing ------------------------------------------------------------------------------


def settings(training: Training) -> dict[str, Any]:
    """Describe what a training run must have in common with the run that it resumes.

    The examples are hashed once in a run, however often it is described.
    """
    state, validation = training.state, training.validation
    if "data" not in state.settings:
        state.settings = training.settings | {
            "optimizer": describe(state.optimizer),
            "data": _UNKNOWN if training.communicator.shards else training.data.fingerprint(),
            "validation": None if validation is None else validation.fingerprint(),
        }
    return state.settings


def is_describable(state: TrainingState) -> bool:
    """Whether the optimizer of a training state can be stored in a file."""
    try:
        describe(state.optimizer)
    except TypeError:
        return False
    return True


def contents(
    network: Model, state: TrainingState | None, common: dict[str, Any] | None = None
) -> tuple[dict[str, Any], Tensors]:
    """Return the document and the tensors of a network, with its training state if given.

    `common` are the :func:`settings` of the run; without them the examples are unknown.
    """
    tensors = weights(network)
    if state is None:
        return {"network": document(network)}, tensors
    assert state.optimizer_state is not None
    check_names([network.loss, *network.layers, state.optimizer])
    for state_name in state.optimizer.state_names:
        arrays = [
            {name: s[state_name] for name, s in layer.items()}
            for layer in state.optimizer_state
        ]
        tensors |= named(f"training.optimizer.{state_name}", arrays)
    for number, values in enumerate(state.history.values()):
        tensors[f"training.history.{number}"] = np.asarray(values, np.float64)
    unknown = {"data": _UNKNOWN, "validation": _UNKNOWN}
    described = {
        "settings": common
        or state.settings | unknown | {"optimizer": describe(state.optimizer)},
        "schedules": {
            name: {"state": _memory(value), "fixed": value.fixed}
            for name, value in state.values.items()
        },
        "step": state.step,
        "epoch": state.epoch,
        "steps_before": state.steps_before,
        "epochs_before": state.epochs_before,
        "completed": state.history.epochs,
        "place": state.place,
        "history": list(state.history),
        "stopped": state.history.stopped,
        "seconds": state.history.seconds,
        "callbacks": callback_state.described(state.callbacks, tensors),
    }
    counters = {"steps_taken": state.steps_taken, "epochs_taken": state.epochs_taken}
    return {"network": document(network) | counters, "training": described}, tensors


def _memory(value: ScheduledValue) -> Any:
    """Describe the memory of a schedule."""
    try:
        return describe(value.state)
    except TypeError as error:
        raise TypeError(
            f"the schedule {value.schedule!r} of {value.name} cannot be saved with its memory: "
            f"{error}"
        ) from error


# --- resuming -----------------------------------------------------------------------------


class Resumption:
    """The training run in a file, to be resumed by a network.

    The network must have the same layers, loss, dtype and seed; its weights are ignored. The
    optimizer must be that of the run; None takes it from the file.
    """

    def __init__(
        self, network: Model, path: str | os.PathLike[str], optimizer: Optimizer | None
    ) -> None:
        path = check_path("resume_from", path)
        described, tensors = safetensors_file.read(path)
        self.path, self.optimizer, custom = path, optimizer, _classes_of(network, optimizer)
        with file_errors(path):
            described, tensors = upgraded(described, tensors)
            if "estimator" in described:
                raise ValueError(
                    "it holds an estimator, which continues by its own fit or partial_fit; "
                    "load it with bpnet.load"
                )
            self.network = restored(described["network"], tensors, Model, custom)
            if "training" not in described:
                raise ValueError(
                    "it holds a network without a training run; resume from a file written by "
                    "bpnet.Checkpoint, or load it with bpnet.load and fit it again"
                )
            training = described["training"]
            self.settings = {"precision": _UNKNOWN} | training["settings"]
            self.state = self._state(training, tensors, custom)
            self.settings["optimizer"] = describe(self.state.optimizer)  # with all parameters
            self.history = _history(training, tensors)
            if self.history.epochs != counter(training, "completed"):
                raise ValueError("its history has a different number of epochs")
            for value in self.state.values.values():
                value.schedule.observe(value.state, self.history.last())  # raises if malformed
            self.callbacks = callback_state.kept(training["callbacks"], tensors)
            check_rest(tensors)
        self.version = described["version"]
        ours, theirs = architecture(network), architecture(self.network)
        for name, value in with_former_defaults(ours, self.version).items():
            self._compare(f"the network's {name}", value, theirs[name])
        names, known = network.feature_names, self.network.feature_names
        if names and known:
            self._compare("the network's feature_names", names, known)

    def _state(
        self, training: dict[str, Any], tensors: Tensors, custom: Custom
    ) -> TrainingState:
        network = self.network
        state = TrainingState(
            build(training["settings"]["optimizer"], "optimizers", custom),
            counter(training, "steps_before"),
            counter(training, "epochs_before"),
            network.layers,
        )
        if state.values.keys() != training["schedules"].keys():
            raise ValueError("its schedules do not match its optimizer and layers")
        for name, value in state.values.items():
            _restore_schedule(value, training["schedules"][name], custom)
        state.step, state.epoch = counter(training, "step"), counter(training, "epoch")
        state.place = _place(training)
        assert network.n_inputs is not None
        state.optimizer_state = [
            {
                name: {
                    n: take(
                        tensors, f"training.optimizer.{n}.{layer}.{name}", shape, network.dtype
                    )
                    for n in state.optimizer.state_names
                }
                for name, shape in shapes.items()
            }
            for layer, shapes in enumerate(
                trained_parameters(
                    network.layers, parameter_shapes(network.layers, network.n_inputs)
                )
            )
        ]
        return state

    def apply_to(self, training: Training) -> None:
        """Check that a training run matches, and let it start where the file's run ended.

        Raises
        ------
        ValueError
            If it does not match; nothing is changed then.
        """
        if self.optimizer is not None:
            ours = self.optimizer
            if self.version > 1:
                ours = prepared(ours, training.direction)
            ours = with_former_defaults(describe(ours), self.version)
            self._compare(_LABELS["optimizer"], ours, self.settings["optimizer"])
        examples = {"data": training.data, "validation": training.validation}
        for name, value in settings(training).items():
            theirs = self.settings.get(name)
            if theirs != _UNKNOWN:
                ours = (
                    _hashed_alike(examples[name], value, theirs) if name in examples else value
                )
                self._compare(_LABELS[name], ours, theirs)
        if training.epochs < self.history.epochs:
            raise ValueError(
                f"epochs counts from the first epoch, also with resume_from: it must be >= "
                f"{self.history.epochs}, the number that {os.fsdecode(self.path)} has "
                f"completed; got {training.epochs}"
            )
        self._compare_metrics(training)
        states = RestoreCallbacks(self.path, self.callbacks, training.callbacks)
        network = training.network
        with network.unchanged_on_error():
            network.set_parameters(*self.network.to(training.backend).placement)
            network.n_inputs = self.network.n_inputs
            states.on_train_begin(training)
            if isinstance(training.data, Loader) and self.state.place:
                training.data.seek(self.state.place)
        training.callbacks.append(states)
        training.continue_from(self.history)

    def _compare_metrics(self, training: Training) -> None:
        """Refuse other metrics, as the history has a value of each in each epoch.

        What a callback adds is known if all of them declare it (:attr:`Callback.adds`).
        """
        due = list(training.metrics) if training.training_metrics else []
        if training.validation is not None and "val_loss" in self.history:
            due += [f"val_{name}" for name in training.metrics]
        missing = [name for name in due if name not in self.history]
        extra = [name for name in self.history if not training.records(name)]
        if self.history.epochs and (missing or extra):
            held = printable(", ".join(self.history)[:300])
            reason = (
                f"{missing[0]!r} is missing" if missing else f"nothing records {extra[0]!r}"
            )
            raise ValueError(
                f"cannot resume {os.fsdecode(self.path)}: metrics must be the same as in the "
                f"training run that it holds, whose history has {held}; got "
                f"{', '.join(training.metrics)}, so {reason[:100]}"
            )

    def _compare(self, what: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            raise ValueError(
                f"cannot resume {os.fsdecode(self.path)}: {what} must be the same as in the "
                f"training run that it holds, {_shown(*_difference(theirs, ours))}; got "
                f"{_shown(*_difference(ours, theirs))}"
            )


def _classes_of(network: Model, optimizer: Optimizer | None) -> Custom:
    """Return the classes and functions of which a network and its optimizer are made."""
    components = [network.loss, *network.layers, *([] if optimizer is None else [optimizer])]
    found: dict[str, Any] = {}
    for component in (part for whole in components for part in nested(whole)):
        found[f"{component.kind}.{component.component_name}"] = type(component)
        for value in attributes(component).values():
            if callable(value) and not isinstance(value, Component):
                found[getattr(value, "__name__", "")] = value
    return found


def _restore_schedule(value: Any, held: Any, custom: Custom) -> None:
    state = argument(held["state"], custom)
    if state.keys() != value.state.keys():
        raise ValueError(f"the memory of {value.name} is malformed: {short(held)}")
    value.state = state
    value.fix(held["fixed"])


def _place(training: dict[str, Any]) -> dict[str, Any]:
    """Return the place of the loader, which older files lack."""
    place = training.get("place", {})
    if not isinstance(place, dict):
        raise ValueError(f"the place of its loader is malformed: {short(place)}")
    return place


def _history(training: dict[str, Any], tensors: Tensors) -> History:
    history, names = History(), training["history"]
    if not isinstance(names, list) or len(set(names)) != len(names):
        raise ValueError("the names in its history are malformed")
    for number, name in enumerate(names):
        values = tensors.pop(f"training.history.{number}")
        if not isinstance(name, str) or values.ndim != 1:
            raise ValueError(f"the metric {short(name)} is malformed")
        history.history[name] = values.tolist()
    if not isinstance(training["stopped"], str | None):
        raise ValueError("the reason why it stopped is malformed")
    history.stopped = training["stopped"]
    history.seconds = check_number("seconds", training["seconds"], 0.0)
    return history


def _hashed_alike(examples: Dataset | Loader | None, ours: Any, theirs: Any) -> Any:
    """Return the fingerprint of examples, by the rule that the other one followed."""
    is_tagged = ":" in str(theirs[-1:]) if isinstance(theirs, list) else True
    if isinstance(examples, Dataset) and not is_tagged:
        return examples.sampled_fingerprint()
    return ours


def _difference(ours: Any, theirs: Any, name: str = "") -> tuple[Any, str]:
    """Return the first part of a description that differs from another, and its name."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        first = next(key for key in ours if ours[key] != theirs[key])
        return _difference(
            ours[first], theirs[first], f"{name}.{printable(first[:40])}".lstrip(".")
        )
    return ours, name


def _shown(value: Any, name: str = "") -> str:
    """Format a description for an error; data by its size and the start of its hash."""
    if name:
        return f"{name} = {_shown(value)}"
    match value:
        case [int(rows), int(inputs), str(digest)]:
            digest = digest.rpartition(":")[2]
            return (
                f"{short(rows)} examples of {short(inputs)} features with hash "
                f"{printable(digest[:8])}"
            )
    return "none" if value is None else short(value)
