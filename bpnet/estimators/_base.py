"""The base class of classifier and regressor: fitting, warm starts, prediction, pickling."""

from __future__ import annotations

import contextlib
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import check_is_fitted

from bpnet.backend import Backend
from bpnet.backend.graph import Graph
from bpnet.backend.memory import check_room
from bpnet.backend.registry import backend_of, get_backend
from bpnet.backend.transfer import to_host, to_input_type
from bpnet.backend.typing import Array
from bpnet.common.version import check_version_note, version_note
from bpnet.data.dataset import Dataset
from bpnet.estimators._architecture import Architecture
from bpnet.estimators._divergence import Ending
from bpnet.estimators._files import FileState
from bpnet.estimators._hints import explains_settings
from bpnet.estimators._inputs import (
    Features,
    check_examples,
    check_features,
    check_weights,
    in_dtype,
    naming,
)
from bpnet.estimators._lbfgs import Objective, minimize
from bpnet.estimators._mlp_files import file_state, restore
from bpnet.estimators._onnx import OnnxEstimator
from bpnet.estimators._parameters import HiddenLayers
from bpnet.estimators._stochastic import Stochastic
from bpnet.estimators._tolerance import warn_if_coarse
from bpnet.losses import Loss
from bpnet.network import Network
from bpnet.serialization.onnx_file import logits_of
from bpnet.training.validation_split import parts_of


class BaseMLP(OnnxEstimator, Stochastic, ABC):
    """Base estimator, independent of the kind of target; trains a :class:`bpnet.Network`."""

    _architecture: Architecture | None = None
    _network: Network | None = None
    _seed: int = 0

    # --- what depends on the kind of target -----------------------------------------------

    _y_numeric: ClassVar[bool] = False

    @abstractmethod
    def _encode(self, y: Any, incremental: bool, owner: Backend | None) -> Any:
        """Check host targets, which came from `owner`, and encode them for the loss."""

    @abstractmethod
    def _encode_more(self, y: Any) -> Any:
        """Check host targets of other examples than those to fit, and encode them."""

    @abstractmethod
    def _loss_and_link(self) -> tuple[Loss, str]:
        """Return the loss for the encoded targets, and scikit-learn's name of its link."""

    def _count_outputs(self, targets: Any) -> int:
        """Return the number of output units."""
        return int(targets.shape[1])

    def _class_weights(self, y: Any, incremental: bool) -> Any:
        """Return a factor for the weight of each example in training, or None."""
        return None

    # --- fitting --------------------------------------------------------------------------

    @explains_settings
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: tuple[Any, ...] | None = None,
    ) -> Self:
        """Fit to examples.

        Parameters
        ----------
        X : array-like, SciPy sparse matrix or device array (n_samples, n_features)
            Finite features. CuPy, PyTorch and JAX arrays are processed where they live. A
            sparse matrix is made dense if that takes up to 64 MiB, else a few batches at a
            time.
        y : array-like (n_samples,) or (n_samples, n_outputs)
            Targets: class labels of any type, 0 and 1 for multilabel targets, or numbers.
        sample_weight : array-like (n_samples,) or None
            Weights >= 0 of the examples.
        validation_data : tuple (X, y) or (X, y, sample_weight) or None, default None
            Examples to score after each epoch, with the labels of `y` and any number of rows.
            With early stopping they take the place of the examples that `validation_fraction`
            would hold out; without, they change nothing. Not for "lbfgs".

        Returns
        -------
        object
            This estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter or an array is invalid, or the weights become non-finite; the
            estimator is left as it was.

        Warns
        -----
        ConvergenceWarning
            If training did not converge: it reached `max_iter`, diverged although early
            stopping restored finite weights, or ended by a `tol` that is coarse for these
            targets.
        """
        return self._fit(X, y, sample_weight, validation_data)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: tuple[Any, ...] | None = None,
        *,
        incremental: bool = False,
    ) -> Self:
        if self._network is not None:
            self._network.check_idle("fit")
        with self._unchanged_on_error():
            self._check_combinations(incremental, validation_data is not None)
            layers = self._hidden_layers()
            first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
            y_owner = backend_of(y=y)
            features, y = check_examples(
                self, X, y, self.dtype, reset=first, y_numeric=self._y_numeric
            )
            weights = check_weights(sample_weight, features.X.shape[0], features.dtype)
            backend = self._place(features.owner)
            with naming("y"):
                targets = self._encode(y, incremental, y_owner)
            factors = self._class_weights(y, incremental)
            self.n_outputs_ = self._count_outputs(targets)
            held_out = self._validation(validation_data, features.dtype)
            architecture = self._prepare(features, layers, first, held_out is not None)
            total = self._total_weights(weights, factors, architecture.dtype, incremental)
            data = _on_owner(features, targets, total, architecture.dtype)
            network = self._network_on(backend, architecture)
            if self._is_stochastic:
                if self.early_stopping and held_out is None:
                    data, held_out = self._split(data, targets, weights)
                ending = self._fit_stochastic(network, backend, data, held_out, incremental)
            else:
                ending = self._fit_lbfgs(network, backend, data)
            if not self._store_weights(network, features.owner):
                raise ending.error(data)
        ending.warn(data, stacklevel=5)
        return self

    @contextlib.contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Restore all attributes on an error, and the state of random numbers of its own."""
        before = {k: v.copy() if isinstance(v, list) else v for k, v in vars(self).items()}
        own = self._random_state if isinstance(self.random_state, Integral) else None
        drawn = own and own.get_state()
        try:
            yield
        except Exception:
            self.__dict__.clear()
            self.__dict__.update(before)
            if own:
                own.set_state(drawn)
            raise

    def _validation(self, given: Any, dtype: str) -> Dataset | None:
        """Return the checked examples of `validation_data`."""
        if given is None:
            return None
        X, y, w = parts_of(given)
        with naming("validation_data"):
            features, y = check_examples(
                self, X, y, dtype, reset=False, y_numeric=self._y_numeric
            )
            weights = check_weights(w, features.X.shape[0], dtype)
            return _on_owner(features, self._encode_more(y), weights, dtype)

    def _prepare(
        self, features: Features, layers: HiddenLayers, first: bool, is_validated: bool
    ) -> Architecture:
        """Initialize weights and record, or check the weights to continue from."""
        widths = (int(features.X.shape[1]), *layers[0], self.n_outputs_)
        weights = sum(n * m for n, m in itertools.pairwise(widths))
        check_room("hidden_layer_sizes", max(widths), 8 * weights)
        if first or self._random_state is None or not isinstance(self.random_state, Integral):
            self._random_state = check_random_state(self.random_state)
        if first:
            needs_seed = any(layers[2]) or self.init is not None
            self._seed = int(self._random_state.randint(2**31 - 1)) if needs_seed else 0
        loss, self.out_activation_ = self._loss_and_link()
        architecture = Architecture(
            *layers, int(features.X.shape[1]), self.n_outputs_, loss, float(self.alpha),
            self.init, features.dtype, self._seed,
        )  # fmt: skip
        if first:
            self.coefs_, self.intercepts_ = architecture.init_weights(self._random_state)
            self.n_layers_ = len(architecture.sizes)
            self.n_iter_ = self.t_ = 0
        if self._is_stochastic:
            if first or not self._has_record():
                self._begin_record()
            self._record_scores(is_validated or self.early_stopping)
        architecture.check(self.coefs_)
        return architecture

    def _total_weights(self, weights: Any, factors: Any, dtype: str, part: bool) -> Any:
        """Return the weights of the examples in training, all 0 only of a `part` of them."""
        if factors is None:
            return weights
        with np.errstate(over="ignore", under="ignore"):
            product = factors if weights is None else weights * factors
            total = in_dtype("sample_weight times class_weight", product, dtype)
        found = float(total.sum(dtype=float))
        if not (0.0 < found < math.inf or (part and found == 0.0)):
            also = "" if weights is None else " together with sample_weight"
            raise ValueError(
                f"class_weight must leave weights with a finite sum > 0{also}; the sum over "
                f"the {len(total)} examples is {found:g}"
            )
        return total

    def _fit_lbfgs(self, network: Network, backend: Backend, data: Dataset) -> Ending:
        self.__dict__.pop("history_", None)  # of an earlier call with another solver
        try:
            result = minimize(
                Objective(network, backend, data),
                max_iter=self.max_iter, max_fun=self.max_fun, tol=self.tol,
                verbose=bool(self.verbose),
            )  # fmt: skip
        except KeyboardInterrupt:  # as in scikit-learn, the weights are those of that moment
            self._store_weights(network, data.owner)
            raise
        self.loss_, weights = float(result.fun), ""
        if not math.isfinite(self.loss_):
            self.n_iter_, weights = int(result.nit), "the weights of the last iteration"
        else:
            self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)
        if result.success:
            reason = "its gradient is smaller"
            warn_if_coarse(self.loss_, self.tol, data, network.loss, reason, stacklevel=6)
        return Ending(f"in iteration {self.n_iter_ + 1}", diverged_to=weights)

    def _store_weights(self, network: Network, owner: Backend | None) -> bool:
        """Store the weights as arrays of the same type as X; return if all are finite."""
        backend, xp = network.backend, network.backend.xp
        with backend.activate():
            layers = network.parameters
            finite = [xp.all(xp.isfinite(p)) for layer in layers for p in layer.values()]
            is_finite = bool(xp.all(xp.stack(finite)))
            self.coefs_, self.intercepts_ = (
                [to_input_type(p[k], backend, owner) for p in layers] for k in ("W", "b")
            )
        return is_finite

    def _partial_fit_is_available(self) -> bool:
        if not self._is_stochastic:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    # --- prediction -----------------------------------------------------------------------

    def _infer(self, function: Callable[..., Any], X: Any) -> tuple[Array, Backend | None]:
        """Apply a function of :mod:`bpnet.inference`; also return the backend that owns X."""
        if self._architecture is None:
            check_is_fitted(self)  # which it seems to be while another thread begins to fit it
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit")
        features = check_features(self, X, self._architecture.dtype, reset=False)
        backend, owner = self._place(features.owner), features.owner
        network = self._network_of(self._architecture)
        if network.is_training:  # asked by a callback, or in another thread
            parameters = network.parameters_on(backend, features.X)
        else:
            parameters = self._architecture.parameters(self.coefs_, self.intercepts_, backend)
        return network.infer(function, features.X, owner, backend, parameters), owner

    def _place(self, owner: Backend | None) -> Backend:
        """Return the backend: the parameter, where X lives, a block or the default."""
        return get_backend(self.backend) if self.backend is not None else owner or get_backend()

    def _network_on(self, backend: Backend, architecture: Architecture) -> Network:
        """Return the network with the current weights, to be trained."""
        network = self._network_of(architecture)
        network.check_idle("fit")
        parameters = architecture.parameters(self.coefs_, self.intercepts_, backend)
        network.set_parameters(backend, parameters)
        return network

    def _network_of(self, architecture: Architecture) -> Network:
        """Return the network, whose weights may be others; it keeps its compiled functions."""
        network = self._network
        if network is None or architecture != self._architecture:
            network = self._network = architecture.network()
            self._architecture = architecture
        return network

    # --- files ----------------------------------------------------------------------------

    def _file_state(self) -> dict[str, Any]:
        if self._network is not None:
            self._network.check_idle("save")
        return file_state(self)

    def _restore_file_state(self, state: FileState) -> None:
        restore(self, state)

    def _onnx_logits(self, graph: Graph) -> Array:
        """Record the logits for a new input "X"."""
        architecture = self._architecture
        assert architecture is not None
        X = graph.argument("X", (architecture.n_inputs,), architecture.dtype)
        host = get_backend("numpy")
        parameters = architecture.parameters(self.coefs_, self.intercepts_, host)
        return logits_of(graph, self._network_of(architecture), parameters, X)

    # --- pickling and tags ----------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Pickle host (NumPy) arrays, which load on machines without the device."""
        state = dict(super().__getstate__()) | version_note()
        state.pop("_network", None)
        for name in ("coefs_", "intercepts_"):
            if name in state:
                state[name] = [to_host(a) for a in state[name]]
        for name in ("_best", "_last"):
            if state.get(name) is not None:
                state[name] = [{k: to_host(p) for k, p in p_l.items()} for p_l in state[name]]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; warn if another version of bpnet wrote the pickle."""
        state = dict(state)
        check_version_note(state, type(self).__name__)
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Declare support for sparse features.

        `array_api_support` stays False although arrays of any library are accepted: it would
        also promise to reject arrays of another library than the one fitted to.
        """
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _on_owner(features: Features, targets: Any, weights: Any, dtype: str) -> Dataset:
    """Move targets and weights to the device of the features, all in one dtype."""
    X, owner, _ = features

    def placed(array: Any, kind: str) -> Array:
        return array.astype(kind, copy=False) if owner is None else owner.asarray(array, kind)

    y = placed(targets, "int64" if targets.ndim == 1 else dtype)
    w = None if weights is None else placed(weights, dtype)
    return Dataset(placed(X, dtype), y, w, owner, dtype)
