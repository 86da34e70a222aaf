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
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from bpnet import backprop, inference
from bpnet.backend import Backend
from bpnet.backend.compat import device
from bpnet.backend.memory import explained
from bpnet.backend.precision import wanted_precision
from bpnet.backend.registry import current_block, get_backend
from bpnet.backend.transfer import is_sparse, to_device, to_input_type
from bpnet.backend.typing import Array, Parameters
from bpnet.common.checks import check_integer
from bpnet.common.component import Component, is_own, nested
from bpnet.common.deprecation import renamed_property
from bpnet.common.keywords import explains_keywords
from bpnet.data.dataset import Dataset
from bpnet.data.validation import check_data, check_features
from bpnet.layers import Layer
from bpnet.losses import Loss
from bpnet.model.compiled import FUNCTIONS, LIMIT
from bpnet.model.description import FROZEN, Description
from bpnet.model.parameters import Placement, activation_bytes, draw_weights, parameter_bytes

if TYPE_CHECKING:  # imported when they are used, to keep `import bpnet` light
    from bpnet.metrics.base import Metric


class Owner(Protocol):
    """The owner of a model's parameters during training."""

    @property
    def placement(self) -> Placement:
        """The current parameters of all layers and their backend."""

    def set_parameters(self, parameters: Parameters) -> None:
        """Continue with a copy of these parameters."""


class Model(Description):
    """Layers and a loss with their parameters: a :class:`bpnet.Network` without training."""

    @explains_keywords
    def __init__(
        self,
        layers: Iterable[Layer],
        loss: str | Loss,
        seed: int | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(layers, loss, seed, dtype)
        self.n_inputs: int | None = None
        self._placed: Placement | None = None
        self._owners: list[Owner] = []
        self.steps_taken = self.epochs_taken = 0
        self._compiled: dict[Hashable, Callable[..., Any]] = {}
        self._unique: object = object()

    model = renamed_property("model", "spec")

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
        other.__dict__ |= {
            k: v for k, v in (self.__dict__ | self._NOT_COPIED).items() if k not in FROZEN
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

    @explains_keywords
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
        bound = functools.partial(function, backend.xp, self.spec, *static)
        compiled: Callable[..., Any] = self._shared(
            (backend, function, static if key is None else key),
            lambda: backend.compile_pure(bound),
            (part for part in static if isinstance(part, Component)),
        )
        return compiled

    def _shared(
        self, key: tuple[Hashable, ...], make: Callable[[], Any], parts: Iterable[Any]
    ) -> Any:
        """Return what `make` compiles of some components, shared by equal models."""
        key = (*key, wanted_precision())
        if key not in self._compiled:
            if len(self._compiled) >= LIMIT:
                self._compiled.clear()
            shared = (self.spec, self.sharing(parts), *key)
            self._compiled[key] = FUNCTIONS.get(shared, make)
        return self._compiled[key]

    def sharing(self, parts: Iterable[Any] = ()) -> Hashable:
        """Return what the keys of compiled functions have besides descriptions.

        Functions with code of the user's own, which may depend on anything, are not shared with
        other networks.
        """
        if self._is_own and all(is_own(c) for part in parts for c in nested(part)):
            return None
        return self._unique

    @functools.cached_property
    def _is_own(self) -> bool:
        """Whether all of the layers and the loss is bpnet's own code."""
        return all(is_own(c) for part in (self.loss, *self.layers) for c in nested(part))

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

    def check_metrics(
        self, metrics: Any, targets: Callable[[], Array], backend: Backend
    ) -> dict[str, Metric]:
        """Return metrics by name, checked for this network; None is the default.

        A user's own are tried on a few of the targets.
        """
        from bpnet.metrics.evaluation import foreign, try_out
        from bpnet.metrics.table import suited

        found = suited(metrics, self.loss, self.n_outputs)
        if tried := foreign(found.values()):
            y = to_device(targets(), backend, slice(0, 2))
            with backend.activate():
                dtype, place = getattr(backend.xp, self.dtype), device(y)
                shape = (y.shape[0], self.n_outputs)
                z = backend.xp.full(shape, 0.5, dtype=dtype, device=place)
                try_out(tried, backend, self.loss, y, z)
        return found

    def evaluate_data(
        self,
        backend: Backend,
        parameters: Parameters,
        data: Dataset,
        metrics: Mapping[str, Metric],
    ) -> dict[str, float]:
        """Return loss and metrics of validated examples, summed in blocks on the device.

        There is one transfer at the end. Logits are kept only for metrics of all rows at once.
        """
        from bpnet.metrics.evaluation import Evaluation

        chosen = tuple(metrics.values())
        compute = self._shared(
            (backend, Evaluation, chosen),
            lambda: Evaluation(backend, self.spec, self.loss, chosen),
            chosen,
        )
        shape = data.X.shape
        with (
            backend.activate(),
            explained(backend, lambda: self._needs(*map(int, shape[::-1]))),
        ):
            totals, logits = None, []
            for rows in inference.row_blocks(data.n_rows, data.is_sparse):
                part, z = compute(parameters, *data.arrays_on(backend, rows))
                totals = part if totals is None else totals + part
                logits.append(z)
            sums = backend.to_numpy(totals).astype("float64")
            total_weight, total_loss = float(sums[0]), float(sums[1])
            penalty = float(backprop.penalty(backend.xp, self.spec, parameters, total_weight))
            results = compute.results(sums, logits, data.y, data.w)
        return {"loss": total_loss / total_weight + penalty} | dict(
            zip(metrics, results, strict=True)
        )

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
