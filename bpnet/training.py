"""Training: epochs of minibatches over data that stays on the device."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bpnet._checks import check_flag, check_integer, check_number
from bpnet._inputs import Data
from bpnet._interrupt import Interrupt
from bpnet._placement import bring, placed
from bpnet._source import Source, take_rows, total_weight
from bpnet._step import State, make_step
from bpnet._typing import Array, Parameters
from bpnet.backend import Backend
from bpnet.callbacks import Callback, ProgressBar
from bpnet.history import History
from bpnet.optimizers import Adam, Optimizer
from bpnet.random import generator

if TYPE_CHECKING:
    from bpnet.network import Network


class Training:
    """One call of ``Network.fit``: checks everything, then runs the epochs.

    Callbacks get this object. Its parameters and network are those of the moment: the next
    step may overwrite them, so a callback that keeps arrays copies them.

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
        X: Any,
        y: Any,
        *,
        optimizer: Optimizer | None,
        epochs: int,
        batch_size: int | None,
        shuffle: bool,
        sample_weight: Any,
        validation_data: tuple[Any, ...] | None,
        validation_split: float,
        callbacks: Iterable[Callback],
        backend: str | Backend | None,
        progress: bool,
    ) -> None:
        self.network = network
        self.optimizer = Adam() if optimizer is None else optimizer
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(
                f"optimizer must be a bpnet optimizer such as bpnet.Adam(0.001), "
                f"got {optimizer!r}"
            )
        self.schedule = copy.deepcopy(self.optimizer.learning_rate)
        self.epochs = check_integer("epochs", epochs, 1)
        self.shuffle = check_flag("shuffle", shuffle)
        self.callbacks = _check_callbacks(callbacks)
        if check_flag("progress", progress):
            self.callbacks.append(ProgressBar())
        data = network.check_data(X, y, sample_weight)
        self.data, self.validation = self._split(data, validation_data, validation_split)
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
        started = time.perf_counter()
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
                self.history.seconds = time.perf_counter() - started
        return self.history

    def _begin(self) -> None:
        """Set up state and steps; the parameters are copied, as a step overwrites its state."""
        place, data = self.backend, self.data
        start = self.network.parameters_on(place, data.X)
        self.state = {
            "parameters": _copied(place, start),
            "slots": self.optimizer.init(place.xp, start),
            "step": self._scalar(0, "int64"),
        }
        self._source = Source(data, place, self.batch_size)
        if self.validation is not None and place.fits(self.validation.nbytes):
            self.validation = placed(self.validation, place)
        self._steps = {
            rows: make_step(place, self.network.model, self.optimizer, self.batch_size, rows)
            for rows in self._source.sizes
        }

    def _run_batches(self, interrupt: Interrupt) -> bool:
        """Take the steps of one epoch; False if Ctrl-C cut it short.

        Nothing here waits for the device.
        """
        self._rates = [
            self.schedule(self.epoch + batch / self._source.n_batches)
            for batch in range(self._source.n_batches)
        ]
        order = self._order()
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
        self.logs = {"loss": float(self.state["loss"]), "learning_rate": self._rates[-1]}
        if self.validation is not None:
            measured = self.network.evaluate_data(
                self.backend, self.parameters, self.validation
            )
            self.logs |= {f"val_{name}": value for name, value in measured.items()}
        self._call("on_epoch_end")
        self.history.append(self.logs)
        self.schedule.observe(self.logs)

    def _order(self) -> Any:
        """Draw the order of this epoch on the host; None where one batch takes all rows."""
        rows = self.data.n_rows
        if self.batch_size == rows:
            return None
        if not self.shuffle:
            return range(rows)
        return generator(self.network.seed, "shuffle", self.epoch).permutation(rows)

    def _call(self, hook: str) -> None:
        self.network.adopt(self.backend, self.parameters)
        for callback in self.callbacks:
            getattr(callback, hook)(self)

    def _scalar(self, value: float, dtype: str) -> Array:
        return self.backend.asarray(value, dtype)

    def _split(
        self, data: Data, validation_data: tuple[Any, ...] | None, validation_split: float
    ) -> tuple[Data, Data | None]:
        """Give training and validation examples, from what was passed or split off."""
        share = check_number("validation_split", validation_split, 0.0, 1.0, below=True)
        if validation_data is None and not share:
            return data, None
        if validation_data is not None:
            if share:
                raise ValueError("pass validation_data or validation_split, not both")
            return data, self._check_validation(validation_data, int(data.X.shape[1]))
        held_out = round(share * data.n_rows)
        if not 0 < held_out < data.n_rows:
            raise ValueError(
                f"validation_split must leave examples on both sides; {share:g} of "
                f"{data.n_rows} examples is {held_out}"
            )
        order = generator(self.network.seed, "split").permutation(data.n_rows)
        parts = take_rows(data, order[held_out:]), take_rows(data, order[:held_out])
        if not all(map(total_weight, parts)):
            raise ValueError(
                f"sample_weight must leave a weight > 0 on both sides of validation_split; "
                f"drawn by seed {self.network.seed}, one side has only 0"
            )
        return parts

    def _check_validation(self, validation_data: tuple[Any, ...], n_inputs: int) -> Data:
        if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
            raise TypeError("validation_data must be a tuple (X, y) or (X, y, sample_weight)")
        X, y, *w = validation_data
        return self.network.check_data(
            X, y, w[0] if w else None, suffix=" of validation_data", n_inputs=n_inputs
        )


def _copied(place: Backend, parameters: Parameters) -> Parameters:
    return [
        {name: bring(p, place, copy=True) for name, p in layer.items()} for layer in parameters
    ]


def _check_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        callbacks = [callbacks]
    callbacks = list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be bpnet callbacks, got {callback!r}")
    return callbacks
