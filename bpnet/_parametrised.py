"""What a network is made of, and the backend on which its parameters live."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from bpnet import activations, inference, losses
from bpnet._placement import Placement, drawn
from bpnet._step import make_step
from bpnet.backend import Backend
from bpnet.backend.memory import activation_bytes, explained, parameter_bytes
from bpnet.backend.precision import wanted_precision
from bpnet.backend.registry import current_block, get_backend
from bpnet.backend.typing import Array, Parameters
from bpnet.backprop import Model
from bpnet.common.checks import check_choice, check_integer
from bpnet.common.component import settings
from bpnet.layers import Dense, Layer
from bpnet.losses import Loss
from bpnet.random import fresh_seed, mask_key

if TYPE_CHECKING:
    from bpnet._resume import Trained
    from bpnet.optimizers import Optimizer


class Parametrised:
    """Layers and a loss with their parameters: a :class:`bpnet.Network` less its passes."""

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
        keys = tuple(mask_key(self.seed, number) for number in range(len(self.layers)))
        self.model = Model(self.layers, self.loss, keys)
        self.n_inputs: int | None = None
        self._placed: Placement | None = None
        self.steps_taken = self.epochs_taken = 0
        self._compiled: dict[Hashable, Callable[..., Any]] = {}
        self.trained: Trained | None = None

    # --- parameters -----------------------------------------------------------------------

    @property
    def n_outputs(self) -> int:
        """Number of units n_L of the last layer."""
        return self.layers[-1].n_outputs(0)

    @property
    def is_classifier(self) -> bool:
        """Whether targets are classes or probabilities."""
        return self.loss.targets in ("labels", "probabilities")

    @property
    def is_built(self) -> bool:
        """Whether the weights have been drawn."""
        return self._placed is not None

    @property
    def backend(self) -> Backend:
        """The backend on which the parameters live."""
        return self.placement.backend

    @property
    def parameters(self) -> Parameters:
        """The parameters: one ``{"W": ..., "b": ...}`` for each Dense, in layer order.

        These are the network's own arrays. Assigning takes arrays of any library, checks
        structure, shapes and values, and keeps the backend.
        """
        return [layer for layer in self.placement.parameters if layer]

    @parameters.setter
    def parameters(self, values: Sequence[dict[str, Any]]) -> None:
        self._placed = self.placement.replaced(values, self.dtype)

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum(math.prod(p.shape) for layer in self.parameters for p in layer.values())

    def build(self, n_inputs: int, backend: str | Backend | None = None) -> Self:
        """Draw the weights for a number of features; anew, if the network was built before.

        Parameters
        ----------
        n_inputs : int
            Number of features n_0.
        backend : str, Backend or None
            Where to put them.

        Returns
        -------
        Network
            This network.
        """
        n_inputs = check_integer("n_inputs", n_inputs, 1)
        place = self.choose_backend(backend, None)
        with explained(place, lambda: self._needs(n_inputs, 0)):
            self._placed = drawn(self.layers, n_inputs, self.seed, self.dtype, place)
        self.n_inputs = n_inputs
        self.steps_taken = self.epochs_taken = 0
        return self

    def to(self, backend: str | Backend) -> Self:
        """Move the parameters to a backend; host arrays will then be computed there."""
        if backend is None:
            raise TypeError("backend must be a spec string such as 'torch', got None")
        self._placed = self.placement.moved(get_backend(backend))
        return self

    def adopt(self, backend: Backend, parameters: Parameters) -> None:
        """Take over the parameters of all layers, as a training has left them."""
        self._placed = Placement(backend, parameters)

    @property
    def placement(self) -> Placement:
        """The parameters of all layers, {} where a layer has none, and their backend."""
        if self._placed is None:
            raise ValueError(
                "the network has no parameters yet; call build(n_inputs), or fit it to data"
            )
        return self._placed

    # --- where it computes, and with what --------------------------------------------------

    def _needs(self, n_inputs: int, rows: int) -> dict[str, tuple[int, str]]:
        """Say how many bytes weights and a block of rows take, and what lowers them."""
        rows = min(rows, inference.ROWS)
        block = activation_bytes(self.layers, n_inputs, rows, self.dtype)
        return {
            "the weights": (
                parameter_bytes(self.layers, n_inputs, self.dtype), "the units of the layers"
            ),
            f"the activations of {rows:,} rows": (block, "the rows passed at once"),
        }  # fmt: skip

    def choose_backend(self, backend: str | Backend | None, owner: Backend | None) -> Backend:
        """Choose a backend: argument, arrays, block, where the parameters live, default."""
        if backend is not None:
            return get_backend(backend)
        home = self._placed.backend if self._placed else None
        return owner or current_block() or home or get_backend()

    def parameters_on(self, place: Backend, X: Array) -> Parameters:
        """Give the parameters on a backend, drawing them if X is the first data seen."""
        if self._placed is None:
            self.build(int(X.shape[1]), place)
        return self.placement.moved(place).parameters

    def compiled(self, place: Backend, function: Callable[..., Any]) -> Callable[..., Any]:
        """Bind a pure function to namespace and model, and compile it once for a backend."""
        bound = functools.partial(function, place.xp, self.model)
        return self.compiled_once((place, function), lambda: place.compile_pure(bound))

    def compiled_once(
        self, key: Hashable, make: Callable[[], Callable[..., Any]]
    ) -> Callable[..., Any]:
        """Give what `make` compiles, and the same for the same key."""
        if key not in self._compiled:
            self._compiled[key] = make()
        return self._compiled[key]

    @property
    def settings(self) -> Hashable:
        """All that a pass depends on and that may be changed: the settings of the layers."""
        return tuple(map(settings, self.layers))

    def compiled_step(
        self,
        place: Backend,
        optimizer: Optimizer,
        batch_size: int,
        rows: int,
        by_weight: bool,
        eagerly: bool,
    ) -> Callable[..., Any]:
        """Give the compiled training step, the same for all with the same settings."""
        details = (batch_size, rows, by_weight, eagerly)
        # A CUDA graph multiplies as precisely as it did when it was captured.
        return self.compiled_once(
            (place, self.settings, optimizer.settings, wanted_precision(), *details),
            lambda: make_step(place, self.model, optimizer, *details),
        )

    def release_steps(self) -> None:
        """Give back the memory that compiled steps keep between calls."""
        for function in self._compiled.values():
            if release := getattr(function, "release", None):
                release()

    # --- travelling -----------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy all there is, on the same backend."""
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        state = self.__dict__ | {"_placed": None, "_compiled": {}, "trained": None}
        twin.__dict__.update(copy.deepcopy(state, memo))
        twin._placed = None if self._placed is None else self._placed.copied()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Travel as arrays of the host, so that a machine without the device can open it."""
        state = self.__dict__ | {"_compiled": {}, "trained": None}
        if self._placed is not None:
            state["_placed"] = [
                {name: self.backend.to_numpy(p) for name, p in layer.items()}
                for layer in self._placed.parameters
            ]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._placed is not None:
            host = Placement(get_backend("numpy"), state["_placed"])
            self._placed = host.moved(get_backend())

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Network([{layers}], loss={self.loss.name!r}, dtype={self.dtype!r})"


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
            f"the last Dense must be linear, as the loss {loss.name!r} applies the link "
            f"itself; got activation {last.activation.name!r}"
        )
    if loss.name == "categorical_crossentropy" and last.units < 2:
        raise ValueError(
            "categorical_crossentropy needs a last Dense of one unit for each class, >= 2, "
            "got 1; for two classes with one unit use binary_crossentropy"
        )
    return layers
