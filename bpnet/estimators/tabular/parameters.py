"""The parameters of the tabular estimators and their validation."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from bpnet import activations, metrics
from bpnet.activations import Activation
from bpnet.backend import Backend
from bpnet.common.checks import check_integer
from bpnet.common.suggestions import did_you_mean
from bpnet.distributed import Communicator, get_communicator
from bpnet.estimators._files import StoredEstimator
from bpnet.estimators.tabular.presets import SCHEDULES
from bpnet.metrics.base import Metric
from bpnet.training.loop import Callback, check_callbacks

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_FRACTION = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_SCHEDULE = [StrOptions(set(SCHEDULES)), None]


class TabularParameters(StoredEstimator):
    """Base class that declares and validates the parameters."""

    not_in_files = ("callbacks", "backend", "communicator")

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "preset": [StrOptions({"td", "td-s", "plain"})],
        "categorical_features": [StrOptions({"auto"}), "array-like"],
        "max_one_hot_size": [Interval(Real, 0, None, closed="left"), None],
        "missing_indicator": ["boolean"],
        "hidden_layer_sizes": ["array-like", None],
        "activation": [
            StrOptions({*activations.ACTIVATIONS, *activations.ALIASES}), Activation, None
        ],
        "parametric_activation": ["boolean", None],
        "parametrization": [StrOptions({"standard", "ntk"}), None],
        "init": [StrOptions({"data", "normal", "default"}), None],
        "scale_layer": ["boolean", None],
        "num_embedding": [StrOptions({"pbld", "none"}), None],
        "num_embedding_frequencies": [_COUNT, None],
        "num_embedding_size": [Interval(Integral, 2, None, closed="left"), None],
        "num_embedding_sigma": [_POSITIVE, None],
        "category_embedding_size": [_COUNT, None],
        "dropout": [_FRACTION, None],
        "dropout_schedule": _SCHEDULE,
        "label_smoothing": [_FRACTION, None],
        "learning_rate": [_POSITIVE, None],
        "learning_rate_schedule": _SCHEDULE,
        "bias_learning_rate_factor": [_NOT_NEGATIVE, None],
        "scale_learning_rate_factor": [_NOT_NEGATIVE, None],
        "activation_learning_rate_factor": [_NOT_NEGATIVE, None],
        "num_embedding_learning_rate_factor": [_NOT_NEGATIVE, None],
        "weight_decay": [_NOT_NEGATIVE, None],
        "weight_decay_schedule": _SCHEDULE,
        "beta_1": [_FRACTION, None],
        "beta_2": [_FRACTION, None],
        "epsilon": [_POSITIVE, None],
        "clip_output": ["boolean", None],
        "n_epochs": [_COUNT, Interval(Real, 0, 1, closed="neither")],
        "batch_size": [_COUNT],
        "validation_fraction": [_FRACTION],
        "metric": [StrOptions(set(metrics.METRICS)), Metric, None],
        "early_stopping": ["boolean", None],
        "time_budget": [_POSITIVE, None],
        "n_ensemble": [_COUNT],
        "ensemble": [StrOptions({"seed", "bag"})],
        "random_state": ["random_state"],
        "dtype": [StrOptions({"float32", "float64"})],
        "backend": [str, Backend, None],
        "communicator": [StrOptions({"auto"}), Communicator, None],
        "progress": ["boolean"],
        "callbacks": [Callback, "array-like", None],
        "verbose": ["verbose"],
    }  # fmt: skip

    hidden_layer_sizes: Any
    validation_fraction: float
    n_ensemble: int
    ensemble: str
    preset: str
    callbacks: Any
    communicator: str | Communicator | None

    def _validate_params(self) -> None:
        """Check each parameter, and those that depend on each other."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            raise InvalidParameterError(
                str(error).removesuffix(".") + self._hint(error)
            ) from None
        if self.hidden_layer_sizes is not None:
            for units in self.hidden_layer_sizes:
                check_integer("hidden_layer_sizes", units, 1)
        if self.ensemble == "bag" and self.n_ensemble == 1:
            raise ValueError(
                "n_ensemble must be >= 2 for ensemble='bag', whose members each hold out "
                "another part of the examples; got 1"
            )

    def _hint(self, error: Exception) -> str:
        """Return what may have been meant, for an unknown preset or metric."""
        options = {"preset": ("td", "td-s", "plain"), "metric": tuple(metrics.METRICS)}
        for name, known in options.items():
            value = getattr(self, name)
            if f"'{name}'" in str(error) and isinstance(value, str):
                return did_you_mean(value, known)
        return ""

    def _processes(self) -> Communicator:
        """Return the processes that train together."""
        found = get_communicator(self.communicator)
        if found.shards:
            raise ValueError(
                "communicator must be one without shards: all processes pass the same examples "
                "to fit, as they are prepared by what all of them have in common; got "
                f"{found!r}"
            )
        return found

    def _callback_list(self) -> Sequence[Callback]:
        return check_callbacks(() if self.callbacks is None else self.callbacks)
