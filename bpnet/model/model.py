"""A model: layers, a loss and their parameters on a backend, applied to examples.

The model owns its parameters, as a :class:`~bpnet.model.parameters.Placement`. While ``fit``
runs, the :class:`bpnet.training.runner.Runner` owns them: the model reads them from the runner
on each access, and takes them back at the end. The copy from the last good epoch belongs to
:mod:`bpnet.training.nan_guard`, which passes it to the runner to roll back.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, ClassVar, NoReturn, Protocol, Self

import numpy as np

from bpnet import activations, backprop, inference, losses, metrics
from bpnet.backend import Backend
from bpnet.backend.memory import explained
from bpnet.backend.precision import wanted_precision
from bpnet.backend.registry import current_block, get_backend
from bpnet.backend.transfer import is_sparse, to_device, to_input_type
from bpnet.backend.typing import Array, Parameters
from bpnet.backprop import ModelSpec
from bpnet.common.checks import check_choice, check_integer
from bpnet.common.deprecation import renamed_property
from bpnet.data.dataset import Dataset
from bpnet.data.validation import check_data, check_features
from bpnet.layers import Context, Dense, Layer
from bpnet.losses import Loss
from bpnet.model.checked import checked_layers, checked_loss
from bpnet.model.compiled import FUNCTIONS, LIMIT
from bpnet.model.parameters import Placement, activation_bytes, draw_weights, parameter_bytes
from bpnet.random import fresh_seed, mask_key


class Owner(Protocol):
    """The owner of a model's parameters during training."""

    @property
    def placement(self) -> Placement:
        """The current parameters of all layers and their backend."""

    def set_parameters(self, parameters: Parameters) -> None:
        """Continue with a copy of these parameters."""


# What compiled functions and files rely on.
_FROZEN = ("layers", "loss", "seed", "dtype", "spec", "keys")


class Model:
    """Layers and a loss with their parameters: a :class:`bpnet.Network` without training.

    `layers`, `loss`, `seed` and `dtype` are frozen.
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
        self.n_inputs: int | None = None
        self._placed: Placement | None = None
        self._owners: list[Owner] = []
        self.steps_taken = self.epochs_taken = 0
        self._compiled: dict[Hashable, Callable[..., Any]] = {}

    model = renamed_property("model", "spec")

    # --- description ----------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FROZEN and name in self.__dict__:
            self._refuse(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _FROZEN:
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

    def replace(self, **changes: Any) -> Self:
        """Return a network that differs in `layers`, `loss`, `seed` or `dtype`.

        It has the same weights, unless `layers` or `seed` change, which determine the initial
        weights: then it is not built.

        Raises
        ------
        ValueError, TypeError
            If a change is invalid.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(1)], loss="mean_squared_error", seed=0).build(2)
        >>> net.replace(loss="huber")
        Network([Dense(1, 'identity')], loss='huber', dtype='float32')
        """
        names = ("layers", "loss", "seed", "dtype")
        if unknown := changes.keys() - set(names):
            raise TypeError(
                f"a network has the arguments {', '.join(names)}; "
                f"got {', '.join(sorted(unknown))}"
            )
        other = object.__new__(type(self))
        frozen = dict.fromkeys(_FROZEN)
        other.__dict__ |= {
            k: v for k, v in (self.__dict__ | self._NOT_COPIED).items() if k not in frozen
        }
        Model.__init__(other, **({name: getattr(self, name) for name in names} | changes))
        other.set_average_penalty(self.spec.average_penalty)
        if self.is_built and not changes.keys() & {"layers", "seed"}:
            other.n_inputs = self.n_inputs
            other.steps_taken, other.epochs_taken = self.steps_taken, self.epochs_taken
            other._placed = self.placement.in_dtype(other.dtype)
        return other

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
        return self._placed is not None or bool(self._owners)

    @property
    def backend(self) -> Backend:
        """The backend of the parameters."""
        return self.placement.backend

    @property
    def parameters(self) -> Parameters:
        """The parameters: one ``{"W": ..., "b": ...}`` per Dense, in layer order.

        These are the network's own arrays, not copies. Assignment accepts arrays of any
        library, checks structure, shapes and values, and keeps the backend.
        """
        return [layer for layer in self.placement.parameters if layer]

    @parameters.setter
    def parameters(self, values: Sequence[dict[str, Any]]) -> None:
        self.set_parameters(*self.placement.replaced(values, self.dtype))

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum(math.prod(p.shape) for layer in self.parameters for p in layer.values())

    def build(self, n_inputs: int, backend: str | Backend | None = None) -> Self:
        """Draw the initial weights; redraw them if the network is already built.

        Parameters
        ----------
        n_inputs : int
            Number of features n_0.
        backend : str, Backend or None
            Where to place the parameters.

        Returns
        -------
        self
        """
        n_inputs = check_integer("n_inputs", n_inputs, 1)
        backend = self.choose_backend(backend, None)
        with explained(backend, lambda: self._needs(n_inputs, 0)):
            self._placed = draw_weights(self.layers, n_inputs, self.seed, self.dtype, backend)
        self.n_inputs = n_inputs
        self.steps_taken = self.epochs_taken = 0
        return self

    def to(self, backend: str | Backend) -> Self:
        """Move the parameters to a backend, where host arrays are then computed."""
        if backend is None:
            raise TypeError("backend must be a spec string such as 'torch', got None")
        self._placed = self.placement.moved(get_backend(backend))
        return self

    def set_parameters(self, backend: Backend, parameters: Parameters) -> None:
        """Replace the parameters of all layers, without checks or copies."""
        if self._owners:
            self._owners[-1].set_parameters(parameters)
        else:
            self._placed = Placement(backend, parameters)

    def lend(self, owner: Owner) -> None:
        """Make a training run the owner of the parameters."""
        self._owners.append(owner)
        self._placed = None  # the initial weights, which the run has copied

    def take_back(self, owner: Owner) -> None:
        """Take the parameters back from a training run."""
        if owner in self._owners:
            self._owners.remove(owner)
        self._placed = None if self._owners else owner.placement

    @property
    def placement(self) -> Placement:
        """The parameters of all layers, {} for a layer without any, and their backend."""
        if self._owners:
            return self._owners[-1].placement
        if self._placed is None:
            raise ValueError(
                "the network has no parameters yet; call build(n_inputs) or fit it to data"
            )
        return self._placed

    # --- backend and compiled functions -----------------------------------------------------

    def _needs(self, n_inputs: int, rows: int) -> dict[str, tuple[int, str]]:
        """Return the bytes that weights and a block of rows need, and what reduces them."""
        rows = min(rows, inference.ROWS)
        block = activation_bytes(self.layers, n_inputs, rows, self.dtype)
        return {
            "the weights": (
                parameter_bytes(self.layers, n_inputs, self.dtype), "the units of the layers"
            ),
            f"the activations of {rows:,} rows": (block, "the rows passed at once"),
        }  # fmt: skip

    def choose_backend(self, backend: str | Backend | None, owner: Backend | None) -> Backend:
        """Select a backend by argument, arrays, block, parameters or default, in this order."""
        if backend is not None:
            return get_backend(backend)
        current = self.backend if self.is_built else None
        return owner or current_block() or current or get_backend()

    def parameters_on(self, backend: Backend, X: Array) -> Parameters:
        """Return the parameters on a backend; build the network for X if necessary."""
        return self.parameters_for(backend, int(X.shape[1]))

    def parameters_for(self, backend: Backend, n_inputs: int) -> Parameters:
        """Return the parameters on a backend; build the network if necessary."""
        if not self.is_built:
            self.build(n_inputs, backend)
        return self.placement.moved(backend).parameters

    def compiled(
        self,
        backend: Backend,
        function: Callable[..., Any],
        *static: Any,
        key: Hashable = None,
    ) -> Callable[..., Any]:
        """Compile a pure function ``function(xp, spec, *static, ...)`` for a backend, once.

        Models of equal description share it. `key` is what it depends on of `static`, by
        default all.
        """
        local = (backend, function, static if key is None else key, wanted_precision())
        if local not in self._compiled:
            if len(self._compiled) >= LIMIT:
                self._compiled.clear()
            bound = functools.partial(function, backend.xp, self.spec, *static)
            self._compiled[local] = FUNCTIONS.get(
                (self.spec, *local), lambda: backend.compile_pure(bound)
            )
        return self._compiled[local]

    def contexts(self, backend: Backend, step: int, dtype: str) -> list[Context]:
        """Return the contexts of all layers in a training step, with initial schedules."""

        def number(value: float, kind: str = "int64") -> Array:
            return backend.asarray(np.asarray(value), kind)

        return [
            Context(
                number(key),
                number(step),
                {name: number(s(0.0), dtype) for name, s in layer.schedules().items()},
            )
            for key, layer in zip(self.keys, self.layers, strict=True)
        ]

    # --- data and inference -----------------------------------------------------------------

    def check_data(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        suffix: str = "",
        n_inputs: int | None = None,
        dtype: str | None = None,
    ) -> Dataset:
        """Return examples validated for this network."""
        return check_data(
            X, y, sample_weight,
            dtype=dtype or self.dtype, n_inputs=n_inputs or self.n_inputs,
            n_outputs=self.n_outputs, loss=self.loss, suffix=suffix,
        )  # fmt: skip

    def evaluate_data(
        self, backend: Backend, parameters: Parameters, data: Dataset
    ) -> dict[str, float]:
        """Return metrics of validated examples, computed in blocks with one final transfer."""
        compute = self.compiled(backend, metrics.sums)
        shape = data.X.shape
        with (
            backend.activate(),
            explained(backend, lambda: self._needs(*map(int, shape[::-1]))),
        ):
            totals = None
            for rows in inference.row_blocks(data.n_rows, data.is_sparse):
                part = compute(parameters, *data.arrays_on(backend, rows))
                totals = part if totals is None else totals + part
            total_weight, total_loss, total_right = map(float, backend.to_numpy(totals))
            penalty = float(backprop.penalty(backend.xp, self.spec, parameters, total_weight))
        measured = {"loss": total_loss / total_weight + penalty}
        if self.is_classifier:
            measured["accuracy"] = total_right / total_weight
        return measured

    def _infer(
        self, function: Callable[..., Any], X: Any, backend: str | Backend | None
    ) -> Array:
        X, owner = check_features(X, self.dtype, self.n_inputs)
        return self.infer(function, X, owner, backend)

    def infer(
        self,
        function: Callable[..., Any],
        X: Array,
        owner: Backend | None,
        backend: str | Backend | None,
    ) -> Array:
        """Apply a function of :mod:`bpnet.inference` to validated features, block by block."""
        backend = self.choose_backend(backend, owner)
        parameters = self.parameters_on(backend, X)
        compute = self.compiled(backend, function)
        with (
            backend.activate(),
            explained(backend, lambda: self._needs(*map(int, X.shape[::-1]))),
        ):
            parts = [
                compute(parameters, to_device(X, backend, rows))
                for rows in inference.row_blocks(X.shape[0], is_sparse(X))
            ]
            result = parts[0] if len(parts) == 1 else backend.xp.concat(parts, axis=0)
            return to_input_type(result, backend, owner)

    # --- copying and pickling ---------------------------------------------------------------

    _NOT_COPIED: ClassVar[dict[str, Any]] = {"_placed": None, "_owners": [], "_compiled": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy parameters and settings, on the same backend."""
        clone = object.__new__(type(self))
        memo[id(self)] = clone
        clone.__dict__.update(copy.deepcopy(self.__dict__ | self._NOT_COPIED, memo))
        clone._placed = self.placement.copied() if self.is_built else None
        return clone

    def __getstate__(self) -> dict[str, Any]:
        """Pickle host (NumPy) arrays, to be loaded on machines without the device."""
        state = self.__dict__ | self._NOT_COPIED
        if self.is_built:
            state["_placed"] = [
                {name: self.backend.to_numpy(p) for name, p in layer.items()}
                for layer in self.placement.parameters
            ]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._owners, self._compiled = [], {}
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
            f"the last Dense must be linear, as the loss {loss.name!r} applies its own link; "
            f"got activation {last.activation.name!r}"
        )
    if loss.name == "categorical_crossentropy" and last.units < 2:
        raise ValueError(
            "categorical_crossentropy needs a last Dense with one unit per class, >= 2, "
            "got 1; for two classes with one unit use binary_crossentropy"
        )
    return layers
