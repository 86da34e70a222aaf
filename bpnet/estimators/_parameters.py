"""The parameters of both estimators and their validation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
)

from bpnet import activations, initializers
from bpnet.activations import Activation
from bpnet.backend import Backend
from bpnet.callbacks.checkpoint import Checkpoint
from bpnet.common.checks import check_integer, check_number
from bpnet.estimators._files import StoredEstimator
from bpnet.estimators._hints import SOLVERS, hint
from bpnet.estimators._losses import NOT_IN_FILES
from bpnet.optimizers import Optimizer
from bpnet.schedules import Schedule
from bpnet.training.loop import Callback, check_callbacks

_ACTIVATIONS = {*activations.ACTIVATIONS, *activations.ALIASES}

# Parameters that L-BFGS does not support.
_STOCHASTIC_ONLY = (
    "dropout", "clip_norm", "optimizer", "schedule", "callbacks", "progress",
)  # fmt: skip

# The parameters of the optimizer.
SETTINGS = (
    "solver", "learning_rate", "learning_rate_init", "power_t", "momentum",
    "nesterovs_momentum", "beta_1", "beta_2", "epsilon", "clip_norm", "optimizer", "schedule",
)  # fmt: skip

HiddenLayers = tuple[tuple[int, ...], tuple[Activation, ...], tuple[float, ...]]


class MLPParameters(StoredEstimator):
    """Base class that declares and validates the parameters."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(_ACTIVATIONS), Activation, list, tuple],
        "solver": [StrOptions(set(SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "optimizer": [Optimizer, None],
        "schedule": [Schedule, None],
        "init": [StrOptions(set(initializers.INITIALIZERS)), callable, None],
        "callbacks": [Callback, "array-like", None],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "backend": [str, Backend, None],
        "progress": ["boolean"],
    }

    # Files hold neither code nor where to compute.
    not_in_files = ("callbacks", "backend")

    hidden_layer_sizes: Any
    activation: Any
    solver: str
    alpha: float
    batch_size: int | Literal["auto"]
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: Any
    clip_norm: float | None
    optimizer: Optimizer | None
    schedule: Schedule | None
    init: Any
    callbacks: Any
    dtype: str | None
    backend: str | Backend | None
    progress: bool

    def _validate_params(self) -> None:
        """Add to scikit-learn's error what to write instead."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            message = str(error)
            if advice := hint(message, self):
                message = message.removesuffix(".") + advice
            raise InvalidParameterError(message) from None

    @property
    def _is_stochastic(self) -> bool:
        return self.solver != "lbfgs"

    @property
    def _is_adaptive(self) -> bool:
        """Whether the learning rate is divided instead of stopping."""
        return (
            self.solver == "sgd"
            and self.learning_rate == "adaptive"
            and self.optimizer is None
            and self.schedule is None
        )

    def _solver_settings(self) -> tuple[Any, ...]:
        """Return all parameters of the optimizer; if they change, it must be rebuilt."""
        return tuple(getattr(self, name) for name in SETTINGS)

    @property
    def _rate_setting(self) -> str:
        """The parameter that sets the learning rate, as errors name it."""
        if self.optimizer is not None:
            return "the rate of optimizer"
        return "learning_rate_init" if self.schedule is None else "the rate of schedule"

    def _check_combinations(self, incremental: bool, is_validated: bool) -> None:
        """Reject parameters that contradict each other."""
        if any(isinstance(callback, Checkpoint) for callback in self._callback_list()):
            raise TypeError(f"{NOT_IN_FILES}; got it in callbacks")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.optimizer is not None:
            for name in ("schedule", "clip_norm"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} belongs to the solver, which optimizer replaces; pass it to "
                        f"the optimizer instead: got {name}={getattr(self, name)!r} and "
                        f"optimizer={self.optimizer!r}"
                    )
        if is_validated and not self._is_stochastic:
            raise ValueError(
                "validation_data needs solver 'sgd' or 'adam', got it with solver='lbfgs', "
                "which has no epochs to score; call score after fit"
            )
        if not self._is_stochastic:
            for name in _STOCHASTIC_ONLY:
                value = getattr(self, name)
                if np.any(value):
                    raise ValueError(
                        f"{name} needs solver 'sgd' or 'adam', got solver='lbfgs' and "
                        f"{name}={value!r}"
                    )

    def _hidden_layers(self) -> HiddenLayers:
        """Return units, activations and dropout rates of the hidden layers."""
        sizes = self.hidden_layer_sizes
        units = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        units = [check_integer("hidden_layer_sizes", n, -math.inf) for n in units]
        if min(units, default=1) <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {units}.")
        functions = _one_per_layer("activation", self.activation, units)
        rates = _one_per_layer("dropout", self.dropout, units)
        return (
            tuple(units),
            tuple(map(activations.get, functions)),
            tuple(check_number("dropout", rate, 0.0, 1.0, below=True) for rate in rates),
        )

    def _callback_list(self) -> list[Callback]:
        return check_callbacks(() if self.callbacks is None else self.callbacks)


def _one_per_layer(name: str, value: Any, units: list[Any]) -> list[Any]:
    """Repeat one value for each hidden layer (once if there is none), or check a sequence."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * max(1, len(units))
    values = list(value)
    if len(values) != len(units):
        raise ValueError(
            f"{name} must have one entry for each of {len(units)} hidden layers, "
            f"got {len(values)}"
        )
    return values
