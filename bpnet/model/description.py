"""The frozen description of a model: layers, loss, seed and dtype."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from bpnet import activations, losses
from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.backprop import ModelSpec
from bpnet.common.checks import check_choice, check_integer
from bpnet.layers import Context, Dense, Layer
from bpnet.losses import Loss
from bpnet.model.checked import checked_layers, checked_loss
from bpnet.random import fresh_seed, mask_key

# What compiled functions and files rely on.
FROZEN = ("layers", "loss", "seed", "dtype", "spec", "keys")


class Description:
    """Layers, loss, seed and dtype, which cannot be assigned.

    Attributes
    ----------
    spec : ModelSpec
        What compiled functions depend on: the layers and the loss, those of the user's own with
        checks of what they return.
    keys : tuple of int
        The 32-bit key of each layer's random masks.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        loss: str | Loss,
        seed: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.loss = losses.get(loss)
        self.layers = _check_layers(layers, self.loss)
        self.dtype = check_choice("dtype", dtype, ("float32", "float64"))
        self.seed = fresh_seed() if seed is None else check_integer("seed", seed, 0)
        self.keys = tuple(mask_key(self.seed, number) for number in range(len(self.layers)))
        self.spec = ModelSpec(checked_layers(self.layers), checked_loss(self.loss))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FROZEN and name in self.__dict__:
            self._refuse(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in FROZEN:
            self._refuse(name)
        object.__delattr__(self, name)

    def _refuse(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{name!r} of a network is frozen, as compiled functions and saved files rely on "
            f"it; net.replace({name}=...) returns a changed network. Weights can be assigned: "
            f"net.parameters = ..."
        )

    def set_average_penalty(self, average_penalty: bool) -> None:
        """Set `average_penalty` of the description, before anything is computed."""
        self.__dict__["spec"] = self.spec._replace(average_penalty=average_penalty)

    def set_seed(self, seed: int) -> None:
        """Set the seed, and with it the keys of random masks; weights that exist stay."""
        self.__dict__["seed"] = seed
        self.__dict__["keys"] = tuple(mask_key(seed, k) for k in range(len(self.layers)))

    @property
    def n_outputs(self) -> int:
        """Number of units n_L of the last layer."""
        return self.layers[-1].n_outputs(0)

    @property
    def is_classifier(self) -> bool:
        """Whether targets are classes or probabilities."""
        return self.loss.targets in ("labels", "probabilities")

    def contexts(self, backend: Backend, step: int, dtype: str) -> list[Context]:
        """Return the contexts of all layers in a training step, with initial schedules."""

        def number(value: float, kind: str = "int64") -> Array:
            return backend.asarray(value, kind)

        return [
            Context(
                number(key),
                number(step),
                {name: number(s(0.0), dtype) for name, s in layer.schedules().items()},
            )
            for key, layer in zip(self.keys, self.layers, strict=True)
        ]


def _check_layers(layers: Iterable[Layer], loss: Loss) -> tuple[Layer, ...]:
    if not isinstance(layers, Iterable):
        raise TypeError(
            f"layers must be a list of bpnet layers such as [bpnet.Dense(1)], got {layers!r}"
        )
    layers = tuple(layers)
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must be bpnet layers, got {layer!r}")
    if not layers or not isinstance(layers[-1], Dense):
        raise ValueError(
            f"layers must end with a Dense, whose units are the outputs; "
            f"got {layers[-1] if layers else 'no layer'}"
        )
    last = layers[-1]
    if not (loss.identity_link or isinstance(last.activation, activations.Identity)):
        raise ValueError(
            f"the last Dense must be linear, as the loss {loss.name!r} applies its own link; "
            f"got activation {last.activation.name!r}"
        )
    if loss.name == "categorical_crossentropy" and last.units < 2:
        raise ValueError(
            "categorical_crossentropy needs a last Dense with one unit per class, >= 2, "
            "got 1; for two classes with one unit use binary_crossentropy"
        )
    loss.n_targets(last.units)
    return layers
