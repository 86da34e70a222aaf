"""The solvers "sgd" and "adam": bpnet's training loop with scikit-learn's stopping rules."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_warnings
from bpnet.backend.transfer import copy_parameters, to_host
from bpnet.backend.typing import Array, Parameters
from bpnet.callbacks.progress import with_progress
from bpnet.data.dataset import Dataset
from bpnet.data.loader import in_order
from bpnet.estimators._divergence import Ending
from bpnet.estimators._parameters import MLPParameters
from bpnet.estimators._solvers import InverseScaling, optimizer_of
from bpnet.estimators._split import train_and_validation
from bpnet.estimators._tolerance import warn_if_coarse
from bpnet.layers import Dense
from bpnet.network import Network
from bpnet.training.loop import Callback, Training
from bpnet.training.scheduled import LEARNING_RATE
from bpnet.training.state import TrainingState


class Stochastic(MLPParameters):
    """Minibatch training that keeps the state for warm starts and `partial_fit`.

    Attributes
    ----------
    _optimizer : TrainingState or None
        Optimizer state, step and learning rate.
    _settings : tuple
        The parameters from which the optimizer was built.
    _random_state, _order : RandomState, array
        State of the shuffling; as in scikit-learn, each epoch shuffles the order of the last.
    _split_state : tuple or None
        The random state before the validation split, to repeat the same split.
    _best, _last : Parameters or None
        With early stopping, the weights of the best and the last epoch.
    """

    coefs_: list[Array]
    intercepts_: list[Array]

    _optimizer: TrainingState | None = None
    _settings: tuple[Any, ...] = ()
    _random_state: Any = None
    _order: Any = None
    _split_state: Any = None
    _best: Parameters | None = None
    _last: Parameters | None = None
    _no_improvement_count: int = 0

    @abstractmethod
    def _strata(self, targets: Any) -> Any:
        """Return the classes by which to stratify the validation split, or None."""

    @abstractmethod
    def _validation_score(self, training: Training) -> float:
        """Score the held-out examples with the current weights."""

    def _begin_record(self) -> None:
        """Discard the record of earlier training runs."""
        self._optimizer = self._best = self._last = self._order = self._split_state = None
        self._no_improvement_count = 0
        self.loss_curve_: list[float] = []
        stops = self.early_stopping
        self.best_loss_: Any = None if stops else np.inf
        self.validation_scores_: Any = None
        self.validation_loss_curve_: Any = None
        self.best_validation_score_: Any = -np.inf if stops else None

    def _record_scores(self, is_validated: bool) -> None:
        """Keep scores if examples are held out, NaN for the epochs before."""
        if getattr(self, "validation_scores_", None) is None:
            before = [math.nan] * len(self.loss_curve_) if is_validated else None
            self.validation_scores_, self.validation_loss_curve_ = before, copy(before)

    def _has_record(self) -> bool:
        """Whether earlier training runs left a record to continue."""
        best = "best_validation_score_" if self.early_stopping else "best_loss_"
        return hasattr(self, "loss_curve_") and getattr(self, best, None) is not None

    def _fit_stochastic(
        self, network: Network, backend: Backend, data: Dataset, validation: Dataset | None,
        incremental: bool,
    ) -> Ending:  # fmt: skip
        """Run the epochs and leave the network with its last or best parameters."""
        self._arrange(network)
        if self._last is not None and self._has_best_weights():
            network.set_parameters(backend, copy_parameters(self._last, backend))
        record = _Record(self, self._best and copy_parameters(self._best, backend))
        batch_size = self._batch_rows(data.n_rows)
        training = Training(
            network, data,
            validation=validation, epochs=1 if incremental else self.max_iter,
            batch_size=batch_size,
            order=self._shuffled if self.shuffle else in_order, shuffle=self.shuffle,
            callbacks=with_progress([record, *self._callback_list()], bool(self.progress)),
            backend=backend, state=self._training_state(data.n_rows),
            loss_weighting=_loss_weighting(data, batch_size),
            on_nonfinite="ignore",  # scikit-learn has its own error
        )  # fmt: skip
        self.n_iter_ = 0
        self.history_ = training.history
        try:
            with without_float_warnings():
                stopped = training.run().stopped
        except KeyboardInterrupt:
            stopped = "interrupted"
        self._warn(stopped, incremental)
        if record.converged and not (incremental or self.early_stopping):
            reason = "in each epoch it fell by less"
            warn_if_coarse(self.loss_, self.tol, data, network.loss, reason, stacklevel=6)
        if record.best is not None:
            self._last, self._best = network.placement.parameters, record.best
            network.set_parameters(backend, copy_parameters(record.best, backend))
        if not (self.warm_start or incremental):
            self._last = self._best = self._order = None
        if record.ending.diverged_to:  # go on from the weights that are kept, not from NaN
            self._last = self._optimizer = None
        return record.ending

    def _arrange(self, network: Network) -> None:
        """Arrange what is continued like the layers, as `dropout` may have been set since.

        The optimizer is a copy, so that an error leaves that of the last call as it was.
        """

        def arranged(parts: Any) -> Any:
            dense = iter([part for part in parts or () if part])
            return parts and [
                next(dense) if isinstance(layer, Dense) else {} for layer in network.layers
            ]

        self._best, self._last = arranged(self._best), arranged(self._last)
        if self._optimizer is not None:
            self._optimizer = self._optimizer.copy()
            self._optimizer.optimizer_state = arranged(self._optimizer.optimizer_state)

    def _warn(self, stopped: str | None, incremental: bool) -> None:
        if stopped == "interrupted":
            warnings.warn("Training interrupted by user.", stacklevel=7)
        elif stopped is None and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=7,
            )

    def _split(self, data: Dataset, targets: Any, weights: Any) -> tuple[Dataset, Dataset]:
        """Hold out examples for early stopping, the same ones in every warm start.

        The class weights do not apply to them.
        """
        random_state = self._random_state
        if self._split_state is None:
            self._split_state = random_state.get_state()
        else:
            random_state = np.random.RandomState()
            random_state.set_state(self._split_state)
        train, held_out = train_and_validation(
            data.n_rows, weights, self.validation_fraction, self._strata(targets), random_state
        )
        w = None if weights is None else weights[held_out].astype(data.dtype, copy=False)
        if data.owner is not None and w is not None:
            w = data.owner.asarray(w)
        training = data.take(train)
        if not training.total_weight > 0.0:
            raise ValueError(
                f"class_weight must leave a weight > 0 on the training side of "
                f"validation_fraction={self.validation_fraction:g}, got only 0"
            )
        return training, data.take(held_out)._replace(w=w)

    def _batch_rows(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than "
                "sample size. It is going to be clipped",
                stacklevel=7,
            )
        return min(int(self.batch_size), rows)

    def _training_state(self, rows: int) -> TrainingState:
        """Return the state to continue, warm-started if the optimizer's settings changed."""
        settings, old = self._solver_settings(), self._optimizer
        if old is None or settings != self._settings:
            new = TrainingState(optimizer_of(self))
            if old is not None:
                new.warm_start(old)
            self._optimizer, self._settings = new, settings
        state = self._optimizer
        assert state is not None
        rate = state.values[LEARNING_RATE]
        if isinstance(rate.schedule, InverseScaling):
            rate.state = rate.state | {"rows": rows, "seen": self.t_}
        return state

    def _shuffled(self, epoch: int, rows: int) -> Any:
        """Shuffle the last order like :func:`sklearn.utils.shuffle`."""
        if self._order is None or len(self._order) != rows:
            self._order = np.arange(rows)
        places = np.arange(rows)
        self._random_state.shuffle(places)
        self._order = self._order[places]
        return self._order

    def _has_best_weights(self) -> bool:
        """Whether the weights are still those restored by early stopping."""
        best = [layer for layer in self._best or () if layer]
        pairs = [
            *zip(self.coefs_, (layer["W"] for layer in best), strict=True),
            *zip(self.intercepts_, (layer["b"] for layer in best), strict=True),
        ]
        return all(np.array_equal(to_host(now), to_host(then)) for now, then in pairs)


class _Record(Callback):
    """Record curves, count epochs without improvement and keep the best weights.

    scikit-learn counts differently from :class:`bpnet.EarlyStopping`: an improvement by less
    than `tol` updates the best value, but does not reset the count.
    """

    adds: Mapping[str, str | None] = {}

    def __init__(self, estimator: Stochastic, best: Parameters | None) -> None:
        self.estimator, self.best = estimator, best
        self.best_epoch: int | None = None
        self.converged = False
        self.ending = Ending("before the first epoch")

    def on_train_begin(self, training: Training) -> None:
        """Start with the initial weights as the best, because every score may be NaN."""
        if self.estimator.early_stopping and self.best is None:
            self.best = training.copy_parameters()

    def on_epoch_end(self, training: Training) -> None:
        """Record the epoch, and stop or reduce the learning rate without improvement."""
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += training.data.n_rows
        e.loss_ = training.logs["loss"]
        e.loss_curve_.append(e.loss_)
        self._say(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        rate = training.logs["learning_rate"]
        self.ending = Ending(f"in epoch {e.n_iter_}", rate, e._rate_setting)
        held_out_loss = training.logs.get("val_loss", math.nan)
        diverged = not math.isfinite(e.loss_ + (held_out_loss if e.early_stopping else 0.0))
        if e.validation_scores_ is not None:
            e.validation_scores_.append(self._score(training, held_out_loss))
            e.validation_loss_curve_.append(held_out_loss)
        if e.early_stopping:
            self._observe_score(training)
        else:
            self._count(e.loss_ > e.best_loss_ - e.tol)
            if e.loss_ < e.best_loss_:
                e.best_loss_ = e.loss_
        if diverged:
            self.ending = self.ending._replace(diverged_to=self._weights_at_end())
            training.stop("the loss is not finite")
        elif e._no_improvement_count > e.n_iter_no_change:
            self._stop_or_slow_down(training)

    def _weights_at_end(self) -> str:
        """Name the weights with which training ends if the loss is not finite."""
        if not self.estimator.early_stopping:
            return "the weights of that epoch"
        if self.best_epoch is None:
            return "the weights it began with, as no epoch had a finite score"
        return f"the best weights, of epoch {self.best_epoch}"

    def _score(self, training: Training, held_out_loss: float) -> float:
        """Return the score of the held-out examples; NaN weights predict, but have none."""
        if training.validation is None:
            return math.nan
        e = self.estimator
        is_finite = math.isfinite(e.loss_ + held_out_loss)
        score = e._validation_score(training) if is_finite else math.nan
        self._say(f"Validation score: {score:f}")
        return score

    def _observe_score(self, training: Training) -> None:
        """Count the epochs since the best score, and keep its weights."""
        e = self.estimator
        score = e.validation_scores_[-1]
        self._count(score < e.best_validation_score_ + e.tol)
        if score > e.best_validation_score_:
            e.best_validation_score_ = score
            self.best, self.best_epoch = training.copy_parameters(), e.n_iter_

    def _count(self, no_improvement: bool) -> None:
        e = self.estimator
        e._no_improvement_count = e._no_improvement_count + 1 if no_improvement else 0

    def _stop_or_slow_down(self, training: Training) -> None:
        """Stop training; first divide an adaptive learning rate by 5 while it is > 1e-6."""
        e = self.estimator
        metric = "Validation score" if e.early_stopping else "Training loss"
        message = (
            f"{metric} did not improve more than tol={e.tol:f} for "
            f"{e.n_iter_no_change} consecutive epochs."
        )
        rate = training.state.learning_rate
        if e._is_adaptive and rate > 1e-6:
            training.set_learning_rate(rate / 5.0)
            e._no_improvement_count = 0
            self._say(f"{message} Setting learning rate to {rate / 5.0:f}")
            return
        self._say(f"{message}{' Learning rate too small.' if e._is_adaptive else ''} Stopping.")
        self.converged = True
        training.stop(message)

    def _say(self, message: str) -> None:
        if self.estimator.verbose:
            print(message)


def _loss_weighting(data: Dataset, batch_size: int) -> str:
    """Return how batches are weighted in an epoch's loss: by rows, as scikit-learn does.

    By weight if all rows of a batch may have weight 0: its loss is 0, and would count.
    """
    idle = 0 if data.w is None else int(np.count_nonzero(to_host(data.w) == 0.0))
    smallest = data.n_rows % batch_size or batch_size
    return "weight" if smallest <= idle < data.n_rows else "rows"
