"""A model: layers, a loss and their parameters on a backend, applied to examples.

The model owns its parameters, as a :class:`~bpnet.model.parameters.Placement`. While ``fit``
runs, the :class:`bpnet.training.runner.Runner` owns them (:mod:`bpnet.model.ownership`): the
model reads them from the runner on each access, and takes them back at the end. The copy from
the last good epoch belongs to :mod:`bpnet.training.nan_guard`, which passes it to the runner to
roll back.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bpnet import backprop, inference
from bpnet.backend import Backend
from bpnet.backend.compat import device
from bpnet.backend.memory import explained
from bpnet.backend.registry import current_block, get_backend
from bpnet.backend.transfer import is_sparse, rows_to_device, to_device, to_input_type
from bpnet.backend.typing import Array, Parameters
from bpnet.common.checks import check_integer
from bpnet.common.deprecation import renamed_property
from bpnet.common.keywords import explains_keywords
from bpnet.common.plurals import number_of
from bpnet.common.version import check_version_note, version_note
from bpnet.data.dataset import Dataset
from bpnet.data.streams.checked import CheckedStream
from bpnet.data.streams.recognize import as_source
from bpnet.data.validation import check_data, check_features, plain_features
from bpnet.layers import Layer
from bpnet.losses import Loss
from bpnet.model.blockwise import infer_blocks, inputs_stream, sums_over
from bpnet.model.compiled import Compiling
from bpnet.model.description import FROZEN
from bpnet.model.feature_names import FeatureNames
from bpnet.model.ownership import Owner, Ownership
from bpnet.model.parameters import Placement, activation_bytes, draw_weights, parameter_bytes

if TYPE_CHECKING:  # imported when they are used, to keep `import bpnet` light
    from bpnet.metrics.base import Metric


class Model(FeatureNames, Compiling):
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
        self._feature_names = None
        self._weights = Ownership()
        self.steps_taken = self.epochs_taken = 0

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
            other.n_inputs, other._feature_names = self.n_inputs, self._feature_names
            other.steps_taken, other.epochs_taken = self.steps_taken, self.epochs_taken
            other._weights = Ownership(self.placement.in_dtype(other.dtype))
        return other

    # --- parameters -----------------------------------------------------------------------

    @property
    def is_built(self) -> bool:
        """Whether the weights have been drawn."""
        return self._weights.backend is not None

    @property
    def is_training(self) -> bool:
        """Whether a call of ``fit`` is training the network."""
        return self._weights.is_lent

    @property
    def backend(self) -> Backend:
        """The backend of the parameters."""
        return self._weights.backend or self.placement.backend

    @property
    def parameters(self) -> Parameters:
        """The parameters: one ``{"W": ..., "b": ...}`` per Dense, in layer order.

        Other layers have others, such as "gamma", "beta" and the running "mean" and "variance"
        of a BatchNorm; layers without any are left out.

        These are the network's own arrays, not copies. Assignment accepts arrays of any
        library, checks structure, shapes and values, and keeps the backend.
        """
        return [layer for layer in self.placement.parameters if layer]

    @parameters.setter
    def parameters(self, values: Sequence[dict[str, Any]]) -> None:
        self.set_parameters(*self.placement.replaced(values, self.dtype))

    @property
    def n_parameters(self) -> int:
        """Number of weights, biases and all other parameters, trained or not.

        Those that are not trained by gradients are the running statistics of a BatchNorm, and
        the parameters of Frozen layers.
        """
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

        Raises
        ------
        RuntimeError
            If ``fit`` is training the network.
        """
        self.check_idle("build")
        n_inputs = check_integer("n_inputs", n_inputs, 1)
        backend = self.choose_backend(backend, None)
        with explained(backend, lambda: self._needs(n_inputs, 0)):
            weights = draw_weights(self.layers, n_inputs, self.seed, self.dtype, backend)
        self._weights.set(weights)
        self.n_inputs, self._feature_names = n_inputs, None
        self.steps_taken = self.epochs_taken = 0
        return self

    def to(self, backend: str | Backend) -> Self:
        """Move the parameters to a backend, where host arrays are then computed."""
        if backend is None:
            raise TypeError("backend must be a spec string such as 'torch', got None")
        self.check_idle("to")
        self._weights.set(self.placement.moved(get_backend(backend)))
        return self

    def set_parameters(self, backend: Backend, parameters: Parameters) -> None:
        """Replace the parameters of all layers, without checks or copies."""
        self._weights.set(Placement(backend, parameters))

    @contextlib.contextmanager
    def unchanged_on_error(self) -> Iterator[None]:
        """Restore parameters and attributes after an error."""
        before, placement = vars(self).copy(), self._weights.placement
        try:
            yield
        except BaseException:
            vars(self).update(before)
            self._weights.set(placement)
            raise

    def check_idle(self, method: str) -> None:
        """Raise RuntimeError if ``fit`` is training the network, so that `method` must wait."""
        self._weights.check_not_lent(method)

    def lend(self, owner: Owner) -> None:
        """Make a training run the owner of the parameters; RuntimeError if there is one."""
        self._weights.lend(owner)

    def take_back(self, owner: Owner) -> None:
        """Take the parameters back from a training run."""
        self._weights.take_back(owner)

    @property
    def placement(self) -> Placement:
        """The parameters of all layers, {} for a layer without any, and their backend.

        In a thread other than that of ``fit`` they are a copy made between two steps.
        """
        if (placement := self._weights.placement) is None:
            raise ValueError(
                "the network has no parameters yet; call build(n_inputs) or fit it to data"
            )
        return placement

    # --- backend ----------------------------------------------------------------------------

    def _needs(self, n_inputs: int, rows: int) -> dict[str, tuple[int, str]]:
        """Return the bytes that weights and a block of rows need, and what reduces them."""
        rows = min(rows, inference.ROWS)
        block = activation_bytes(self.layers, n_inputs, rows, self.dtype)
        return {
            "the weights": (
                parameter_bytes(self.layers, n_inputs, self.dtype), "the units of the layers"
            ),
            f"the activations of {number_of(rows, 'row')}": (block, "the rows passed at once"),
        }  # fmt: skip

    def choose_backend(self, backend: str | Backend | None, owner: Backend | None) -> Backend:
        """Select a backend by argument, arrays, block, parameters or default, in this order."""
        if backend is not None:
            return get_backend(backend)
        return owner or current_block() or self._weights.backend or get_backend()

    def parameters_on(self, backend: Backend, X: Array) -> Parameters:
        """Return the parameters on a backend; build the network for X if necessary."""
        return self.parameters_for(backend, int(X.shape[1]))

    def parameters_to_predict(
        self, backend: Backend, n_inputs: int, stacklevel: int
    ) -> Parameters:
        """Return the parameters on a backend; warn if they must be drawn first."""
        if (placement := self._weights.placement) is not None:
            return placement.moved(backend).parameters
        warnings.warn(
            "the network has not been trained: these predictions are those of random initial "
            "weights. Call fit first; to use initial weights on purpose, call build(n_inputs)",
            stacklevel=stacklevel,
        )
        return self.parameters_for(backend, n_inputs)

    def parameters_for(self, backend: Backend, n_inputs: int) -> Parameters:
        """Return the parameters on a backend; build the network if necessary."""
        if not self.is_built:
            self.build(n_inputs, backend)
        return self.placement.moved(backend).parameters

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
        feature_names: tuple[str, ...] | None = None,
    ) -> Dataset:
        """Return examples validated for this network."""
        self.check_names(X, f"X{suffix}", feature_names)
        return check_data(
            X, y, sample_weight,
            dtype=dtype or self.dtype, n_inputs=n_inputs or self.n_inputs,
            n_outputs=self.n_outputs, loss=self.loss, suffix=suffix,
        )  # fmt: skip

    def check_inputs(self, X: Any) -> tuple[Array, Backend | None]:
        """Return features validated for this network, and their backend (None for the host)."""
        if (plain := plain_features(X, self.dtype, self.n_inputs)) is not None:
            return plain, None
        self.check_names(X)
        return check_features(X, self.dtype, self.n_inputs)

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
        data: Dataset | CheckedStream,
        metrics: Mapping[str, Metric],
    ) -> dict[str, float]:
        """Return loss and metrics of validated examples, summed in blocks on the device.

        There is one transfer at the end. Logits are kept only for metrics of all rows at once.
        """
        from bpnet.metrics.evaluation import Evaluation

        chosen = tuple(metrics.values())
        compute = self.shared(
            (backend, Evaluation, chosen),
            lambda: Evaluation(backend, self.spec, self.loss, chosen),
            chosen,
        )
        data, factor = data.with_moderate_weights()
        with (
            backend.activate(),
            explained(backend, lambda: self._needs(data.n_inputs, data.n_rows)),
        ):
            totals, *rows = sums_over(compute, data, backend, parameters)
            sums = backend.to_numpy(totals).astype("float64")
            total_weight, total_loss = float(sums[0]), float(sums[1])
            total = total_weight / factor
            penalty = float(backprop.penalty(backend.xp, self.spec, parameters, total))
            results = compute.results(sums, *rows)
        return {"loss": total_loss / total_weight + penalty} | dict(
            zip(metrics, results, strict=True)
        )

    def _infer(
        self, function: Callable[..., Any], X: Any, backend: str | Backend | None
    ) -> Array:
        if (source := as_source(X)) is None:
            X, owner = self.check_inputs(X)
        else:
            X, owner = inputs_stream(self, source), None
        backend = self.choose_backend(backend, owner)
        parameters = self.parameters_to_predict(backend, int(X.shape[1]), stacklevel=5)
        if source is not None:
            return infer_blocks(functools.partial(self.infer, function), X, backend, parameters)
        return self.infer(function, X, owner, backend, parameters)

    def infer(
        self,
        function: Callable[..., Any],
        X: Array,
        owner: Backend | None,
        backend: Backend,
        parameters: Parameters,
    ) -> Array:
        """Apply a function of :mod:`bpnet.inference` to validated features, block by block."""
        compute = self.compiled_inference(backend, function)
        with (
            backend.activate(),
            explained(backend, lambda: self._needs(*map(int, X.shape[::-1]))),
        ):
            blocks = inference.row_blocks(X.shape[0], is_sparse(X))
            # Other rows may be of consequence to a user's own layer. Of many rows on a device
            # only the last block would be padded, on the host.
            pads = self._is_own and (owner is None or len(blocks) == 1)
            parts = [
                compute(parameters, rows_to_device(X, backend, rows, pads)) for rows in blocks
            ]
            result = parts[0] if len(parts) == 1 else backend.xp.concat(parts, axis=0)
            return to_input_type(result, backend, owner, X.shape[0])

    # --- copying and pickling ---------------------------------------------------------------

    _NOT_COPIED: ClassVar[dict[str, Any]] = {"_weights": None, "_compiled": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy parameters and settings, on the same backend."""
        clone = object.__new__(type(self))
        memo[id(self)] = clone
        clone.__dict__.update(copy.deepcopy(self.__dict__ | self._NOT_COPIED, memo))
        placement = self._weights.placement
        clone._weights = Ownership(placement and placement.copied())
        return clone

    def __getstate__(self) -> dict[str, Any]:
        """Pickle host (NumPy) arrays, to be loaded on machines without the device."""
        state = self.__dict__ | self._NOT_COPIED | version_note()
        if (placement := self._weights.placement) is not None:
            state["_weights"] = [
                {name: placement.backend.to_numpy(p) for name, p in layer.items()}
                for layer in placement.parameters
            ]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        check_version_note(state, type(self).__name__)
        if state.pop("_owners", None) is not None:  # before weights had an owner of their own
            state["_weights"] = state.pop("_placed")
        self.__dict__.update(state | {"_compiled": {}})
        host = state["_weights"] and Placement(get_backend("numpy"), state["_weights"])
        self._weights = Ownership(host and host.moved(get_backend()))

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Network([{layers}], loss={self.loss.name!r}, dtype={self.dtype!r})"
