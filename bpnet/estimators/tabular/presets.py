"""The presets of the tabular estimators, and what a fit makes of one.

"td" and "td-s" are the tuned defaults of RealMLP and its simplification RealMLP-TD-S
(Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted
trees on tabular data", NeurIPS 2024, table A.1), with the values of the authors' implementation
pytabkit 1.7. From the same weights and batches both train alike, to rounding, but stop early by
a rule that pytabkit has as an option: on 25 tables that took 0.36 of the epochs and made scores
neither better nor worse (docs/benchmarks.md). What goes in differs on purpose: the validation
examples are stratified by class, the levels of categories are those of the training part alone,
columns of numbers may have gaps, and a category that training did not have is embedded as zeros
instead of random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from bpnet.activations import Activation
from bpnet.schedules import Constant, Cosine, CosLog, FlatCosine, OneCycle, Schedule

# How a value goes with time, by name: functions of its size and of the number of epochs.
SCHEDULES = {
    "constant": lambda value, epochs: Constant(value),
    "coslog4": lambda value, epochs: CosLog(value, epochs, cycles=4),
    "cosine": Cosine,
    "flat_cosine": FlatCosine,
    "one_cycle": OneCycle,
}


@dataclass(frozen=True)
class Settings:
    """Everything that a preset sets; the parameters of the estimators by the same names.

    Their docstrings say what each means.
    """

    hidden_layer_sizes: tuple[int, ...] = (256, 256, 256)
    activation: str | Activation = "relu"
    parametric_activation: bool = False
    parametrization: str = "standard"
    init: str = "default"
    scale_layer: bool = False
    num_embedding: str = "none"
    num_embedding_frequencies: int = 16
    num_embedding_size: int = 4
    num_embedding_sigma: float = 0.1
    max_one_hot_size: float = math.inf
    category_embedding_size: int = 8
    dropout: float = 0.0
    dropout_schedule: str = "constant"
    label_smoothing: float = 0.0
    learning_rate: float = 0.001
    learning_rate_schedule: str = "constant"
    bias_learning_rate_factor: float = 1.0
    scale_learning_rate_factor: float = 1.0
    activation_learning_rate_factor: float = 1.0
    num_embedding_learning_rate_factor: float = 1.0
    weight_decay: float = 0.0
    weight_decay_schedule: str = "constant"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    clip_output: bool = False
    early_stopping: bool = False

    def schedule(self, name: str, epochs: float) -> Schedule:
        """Return the schedule of "learning_rate", "weight_decay" or "dropout"."""
        value: float = getattr(self, name)
        return SCHEDULES[getattr(self, f"{name}_schedule")](value, epochs)


NAMES = tuple(field.name for field in fields(Settings))

_PLAIN = Settings()
_TD_S = Settings(
    parametrization="ntk",
    init="normal",
    scale_layer=True,
    learning_rate_schedule="coslog4",
    bias_learning_rate_factor=0.1,
    scale_learning_rate_factor=6.0,
    beta_2=0.95,
    early_stopping=True,
)
_TD = replace(
    _TD_S,
    parametric_activation=True,
    init="data",
    num_embedding="pbld",
    max_one_hot_size=9,
    dropout=0.15,
    dropout_schedule="flat_cosine",
    activation_learning_rate_factor=0.1,
    num_embedding_learning_rate_factor=0.1,
    weight_decay=0.02,
    weight_decay_schedule="flat_cosine",
)

CLASSIFIER: Mapping[str, Settings] = MappingProxyType(
    {
        "td": replace(_TD, activation="selu", learning_rate=0.04, label_smoothing=0.1),
        "td-s": replace(_TD_S, activation="selu", learning_rate=0.04, label_smoothing=0.1),
        "plain": _PLAIN,
    }
)
REGRESSOR: Mapping[str, Settings] = MappingProxyType(
    {
        "td": replace(_TD, activation="mish", learning_rate=0.2, clip_output=True),
        "td-s": replace(_TD_S, activation="mish", learning_rate=0.07),
        "plain": _PLAIN,
    }
)


def settings_of(preset: Settings, parameters: Mapping[str, Any]) -> Settings:
    """Return a preset with what the parameters of an estimator change; None changes nothing."""
    changes = {name: parameters[name] for name in NAMES if parameters.get(name) is not None}
    if "hidden_layer_sizes" in changes:
        changes["hidden_layer_sizes"] = tuple(changes["hidden_layer_sizes"])
    return replace(preset, **changes)
