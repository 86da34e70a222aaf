"""bpnet's random numbers in pytabkit's RealMLP: initial weights, batches and dropout masks."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

Layers = Sequence[dict[str, Any]]


@contextlib.contextmanager
def same_random_numbers(
    estimator: Any,
    preprocessing: Any,
    layers: Layers,
    order: Callable[[int, int], Any],
    keys: Sequence[int] = (),
) -> Iterator[None]:
    """Let an estimator of pytabkit be fitted with bpnet's random numbers.

    Parameters
    ----------
    estimator : pytabkit's estimator
        What is fitted meanwhile, once.
    preprocessing : bpnet.estimators.tabular.preprocessing.Preprocessing
        What the columns of bpnet's inputs are.
    layers : sequence of dict
        The initial parameters of each layer.
    order : function
        The order of the rows in an epoch from 0: ``order(epoch, n_rows)``.
    keys : sequence of int
        The keys of the masks, one for each layer of dropout.
    """
    import torch
    from pytabkit.models.data import data
    from pytabkit.models.nn_models.nn import DropoutLayer
    from pytabkit.models.training.nn_creator import NNCreator

    create, epochs, calls = NNCreator.create_model, itertools.count(), itertools.count()

    def create_model(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        model = create(self, *arguments, **named)
        copy_weights(layers, preprocessing, estimator, model)
        calls = itertools.count()  # the initialization used masks, too
        return model

    def batch_randperm(n_batch: int, n: int, device: Any) -> Any:
        return torch.as_tensor(order(next(epochs), n)).expand(n_batch, n)

    def forward_cont(self: Any, x: Any) -> Any:
        rate = self.hyper_getter()
        if not self.training or not rate:
            return x
        step, layer = divmod(next(calls), len(keys))
        return x * mask(x, keys[layer], step, rate)

    with (
        mock.patch.object(NNCreator, "create_model", create_model),
        mock.patch.object(data, "batch_randperm", batch_randperm),
        mock.patch.object(DropoutLayer, "forward_cont", forward_cont),
    ):
        yield


@contextlib.contextmanager
def watched_losses() -> Iterator[list[float]]:
    """Give a list to which pytabkit's steps append their losses meanwhile."""
    from pytabkit.models.training.lightning_modules import TabNNModule

    losses: list[float] = []
    step = TabNNModule.training_step

    def training_step(self: Any, batch: Any, number: int) -> Any:
        loss = step(self, batch, number)
        losses.append(loss.item())
        return loss

    with mock.patch.object(TabNNModule, "training_step", training_step):
        yield losses


def mask_keys(network: Any) -> list[int]:
    """Return the keys of the masks of a network of bpnet, one for each layer of dropout."""
    import bpnet
    from bpnet.random import mask_key

    return [
        mask_key(network.seed, number)
        for number, layer in enumerate(network.layers)
        if isinstance(layer, bpnet.Dropout)
    ]


def mask(x: Any, key: int, step: int, rate: float) -> Any:
    """Return bpnet's mask of a layer of dropout in a step, for activations of pytabkit."""
    import torch

    from bpnet.random import uniform_bits

    bits = uniform_bits(np, tuple(x.shape[-2:]), key, np.asarray(step))
    kept = bits >= round(rate * 2**32) - 2**31
    return torch.from_numpy(kept.astype(np.float32) / np.float32(1.0 - rate))


def copy_weights(layers: Layers, preprocessing: Any, estimator: Any, model: Any) -> None:
    """Copy weights into the network of pytabkit's estimator, which has read the table."""
    import torch

    own: dict[str, list[Any]] = {}
    for parameter in model.parameters():
        own.setdefault(str(parameter.context.scope), []).append(parameter)
    with torch.no_grad():
        for name, values in weights(layers, preprocessing, levels_of(estimator)):
            target = own[name].pop(0)
            target.copy_(torch.as_tensor(values).reshape(target.shape))
    left = [name for name, parameters in own.items() if parameters]
    assert not left, f"no weights for {left}"


def levels_of(estimator: Any) -> list[list[Any]]:
    """Return the levels of each column of categories, sorted, without what is missing."""
    (_, encoder, _), *_ = estimator.x_converter_.cat_tf.transformers_
    columns = getattr(encoder, "categories_", ())
    return [[level for level in column if level == level] for column in columns]


def weights(
    layers: Layers, preprocessing: Any, levels: list[list[Any]]
) -> Iterator[tuple[str, Any]]:
    """Yield the weights by pytabkit's names, in its order of columns, axes and levels."""
    layers, n_features = list(layers), 0
    if "w1" in layers[0]:
        periodic = layers.pop(0)
        n_features = periodic["W2"][..., 0].size
        names = {"weight_1": "w1", "bias_1": "b1", "weight_2": "W2", "bias_2": "b2"}
        for name, ours in names.items():
            yield f"/plr/{name}", periodic[ours].transpose(0, 2, 1)
    pairs = zip(preprocessing.encoders, levels, strict=True)
    embedded = [(encoder, found) for encoder, found in pairs if encoder.embedded]
    if embedded:
        tables = layers.pop(0).values()
        for (encoder, found), table in zip(embedded, tables, strict=True):
            # What only occurs among the rows to validate on is unknown to bpnet.
            known = {level: number for number, level in enumerate(encoder.levels, 1)}
            yield "/tfms/emb", table[[0, *(known.get(level, 0) for level in found)]]
    scale, *layers = layers
    order = columns(preprocessing, levels, n_features, scale["s"].size)
    place = "/net/first_layer/layer-0"
    yield f"{place}/scale", _rows(scale["s"].reshape(-1), order, 1.0)
    dense = [layer for layer in layers if "W" in layer]
    dense[0] = dense[0] | {"W": _rows(dense[0]["W"], order, 0.0)}
    places = [place, *(f"/net/middle_layer/layer-{n}" for n in range(1, len(dense) - 1))]
    places.append(f"/net/last_layer/layer-{len(dense) - 1}")
    for place, layer in zip(places, dense, strict=True):
        yield f"{place}/weight", layer["W"]
        yield f"{place}/bias", layer["b"]
    parametric = [layer for layer in layers if "alpha" in layer]
    for place, layer in zip(places, parametric, strict=False):
        yield f"{place}/act", layer["alpha"]


def columns(
    preprocessing: Any, levels: list[list[Any]], n_features: int, n_columns: int
) -> list[int]:
    """Return which row of bpnet's first matrix is that of each of pytabkit's; -1 is none.

    bpnet's inputs are numbers, columns of gaps, one-hot codes, `n_features` periodic features
    and embeddings; pytabkit's are features, numbers, one-hot codes and embeddings.
    """
    start = preprocessing.n_numbers + int(np.sum(preprocessing.indicated))
    one_hot = []
    for encoder, found in zip(preprocessing.encoders, levels, strict=True):
        if encoder.embedded:
            continue
        if len(found) <= 2:
            one_hot.append(start)
        elif encoder.width == 1:
            one_hot += [-1] * len(found)
        else:
            known = {level: start + number for number, level in enumerate(encoder.levels)}
            one_hot += [known.get(level, -1) for level in found]
        start += encoder.width
    features, embeddings = (
        range(start, start + n_features),
        range(start + n_features, n_columns),
    )
    return [*features, *range(preprocessing.n_numbers), *one_hot, *embeddings]


def _rows(values: Any, order: list[int], other: float) -> Any:
    rows = values[order].copy()
    rows[np.asarray(order) < 0] = other
    return rows
