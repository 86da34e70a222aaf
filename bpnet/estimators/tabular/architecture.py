"""The network of a tabular estimator: its layers and its optimizer, from the settings.

The weight decay of a step has the learning rate as a factor. In RealMLP its own factor for each
parameter comes in twice, as the authors' implementation multiplies it in a second time. So here
the factors of learning rates are those of weight decays, too.
"""

from __future__ import annotations

from typing import Any

from bpnet.estimators.tabular.preprocessing import Preprocessing
from bpnet.estimators.tabular.presets import Settings
from bpnet.layers import (
    Dense,
    Dropout,
    Embedding,
    Layer,
    ParametricActivation,
    PeriodicEmbedding,
    Scale,
)
from bpnet.optimizers import AdamW


def layers_of(
    settings: Settings, preprocessing: Preprocessing, n_outputs: int, epochs: float
) -> list[Layer]:
    """Return the layers of a network.

    Parameters
    ----------
    settings : Settings
        The preset and what the user has changed.
    preprocessing : Preprocessing
        What the inputs are: numbers, one-hot codes, codes.
    n_outputs : int
        Units of the last layer.
    epochs : float
        Length of the schedules.
    """
    layers = _embeddings(settings, preprocessing)
    if settings.scale_layer:
        factors = {"s": settings.scale_learning_rate_factor}
        layers.append(Scale(learning_rate_factors=factors, weight_decay_factors=factors))
    for units in settings.hidden_layer_sizes:
        layers += _hidden(settings, units, epochs)
    return [*layers, _dense(settings, n_outputs, "identity", is_last=True)]


def optimizer_of(settings: Settings, epochs: float) -> AdamW:
    """Return the optimizer; `epochs` is the length of its schedules."""
    decay: Any = settings.schedule("weight_decay", epochs) if settings.weight_decay else 0.0
    return AdamW(
        settings.schedule("learning_rate", epochs), decay,
        beta1=settings.beta_1, beta2=settings.beta_2, epsilon=settings.epsilon,
    )  # fmt: skip


def _embeddings(settings: Settings, preprocessing: Preprocessing) -> list[Layer]:
    """Return the layers that embed numbers and categories, where there are any."""
    layers: list[Layer] = []
    if settings.num_embedding == "pbld" and preprocessing.n_numbers:
        rate = settings.num_embedding_learning_rate_factor
        factors = dict.fromkeys(("w1", "b1", "W2", "b2"), rate)
        layers.append(
            PeriodicEmbedding(
                settings.num_embedding_frequencies, settings.num_embedding_size,
                settings.num_embedding_sigma, columns=preprocessing.n_numbers,
                learning_rate_factors=factors, weight_decay_factors=factors,
            )
        )  # fmt: skip
    if preprocessing.embedded:
        layers.append(Embedding(preprocessing.embedded, settings.category_embedding_size))
    return layers


def _hidden(settings: Settings, units: int, epochs: float) -> list[Layer]:
    """Return a hidden layer with its activation and dropout."""
    if settings.parametric_activation:
        factors = {"alpha": settings.activation_learning_rate_factor}
        layers: list[Layer] = [
            _dense(settings, units, "identity"),
            ParametricActivation(
                settings.activation, learning_rate_factors=factors, weight_decay_factors=factors
            ),
        ]
    else:
        layers = [_dense(settings, units, settings.activation)]
    if settings.dropout:
        layers.append(Dropout(settings.schedule("dropout", epochs)))
    return layers


def _dense(settings: Settings, units: int, activation: Any, *, is_last: bool = False) -> Dense:
    init, bias_init = None, "zeros"
    if settings.init == "normal" and is_last:
        init = "zeros"
    elif settings.init != "default":
        init = bias_init = "standard_normal"
    return Dense(
        units, activation, parametrization=settings.parametrization,
        learning_rate_factors={"b": settings.bias_learning_rate_factor},
        weight_decay_factors={"b": 0.0}, init=init, bias_init=bias_init,
    )  # fmt: skip
