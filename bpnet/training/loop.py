"""The training loop and its callback interface."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.memory import explained
from bpnet.common.checks import check_choice, check_flag, check_integer
from bpnet.common.deprecation import warn_renamed
from bpnet.common.history import History
from bpnet.data.dataset import Dataset
from bpnet.data.loader import DatasetLoader, Loader, Order
from bpnet.distributed.base import Communicator
from bpnet.distributed.single import ALONE
from bpnet.errors import NonFinite
from bpnet.metrics.base import Metric
from bpnet.model.model import Model
from bpnet.training import monitors
from bpnet.training.guarded import Guarded
from bpnet.training.hooks import BETWEEN, as_callbacks, check_hooks, due_at_hooks
from bpnet.training.interrupt import INTERRUPTED, Interrupt
from bpnet.training.memory_needs import memory_needs
from bpnet.training.nan_guard import Guard
from bpnet.training.runner import Runner
from bpnet.training.state import TrainingState
from bpnet.training.together import Together


class Callback:
    """Base class of callbacks; every hook does nothing by default.

    Attributes
    ----------
    adds : mapping of str to {"min", "max", None}, or None
        What ``on_epoch_end`` adds to the logs, and whether a lower or a higher value is better
        (None: unknown). A name that ends in "*" stands for all that begin so. If all callbacks
        declare it, a monitor that nothing records is refused before the first epoch. None, the
        default, is unknown, or nothing if ``on_epoch_end`` is not overridden.
    restores : bool
        Whether ``on_train_end`` puts other weights into the network, such as the best. Such
        callbacks run first at the end, so that all others see the network as it is left.
    main_only : bool
        Whether the hooks run only in process 0 of several that train together, as those of
        callbacks that write files do. :meth:`setup` runs in all.

    Examples
    --------
    Stop as soon as the loss is small enough:

    >>> import bpnet
    >>> class StopBelow(bpnet.Callback):
    ...     def on_epoch_end(self, training):
    ...         if training.logs["loss"] < 0.5:
    ...             training.stop("loss below 0.5")
    """

    adds: Mapping[str, str | None] | None = None
    restores: bool = False
    main_only: bool = False

    def setup(self, training: Training) -> None:
        """Check the settings before anything changes; raise to refuse."""

    def on_train_begin(self, training: Training) -> None:
        """Run before the first epoch."""

    def on_epoch_begin(self, training: Training) -> None:
        """Run before each epoch; ``training.epoch`` counts from 0."""

    def on_batch_end(self, training: Training) -> None:
        """Run after each step. Reading an array here synchronizes with the device."""

    def on_epoch_end(self, training: Training) -> None:
        """Run after each epoch; ``training.logs`` has its metrics and accepts more."""

    def on_epoch_recorded(self, training: Training) -> None:
        """Run after all callbacks saw the epoch and its metrics are in the history."""

    def on_train_end(self, training: Training) -> None:
        """Run after the last epoch, unless an error ended training."""

    def teardown(self, training: Training) -> None:
        """Release resources after everything else, even if an error ended training.

        After an early error, no other hook may have run. An override calls ``super()``.
        """
        if self._overrides_on_close():
            self.on_close(training)

    def on_close(self, training: Training) -> None:
        """Call :meth:`teardown`; deprecated, override that instead."""
        if not self._overrides_on_close():  # else a subclass got here by super()
            warn_renamed(f"{type(self).__name__}.on_close", "teardown")
            self.teardown(training)

    def _overrides_on_close(self) -> bool:
        return "on_close" in vars(self) or type(self).on_close is not Callback.on_close

    def __init_subclass__(cls, **options: Any) -> None:
        """Warn of a hook of the former name."""
        super().__init_subclass__(**options)
        bases = [base for base in cls.__bases__ if issubclass(base, Callback)]
        if cls.on_close not in {base.on_close for base in bases}:
            warn_renamed(f"{cls.__name__}.on_close", "teardown")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must store for this callback; {} if nothing.

        Values are JSON-serializable, or NumPy arrays of float32 or float64.
        """
        return {}

    def settings(self) -> dict[str, Any]:
        """Return what a run that resumes this one must have in common, JSON-serializable.

        Called after :meth:`setup`. A file stores it beside the :meth:`state`.
        """
        return {}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Restore a :meth:`state`: called before training, to check it, and at its start."""


class Training(Together, Guarded):
    """One call of ``Network.fit``: checks its settings, then runs the epochs.

    Callbacks receive this object. The next step may overwrite its current parameters, so
    a callback that keeps arrays must copy them. To set parameters, assign `parameters`. If they
    then have other shapes or dtypes, :class:`bpnet.errors.ComponentError` ends training.

    Parameters
    ----------
    network : Model
        The network to train.
    data, validation : Dataset or Loader, Dataset or None
        Checked training and validation examples.
    epochs, batch_size, callbacks, backend, metrics, training_metrics, on_nonfinite, run_eagerly
        As in ``Network.fit``.
    order : callable
        ``order(epoch, rows)`` returns the order of the examples in an epoch: `rows` integers.
        The epoch counts from 0, over all training runs of the network.
    shuffle : bool
        Whether the examples are shuffled in each epoch; a resumed run must agree.
    state : TrainingState
        The state left by the previous run, or a new one.
    loss_weighting : {"weight", "rows"}
        Whether the epoch's loss weights a batch by the sum of its weights, or by its number of
        examples, as scikit-learn does.
    communicator : Communicator
        The processes that train together.

    Attributes
    ----------
    network, data, validation
        As above; large X, which is cast where it is read, is an array after ``np.asarray``.
    backend : Backend
        Where training runs.
    epoch, epochs : int
        Number of completed and of requested epochs.
    metrics : dict of str to Metric
        The metrics by name.
    directions : dict of str to {"min", "max", None}
        All known names of the history: whether a lower or a higher value is better, None if
        unknown; with those that callbacks declare (:attr:`Callback.adds`).
    history : History
        The metrics of the previous epochs.
    logs : dict of str to float
        In ``on_epoch_end`` the metrics of this epoch, to which callbacks may add their own;
        in other hooks those of the previous epoch.
    nonfinite : NonFinite or None
        In ``on_epoch_end`` and ``on_train_end``, where loss, weights or optimizer state became
        non-finite; None if they are finite or not checked.
    """

    def __init__(
        self,
        network: Model,
        data: Dataset | Loader,
        *,
        validation: Dataset | None,
        epochs: int,
        batch_size: int | None,
        order: Order,
        shuffle: bool,
        callbacks: Iterable[Callback],
        backend: str | Backend | None,
        state: TrainingState,
        metrics: str | Metric | Iterable[str | Metric] | None = None,
        training_metrics: bool = False,
        loss_weighting: str = "weight",
        on_nonfinite: str = "raise",
        run_eagerly: bool = False,
        communicator: Communicator = ALONE,
    ) -> None:
        self.communicator = communicator
        self.network, self.data, self.validation = network, data, validation
        self.order, self.shuffle = order, shuffle
        self.state, self.loss_weighting = state, loss_weighting
        self.on_nonfinite = check_choice(
            "on_nonfinite", on_nonfinite, ("raise", "restore", "ignore")
        )
        self.run_eagerly = check_flag("run_eagerly", run_eagerly)
        self.epochs = check_integer("epochs", epochs, 1)
        self.callbacks = check_callbacks(callbacks)
        for callback in self.callbacks:
            check_hooks(callback, Callback)
        rows = data.n_rows
        batch_size = data.batch_size if isinstance(data, Loader) else batch_size
        limit = rows if batch_size is None else check_integer("batch_size", batch_size, 1)
        self.batch_size = limit if communicator.shards else min(limit, rows)
        self.training_metrics = check_flag("training_metrics", training_metrics)
        self._check_parts()
        self.backend = self._own_backend(backend)
        self.metrics = network.check_metrics(
            metrics, lambda: data.y if isinstance(data, Dataset) else data.sample(2)[1],
            self.backend,
        )  # fmt: skip
        if self.training_metrics and not isinstance(data, Dataset):
            raise ValueError(
                "training_metrics must be False if X is a loader, whose batches would have to "
                "be read twice; got True. Pass some of its examples as validation_data"
            )
        state.callbacks, state.settings = self.callbacks, self.settings
        self.continue_from(History())
        self._runner: Runner | None = None
        self.nonfinite: NonFinite | None = None
        self._guard: Guard | None = None
        own = monitors.recorded(self.metrics, validation is not None, self.training_metrics)
        self.directions, self._is_complete = monitors.known(own, self.callbacks, Callback)
        state.prepare(self.direction)
        for callback in self.callbacks:
            callback.setup(self)

    def direction(self, monitor: str, mode: str | None = None) -> str:
        """Return whether the "min" or the "max" of a name in the history is best.

        `mode` is what the user chose; None takes the known direction. Raises ValueError if it
        is unknown, or if neither fit nor a callback records such a name.
        """
        return monitors.direction(monitor, mode, self.directions, self._is_complete)

    @property
    def is_resumable(self) -> bool:
        """Whether the network has the state of the last epoch, so that another can follow."""
        history = self.history
        is_last = history.stopped != INTERRUPTED and history.best_epoch is None
        return is_last and self.nonfinite is None

    def continue_from(self, history: History) -> None:
        """Continue a run that has completed the epochs of this history."""
        self.history = self.state.history = history
        self.epoch = history.epochs
        self.logs: dict[str, float] = history.last()

    def run(self) -> History:
        """Run the epochs and leave the network with its last (or best) parameters.

        Raises
        ------
        NonFiniteError
            After all cleanup, if a NaN or an infinity ended training.
        """
        self._started = time.perf_counter() - self.history.seconds
        here = [c for c in self.callbacks if self.communicator.is_main or not c.main_only]
        self._due = due_at_hooks(here, Callback)
        self._check_same()
        needs = partial(
            memory_needs, self.network, self.data, self.batch_size,
            self.state.optimizer.n_state,
        )  # fmt: skip
        memory, together = explained(self.backend, needs), self.communicator.aborting()
        with Interrupt() as interrupt, together, self.backend.activate(), memory:
            runner = self._runner = self._begin()
            try:
                with interrupt.postponed(False):
                    self._run_epochs(runner, interrupt)
            finally:
                self._finish(runner, interrupt)
        self._raise_nonfinite()
        return self.history

    def _run_epochs(self, runner: Runner, interrupt: Interrupt) -> None:
        self.network.lend(runner)
        self._call("on_train_begin")
        while self._continues:
            self._run_epoch(interrupt)
            if not runner.is_ahead and self._is_interrupted(interrupt):
                self.stop(INTERRUPTED)
        self._call("on_train_end")

    def _finish(self, runner: Runner, interrupt: Interrupt) -> None:
        """Store what the run has left, and return the parameters to the network.

        An error of a callback keeps no other from releasing what it has.
        """
        self._guard = None  # frees its copies of the weights
        with contextlib.ExitStack() as last:
            last.callback(self.network.take_back, runner)
            for callback in reversed(self._due["teardown"]):
                last.callback(self._tear_down, callback, interrupt)
            runner.release_steps()
            self.state.store(runner.arrays)
            self.network.steps_taken = self.state.steps_taken
            self.network.epochs_taken = self.state.epochs_taken
            self.history.seconds = time.perf_counter() - self._started

    def _tear_down(self, callback: Callback, interrupt: Interrupt) -> None:
        with interrupt.postponed(False):  # it may wait for a server
            self._run("teardown", callback)

    def _begin(self) -> Runner:
        """Move data, parameters and optimizer state to the device."""
        backend, held_out, loader = self.backend, self.validation, self._own_loader()
        start = self._first_parameters(loader.n_inputs)
        runner = Runner(
            self.network, start, loader, backend, self.state, self.epoch, self.run_eagerly,
            self.loss_weighting, self.communicator,
        )  # fmt: skip
        if held_out and not held_out.is_sparse and held_out.fits(backend):
            self.validation = held_out.to_device(backend)
        if self.on_nonfinite != "ignore":
            self._guard = Guard(runner, start, self.epoch, self._repeats(loader))
        return runner

    def _run_epoch(self, interrupt: Interrupt) -> None:
        """Take the steps of one epoch and read its metrics.

        A step that fails may have overwritten the weights, and asynchronous backends report a
        lack of memory only later, so restore the weights of the previous epoch.
        """
        try:
            self._call("on_epoch_begin")
            if self._run_batches(interrupt):
                self._end_epoch(interrupt)
                return
            self.history.stopped = None  # a part of an epoch is not what was asked for
            if self._guard is not None:
                self._guard.note()
                self._look(self._guard, is_last=True, briefly=False)
                if self.nonfinite is not None:
                    self._restore_last_good(self._guard)
        except BaseException as error:
            if self._guard is not None and self._is_damaging(error):
                with interrupt.postponed():
                    self._restore_last_good(self._guard)
            raise

    def _run_batches(self, interrupt: Interrupt) -> bool:
        """Take the steps of one epoch without synchronizing; False if Ctrl-C cut it short."""
        runner = self.runner
        one_by_one = any(self.communicator.all_gather(bool(self._due["on_batch_end"])))
        runner.begin_epoch(one_by_one, is_last=self.epoch + 1 >= self.epochs)
        for data, rows, count in runner.runs():
            if runner.looks and self._is_interrupted(interrupt):
                return False
            with interrupt.postponed():
                runner.take_steps(data, rows, count)
            self._call("on_batch_end")
        return True

    def _end_epoch(self, interrupt: Interrupt) -> None:
        """Read the epoch's metrics: the only place where training waits for the device."""
        self.state.place = self.runner.loader.place()
        self.epoch += 1
        self.state.epoch += 1
        self.logs = self._read_logs(self._is_unseen(), interrupt)
        if self.training_metrics and self.metrics:
            loader = self.runner.loader
            assert isinstance(loader, DatasetLoader)  # a loader of the user's own was refused
            self.logs = self._evaluate(loader.data) | self.logs
        if self.validation is not None:
            measured = self._evaluate(self.validation)
            self.logs |= {f"val_{name}": value for name, value in measured.items()}
        self._agree()
        for callback in self._due["on_epoch_end"]:
            before = list(self.logs)
            self._run("on_epoch_end", callback)
            self.logs = monitors.as_numbers(self.logs, before, callback)
        self._agree()
        self.history.append(self.logs)
        if self.nonfinite is None:
            self.state.observe(self.logs)
        if self._guard is not None:
            if self.nonfinite is not None:
                self._restore_last_good(self._guard)
            elif self._continues:
                self._guard.keep(self.epoch)
        self.history.seconds = time.perf_counter() - self._started
        if self.nonfinite is None:
            self._call("on_epoch_recorded")

    def _evaluate(self, data: Dataset) -> dict[str, float]:
        return self.network.evaluate_data(self.backend, self.parameters, data, self.metrics)

    def _call(self, hook: str) -> None:
        """Run a hook of all callbacks that define it, at the end first those that restore."""
        for callback in self._due[hook]:
            self._run(hook, callback)

    def _run(self, hook: str, callback: Callback) -> None:
        with self.runner.kept_form():
            getattr(callback, hook)(self)

    def _is_unseen(self) -> bool:
        """Whether nobody sees network or loss between this epoch and the next."""
        sees = self.training_metrics or self.validation is not None or self.state.observes
        is_alone = self.communicator.size == 1 and not sees
        return is_alone and not any(map(self._due.get, BETWEEN))


def check_callbacks(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    """Return callbacks as a list; a single callback becomes a one-element list."""
    return as_callbacks(callbacks, Callback)
