"""Training: epochs of minibatches over checked examples that stay on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bpnet._checks import check_flag, check_integer
from bpnet._continuation import Continuation
from bpnet._inputs import Data
from bpnet._interrupt import Interrupt
from bpnet._placement import bring, placed
from bpnet._source import Source, take_rows
from bpnet._step import State
from bpnet._typing import Array, Parameters
from bpnet.backend import Backend
from bpnet.callbacks import Callback, ProgressBar
from bpnet.history import History
from bpnet.random import generator

if TYPE_CHECKING:
    from bpnet.network import Network


class Training:
    """One call of ``Network.fit``: checks its settings, then runs the epochs.

    Callbacks get this object. Its parameters and network are those of the moment: the next
    step may overwrite them, so a callback that keeps arrays copies them.

    Parameters
    ----------
    network : Network
        The network to train.
    data, validation : Data, Data or None
        Checked examples.
    epochs, batch_size, callbacks, backend, progress
        As in ``Network.fit``.
    order : callable
        ``order(epoch, rows)`` gives the order of the examples in an epoch: `rows` integers.
        The epoch counts from 0, over all trainings of the network.
    past : Continuation
        What the training before has left; a fresh one starts anew.
    shares : {"weight", "rows"}
        How much a batch counts in the epoch's loss: by the sum of its weights, or by its
        number of examples, as in scikit-learn.

    Attributes
    ----------
    network : Network
        The network in training.
    backend : Backend
        Where it trains.
    data : Data
        The checked training examples.
    validation : Data or None
        The checked validation examples.
    epoch : int
        Number of completed epochs.
    epochs : int
        Number of epochs asked for.
    history : History
        The figures of the epochs before.
    logs : dict of str to float
        In ``on_epoch_end`` the figures of this epoch, to which callbacks may add theirs;
        in other hooks those of the epoch before.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        *,
        validation: Data | None,
        epochs: int,
        batch_size: int | None,
        order: Callable[[int, int], Any],
        callbacks: Iterable[Callback],
        backend: str | Backend | None,
        progress: bool,
        past: Continuation,
        shares: str = "weight",
    ) -> None:
        self.network, self.data, self.validation = network, data, validation
        self.order, self.past, self.shares = order, past, shares
        self.epochs = check_integer("epochs", epochs, 1)
        self.callbacks = check_callbacks(callbacks)
        if check_flag("progress", progress):
            self.callbacks.append(ProgressBar())
        rows = self.data.n_rows
        limit = rows if batch_size is None else check_integer("batch_size", batch_size, 1)
        self.batch_size = min(limit, rows)
        self.backend = network.choose_backend(backend, data.owner)
        self.epoch = 0
        self.history = History()
        self.logs: dict[str, float] = {}
        self.state: State = {}

    @property
    def parameters(self) -> Parameters:
        """The parameters of all layers at this moment; copy what you keep.

        Assigning takes a copy, with which training goes on.
        """
        return self.state["parameters"]  # type: ignore[no-any-return]

    @parameters.setter
    def parameters(self, values: Parameters) -> None:
        self.state["parameters"] = _copied(self.backend, values)
        self.network.adopt(self.backend, self.parameters)

    def copy_parameters(self) -> Parameters:
        """Copy the parameters of all layers on their device."""
        return _copied(self.backend, self.parameters)

    def stop(self, reason: str) -> None:
        """End training after this epoch; the first reason stands in the history."""
        self.history.stopped = self.history.stopped or reason

    def sample(self, rows: int) -> Data:
        """Draw some training examples, the same in each call, and put them on the device."""
        rng = generator(self.network.seed, "sample")
        chosen = rng.permutation(self.data.n_rows)[:rows]
        return placed(take_rows(self.data, chosen), self.backend)

    def run(self) -> History:
        """Run the epochs, and leave the network with its last (or best) parameters."""
        self._started = time.perf_counter() - self.history.seconds
        with self.backend.activate(), Interrupt() as interrupt:
            self._begin()
            try:
                self._call("on_train_begin")
                while self.epoch < self.epochs and self.history.stopped is None:
                    self._call("on_epoch_begin")
                    if self._run_batches(interrupt):
                        self._end_epoch()
                    if interrupt.requested:
                        self.stop("interrupted")
                self._call("on_train_end")
            finally:
                self.network.adopt(self.backend, self.parameters)
                self.past.keep(self.state)
                self.network.steps_taken = self.past.steps_taken
                self.network.epochs_taken = self.past.epochs_taken
                self.history.seconds = time.perf_counter() - self._started
        return self.history

    def _begin(self) -> None:
        """Set up state and steps; the parameters are copied, as a step overwrites its state."""
        place, data = self.backend, self.data
        start = self.network.parameters_on(place, data.X)
        self.state = {
            "parameters": _copied(place, start),
            "slots": self.past.slots_on(place, start),
            "step": self._scalar(self.past.steps_taken, "int64"),
            "t": self._scalar(self.past.step, "int64"),
        }
        self._source = Source(data, place, self.batch_size, self.shares)
        held_out = self.validation
        if held_out and not held_out.is_sparse and place.fits(held_out.nbytes):
            self.validation = placed(held_out, place)
        self._steps = {
            rows: self.network.compiled_step(
                place, self.past.optimizer, self.batch_size, rows, self._source.by_weight
            )
            for rows in self._source.sizes
        }

    def _run_batches(self, interrupt: Interrupt) -> bool:
        """Take the steps of one epoch; False if Ctrl-C cut it short.

        Nothing here waits for the device.
        """
        n_batches, past = self._source.n_batches, self.past
        self._rates = [
            past.schedule(past.epoch + batch / n_batches) for batch in range(n_batches)
        ]
        order = None  # one batch takes all rows
        if n_batches > 1:
            order = self.order(past.epochs_taken, self._source.rows)
        self.state["loss"] = self._scalar(0.0, self.network.dtype)
        for data, sizes in self._source.passes(order, self._rates):
            self.state["batch"] = self._scalar(0, "int64")
            for rows in sizes:
                if interrupt.requested:
                    return False
                self.state = self._steps[rows](self.state, data)
                self._call("on_batch_end")
        return True

    def _end_epoch(self) -> None:
        """Read the epoch's figures: the one place where training waits for the device."""
        self.epoch += 1
        self.past.epoch += 1
        self.logs = {"loss": float(self.state["loss"]), "learning_rate": self._rates[-1]}
        if self.validation is not None:
            measured = self.network.evaluate_data(
                self.backend, self.parameters, self.validation
            )
            self.logs |= {f"val_{name}": value for name, value in measured.items()}
        self._call("on_epoch_end")
        self.history.append(self.logs)
        self.past.schedule.observe(self.logs)
        self.history.seconds = time.perf_counter() - self._started
        self._call("on_epoch_recorded")

    def _call(self, hook: str) -> None:
        self.network.adopt(self.backend, self.parameters)
        for callback in self.callbacks:
            getattr(callback, hook)(self)

    def _scalar(self, value: float, dtype: str) -> Array:
        return self.backend.asarray(value, dtype)


def _copied(place: Backend, parameters: Parameters) -> Parameters:
    return [
        {name: bring(p, place, copy=True) for name, p in layer.items()} for layer in parameters
    ]


def check_callbacks(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    """Give callbacks as a list; one alone is a list of it."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        callbacks = [callbacks]
    callbacks = list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be bpnet callbacks, got {callback!r}")
    return callbacks
