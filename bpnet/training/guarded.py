"""The end of an epoch: what is read of it, what begins ahead, and the way back if it failed."""

from __future__ import annotations

from typing import Any

from bpnet.data.dataset import Dataset
from bpnet.data.loader import DatasetLoader, Loader
from bpnet.errors import ComponentError, NonFinite, NonFiniteError
from bpnet.training.controls import Controls
from bpnet.training.hooks import is_own_callback
from bpnet.training.interrupt import Interrupt
from bpnet.training.nan_guard import Guard
from bpnet.training.own_optimizer import is_own_optimizer


class Guarded(Controls):
    """The methods of :class:`bpnet.training.Training` that look for NaN and go back."""

    data: Dataset | Loader
    callbacks: list[Any]
    on_nonfinite: str
    nonfinite: NonFinite | None
    epoch: int
    epochs: int
    _guard: Guard | None

    def _repeats(self, loader: Loader) -> bool:
        """Whether epochs give the same weights when they are replayed."""
        own = self.network.sharing() is None and is_own_optimizer(self.state.optimizer)
        own = own and all(map(is_own_callback, self.callbacks))
        return own and isinstance(loader, DatasetLoader) and loader.repeats

    @property
    def _continues(self) -> bool:
        """Whether another epoch follows; if its steps are queued, also after a stop."""
        wanted = self.epoch < self.epochs and self.history.stopped is None
        return wanted or self.runner.is_ahead

    def _read_logs(self, unseen: bool, interrupt: Interrupt) -> dict[str, float]:
        """Return the loss and the last learning rate of an epoch.

        If the network is unseen until the next epoch, that begins before they are read, so that
        a device that works through a queue does not wait.
        """
        runner, guard, is_last = self.runner, self._guard, self.epoch >= self.epochs
        rate, loss = runner.rates[-1], runner.arrays["loss"]
        if guard is not None:
            guard.note()
        is_due = guard is not None and guard.is_due
        waits = interrupt.requested or not self._continues or is_due
        if unseen and not waits:
            with interrupt.postponed():
                runner.begin_ahead(is_last=self.epoch + 1 >= self.epochs)
        if guard is None:
            return {"loss": float(loss), "learning_rate": rate}
        return {"loss": self._look(guard, is_last, briefly=unseen), "learning_rate": rate}

    def _look(self, guard: Guard, is_last: bool, briefly: bool) -> float:
        """Return the loss of the epoch so far, and check that everything is finite."""
        loss, finite = guard.read(is_last, briefly)
        if not finite:
            self.nonfinite = guard.find()
            self.stop(f"not finite in {self.nonfinite}")
        return loss

    def _is_damaging(self, error: BaseException) -> bool:
        """Whether an error leaves other weights than those of a step."""
        if self.runner.is_stepping:
            return True
        if not isinstance(error, Exception):
            return False
        wrong = isinstance(error, ComponentError) or not isinstance(self.data, Dataset)
        return wrong or self.backend.is_out_of_memory(error)

    def _restore_last_good(self, guard: Guard) -> None:
        """Return to the last good epoch; the history has also the one that failed, if any."""
        guard.restore()
        self.state.epoch -= self.epoch - guard.epoch
        self.history._truncate(guard.epoch + (self.nonfinite is not None))

    def _raise_nonfinite(self) -> None:
        """Raise NonFiniteError if a NaN or an infinity has ended training, and is an error."""
        if self.nonfinite is not None and self.on_nonfinite == "raise":
            raise NonFiniteError(
                f"training produced a NaN or an infinity in {self.nonfinite}. The network has "
                f"the weights of the last good epoch; on_nonfinite='restore' stops without an "
                f"error, 'ignore' continues training",
                self.nonfinite,
                self.history,
            )
