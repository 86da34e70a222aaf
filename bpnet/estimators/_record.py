"""What scikit-learn writes down during a training, and when it ends one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpnet.schedules import Constant
from bpnet.training.loop import Callback

if TYPE_CHECKING:
    from bpnet.backend.typing import Parameters
    from bpnet.estimators._base import BaseMLP
    from bpnet.training.loop import Training


class Record(Callback):
    """Fill the estimator's curves, count epochs without improvement, keep the best weights.

    scikit-learn's count differs from :class:`bpnet.EarlyStopping`'s: an improvement by less
    than `tol` moves the best figure, but does not reset the count.

    Attributes
    ----------
    best : Parameters or None
        The weights of the best validation score.
    """

    def __init__(self, estimator: BaseMLP, best: Parameters | None) -> None:
        self.estimator = estimator
        self.best = best

    def on_train_begin(self, training: Training) -> None:
        """Take the first weights for the best, for what is scored may never be a number."""
        if self.estimator.early_stopping and self.best is None:
            self.best = training.copy_parameters()

    def on_epoch_end(self, training: Training) -> None:
        """Write the epoch down, and stop or slow down where nothing improves."""
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += training.data.n_rows
        e.loss_ = training.logs["loss"]
        e.loss_curve_.append(e.loss_)
        self._say(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        if e.early_stopping:
            self._observe_score(training)
        else:
            self._count(e.loss_ > e.best_loss_ - e.tol)
            if e.loss_ < e.best_loss_:
                e.best_loss_ = e.loss_
        if e._no_improvement_count > e.n_iter_no_change:
            self._give_up(training)

    def _observe_score(self, training: Training) -> None:
        e = self.estimator
        score = e._validation_score(training)
        e.validation_scores_.append(score)
        e.validation_loss_curve_.append(training.logs["val_loss"])
        self._say(f"Validation score: {score:f}")
        self._count(score < e.best_validation_score_ + e.tol)
        if score > e.best_validation_score_:
            e.best_validation_score_ = score
            self.best = training.copy_parameters()

    def _count(self, no_improvement: bool) -> None:
        e = self.estimator
        e._no_improvement_count = e._no_improvement_count + 1 if no_improvement else 0

    def _give_up(self, training: Training) -> None:
        """End the training; with the adaptive learning rate first divide that by 5."""
        e = self.estimator
        figure = "Validation score" if e.early_stopping else "Training loss"
        message = (
            f"{figure} did not improve more than tol={e.tol:f} for "
            f"{e.n_iter_no_change} consecutive epochs."
        )
        rate = training.state.schedule if e._is_adaptive else None
        if isinstance(rate, Constant) and rate.learning_rate > 1e-6:
            rate.learning_rate /= 5.0
            e._no_improvement_count = 0
            self._say(f"{message} Setting learning rate to {rate.learning_rate:f}")
            return
        self._say(f"{message}{' Learning rate too small.' if rate else ''} Stopping.")
        training.stop(message)

    def _say(self, message: str) -> None:
        if self.estimator.verbose:
            print(message)
