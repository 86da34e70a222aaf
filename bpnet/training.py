"""Training: epochs of minibatches over checked examples that stay on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bpnet._continuation import Continuation
from bpnet._interrupt import Interrupt
from bpnet._nonfinite import Guard, NonFinite
from bpnet._step import State
from bpnet.backend import Backend
from bpnet.backend.memory import activation_bytes, explained, parameter_bytes
from bpnet.backend.transfer import copy_parameters
from bpnet.backend.typing import Array, Parameters
from bpnet.callbacks import Callback, ProgressBar
from bpnet.common.checks import check_choice, check_flag, check_integer
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader
from bpnet.errors import NonFiniteError
from bpnet.history import History
from bpnet.random import generator

if TYPE_CHECKING:
    from bpnet.network import Network


class Training:
    """One call of ``Network.fit``: checks its settings, then runs the epochs.

    Callbacks get this object. Its parameters and network are those of the moment: the next
    step may overwrite them, so a callback that keeps arrays copies them. One that sets
    parameters assigns `parameters`: another array in one of their dicts may go unseen.

    Parameters
    ----------
    network : Network
        The network to train.
    data, validation : Dataset, Dataset or None
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
    on_nonfinite, run_eagerly
        As in ``Network.fit``.

    Attributes
    ----------
    network : Network
        The network in training.
    backend : Backend
        Where it trains.
    data : Dataset
        The checked training examples.
    validation : Dataset or None
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
    nonfinite : NonFinite or None
        In ``on_epoch_end`` and ``on_train_end``, where loss, weights or the optimiser's slots
        have ceased to be finite; None as long as all of them are, or nobody looks.
    """

    def __init__(
        self,
        network: Network,
        data: Dataset,
        *,
        validation: Dataset | None,
        epochs: int,
        batch_size: int | None,
        order: Callable[[int, int], Any],
        callbacks: Iterable[Callback],
        backend: str | Backend | None,
        progress: bool,
        past: Continuation,
        shares: str = "weight",
        on_nonfinite: str = "raise",
        run_eagerly: bool = False,
    ) -> None:
        self.network, self.data, self.validation = network, data, validation
        self.order, self.past, self.shares = order, past, shares
        self.on_nonfinite = check_choice(
            "on_nonfinite", on_nonfinite, ("raise", "restore", "ignore")
        )
        self.run_eagerly = check_flag("run_eagerly", run_eagerly)
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
        self.steps: dict[int, Callable[..., State]] = {}
        self.nonfinite: NonFinite | None = None
        self._guard: Guard | None = None

    @property
    def parameters(self) -> Parameters:
        """The parameters of all layers at this moment; copy what you keep.

        Assigning takes a copy, with which training goes on.
        """
        return self.state["parameters"]  # type: ignore[no-any-return]

    @parameters.setter
    def parameters(self, values: Parameters) -> None:
        self.state["parameters"] = copy_parameters(values, self.backend)
        self.network.adopt(self.backend, self.parameters)

    def copy_parameters(self) -> Parameters:
        """Copy the parameters of all layers on their device."""
        return copy_parameters(self.parameters, self.backend)

    def stop(self, reason: str) -> None:
        """End training after this epoch; the first reason stands in the history."""
        self.history.stopped = self.history.stopped or reason

    def sample(self, rows: int) -> Dataset:
        """Draw some training examples, the same in each call, and put them on the device."""
        rng = generator(self.network.seed, "sample")
        chosen = rng.permutation(self.data.n_rows)[:rows]
        return self.data.take(chosen).to_device(self.backend)

    def run(self) -> History:
        """Run the epochs, and leave the network with its last (or best) parameters.

        Raises
        ------
        NonFiniteError
            After everything else, if a NaN or an infinity ended the training.
        """
        self._started = time.perf_counter() - self.history.seconds
        memory = explained(self.backend, self._needs)
        with self.backend.activate(), memory, Interrupt() as interrupt:
            self._begin()
            try:
                self._call("on_train_begin")
                while self.epoch < self.epochs and self.history.stopped is None:
                    self._call("on_epoch_begin")
                    self._run_epoch(interrupt)
                    if interrupt.requested:
                        self.stop("interrupted")
                self._call("on_train_end")
            finally:
                self._guard = None  # which holds this training, and copies of the weights
                self.network.release_steps()
                self.network.adopt(self.backend, self.parameters)
                self.past.keep(self.state)
                self.network.steps_taken = self.past.steps_taken
                self.network.epochs_taken = self.past.epochs_taken
                self.history.seconds = time.perf_counter() - self._started
                for callback in self.callbacks:
                    callback.on_close(self)
        if self.nonfinite is not None and self.on_nonfinite == "raise":
            raise NonFiniteError(
                f"training has met a NaN or an infinity in {self.nonfinite}. The network has "
                f"the weights of the last good epoch; on_nonfinite='restore' ends without an "
                f"error, 'ignore' trains on",
                self.nonfinite,
                self.history,
            )
        return self.history

    def _needs(self) -> dict[str, tuple[int, str]]:
        """Say how many bytes the parts of this training take, and what lowers them."""
        network, inputs = self.network, int(self.data.X.shape[1])
        one = parameter_bytes(network.layers, inputs, network.dtype)
        batch = activation_bytes(network.layers, inputs, self.batch_size, network.dtype)
        copies = 3 + 2 * self.past.optimizer.n_slots  # with gradients and the last good epoch
        return {
            f"the activations of a batch of {self.batch_size:,}": (batch, "batch_size"),
            "the examples": (self.data.nbytes, "the number of examples, or use float32"),
            "weights, gradients and slots": (copies * one, "the units of the layers"),
        }

    def _begin(self) -> None:
        """Set up the state; the parameters are copied, as a step overwrites its state."""
        place, data = self.backend, self.data
        self._begun = (self.past.steps_taken, self.past.step, self.epoch)
        self._source = Loader(data, place, self.batch_size, self.shares)
        start = self.network.parameters_on(place, data.X)
        self.state = {
            "parameters": copy_parameters(start, place),
            "slots": self.past.slots_on(place, start),
            **self.counters(self.epoch),
        }
        held_out = self.validation
        if held_out and not held_out.is_sparse and place.fits(held_out.nbytes):
            self.validation = held_out.to_device(place)
        if self.on_nonfinite != "ignore":
            self._guard = Guard(self)

    def _run_epoch(self, interrupt: Interrupt) -> None:
        """Take the steps of one epoch, and read its figures.

        Where work is queued, weights that a step had no memory for are known too late: so go
        back to those of the epoch before.
        """
        try:
            if self._run_batches(interrupt):
                self._end_epoch()
            elif self._guard is not None:
                self._read_loss()
                if self.nonfinite is not None:
                    self._go_back(self._guard)
        except Exception as error:
            if self._guard is not None and self.backend.is_out_of_memory(error):
                self._go_back(self._guard)
            raise

    def _run_batches(self, interrupt: Interrupt) -> bool:
        """Take the steps of one epoch; False if Ctrl-C cut it short.

        Nothing here waits for the device.
        """
        n_batches, past = self.n_batches, self.past
        steps = {
            rows: self.network.compiled_step(
                self.backend,
                past.optimizer,
                self.batch_size,
                rows,
                self._source.by_weight,
                self.run_eagerly,
            )
            for rows in self._source.sizes
        }
        if steps != self.steps:  # a callback has changed a layer
            self.network.release_steps()
        self.steps = steps
        self.rates = [
            past.schedule(past.epoch + batch / n_batches) for batch in range(n_batches)
        ]
        self._order = None  # one batch takes all rows
        if n_batches > 1:
            self._order = self.order(past.epochs_taken, self._source.rows)
        self.state["loss"] = self.zero_loss()
        for data, sizes in self.passes():
            self.state["batch"] = self.scalar(0)
            for rows in sizes:
                if interrupt.requested:
                    return False
                self.state = self.steps[rows](self.state, data)
                self._call("on_batch_end")
        return True

    def _end_epoch(self) -> None:
        """Read the epoch's figures: the one place where training waits for the device."""
        self.epoch += 1
        self.past.epoch += 1
        self.logs = {"loss": self._read_loss(), "learning_rate": self.rates[-1]}
        if self.validation is not None:
            measured = self.network.evaluate_data(
                self.backend, self.parameters, self.validation
            )
            self.logs |= {f"val_{name}": value for name, value in measured.items()}
        self._call("on_epoch_end")
        self.history.append(self.logs)
        self.past.schedule.observe(self.logs)
        if self._guard is not None:
            self._keep_or_go_back(self._guard)
        self.history.seconds = time.perf_counter() - self._started
        if self.nonfinite is None:
            self._call("on_epoch_recorded")

    def _read_loss(self) -> float:
        """Read the loss of the epoch so far, and look whether all is finite."""
        if self._guard is None:
            return float(self.state["loss"])
        loss, finite = self._guard.read()
        if not finite:
            self.nonfinite = self._guard.find()
            self.stop(f"not finite in {self.nonfinite}")
        return loss

    def _keep_or_go_back(self, guard: Guard) -> None:
        if self.nonfinite is not None:
            self._go_back(guard)
        elif self.epoch < self.epochs and self.history.stopped is None:
            guard.keep()

    def _go_back(self, guard: Guard) -> None:
        guard.go_back()
        self.past.epoch -= self.epoch - guard.epochs

    def passes(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Give the data of this epoch's steps, piece by piece, with the sizes of batches."""
        return self._source.passes(self._order, self.rates)

    def zero_loss(self) -> Array:
        """Give the loss with which an epoch begins."""
        return self.scalar(0.0, self.network.dtype)

    @property
    def n_batches(self) -> int:
        """Number of steps in an epoch."""
        return self._source.n_batches

    def counters(self, epochs: int) -> State:
        """Give step and t as they are after so many epochs, with those that it resumed."""
        step, t, epoch = self._begun
        steps = (epochs - epoch) * self.n_batches
        return {"step": self.scalar(step + steps), "t": self.scalar(t + steps)}

    def _call(self, hook: str) -> None:
        self.network.adopt(self.backend, self.parameters)
        for callback in self.callbacks:
            getattr(callback, hook)(self)

    def scalar(self, value: float, dtype: str = "int64") -> Array:
        """Put a number on the device."""
        return self.backend.asarray(value, dtype)


def check_callbacks(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    """Give callbacks as a list; one alone is a list of it."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        callbacks = [callbacks]
    callbacks = list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be bpnet callbacks, got {callback!r}")
    return callbacks
