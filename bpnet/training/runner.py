"""The arrays of a training run and the steps that update them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

from bpnet.backend import Backend
from bpnet.backend.precision import wanted_precision
from bpnet.backend.transfer import copy_parameters, host_scalar
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.common.locks import FairLock
from bpnet.data.array_loaders import ResidentLoader
from bpnet.data.loader import Loader
from bpnet.distributed.base import Communicator
from bpnet.distributed.parts import part_of
from bpnet.distributed.shards import ShardLoader
from bpnet.distributed.single import ALONE
from bpnet.errors import ComponentError
from bpnet.layers import trained_parameters
from bpnet.model.compiled import FUNCTIONS
from bpnet.model.model import Model
from bpnet.model.parameters import Placement, form_of, parameters_like
from bpnet.optimizers import Optimizer
from bpnet.training.own_optimizer import is_own_optimizer
from bpnet.training.pace import Pace
from bpnet.training.scheduled import LEARNING_RATE
from bpnet.training.shared_step import make_shared_step
from bpnet.training.state import TrainingState
from bpnet.training.step import StepState, make_step

# Data, rows of a batch and number of batches.
Run = tuple[dict[str, Any], int, int]


class Played(NamedTuple):
    """How an epoch is repeated: its number, and the values of the schedules."""

    number: int
    values: dict[str, list[float]]


class Runner:
    """Owns parameters, optimizer state and counters while a fit runs, and takes the steps.

    Parameters
    ----------
    model, parameters : Model, list of dict of str to array
        The model to train, and its initial parameters, which are copied.
    loader : Loader
        Source of the batches.
    backend : Backend
        Where the steps run.
    state : TrainingState
        The optimizer, with the state left by earlier runs.
    epoch : int
        Number of epochs that a resumed run has already completed.
    eagerly : bool
        As `run_eagerly` of ``Network.fit``.
    loss_weighting : {"weight", "rows"}
        As in :class:`bpnet.training.loop.Training`.
    communicator : Communicator
        The processes that share each batch.

    Attributes
    ----------
    arrays : dict
        The state of :mod:`bpnet.training.step` after the last step.
    values : dict of str to list of float
        The value of each schedule in each batch of the epoch.
    steps : dict of int to callable
        The compiled step for each batch size.
    lock : FairLock
        Held while steps run, which may overwrite the arrays in place.
    one_by_one : bool
        Whether to take single steps in this epoch, so that a callback can look between them.
    looks : bool
        Whether all processes look up before the run of steps that begins.
    weights_were_set : bool
        Whether a callback has set parameters.
    is_ahead : bool
        Whether the first steps of the next epoch are queued already.
    is_stepping : bool
        Whether steps run, or have failed, which may have overwritten or freed the arrays.
    """

    def __init__(
        self, model: Model, parameters: Parameters, loader: Loader, backend: Backend,
        state: TrainingState, epoch: int, eagerly: bool, loss_weighting: str,
        communicator: Communicator = ALONE,
    ) -> None:  # fmt: skip
        self.model, self.loader, self.backend, self.state = model, loader, backend, state
        self.eagerly, self.communicator = eagerly, communicator
        self.lock, self._thread = FairLock(), threading.get_ident()
        self._pace, self.one_by_one, self._is_last = Pace(), True, True
        self.looks, self.is_ahead, self.is_stepping = True, False, False
        self._begun: Iterator[Run] | None = None  # of the epoch that is ahead
        self._ahead: tuple[Any, StepState] = (None, {})
        self.by_weight = loss_weighting == "weight" and loader.weighted
        total = loader.total_weight if self.by_weight else float(loader.n_rows)
        self._total = self.scalar(total, model.dtype)
        self._start = (state.steps_taken, state.step, epoch)
        self.arrays: StepState = {
            **self.initial_arrays(parameters),
            **self.counters(epoch),
        }
        self._form = form_of(self.parameters)
        self.weights_were_set = False
        self.steps: dict[int, Callable[..., StepState]] = {}
        self.values: dict[str, list[float]] = {}
        self._keys = self.backend.asarray(list(model.keys), "int64")
        self._borrowed: dict[Hashable, tuple[Hashable, Callable[..., StepState]]] = {}
        # Usually all epochs have the same values. A bound method would make a cycle, and keep
        # the examples on the device until Python collects garbage.
        self._values_on_device = functools.lru_cache(1)(
            functools.partial(_to_device, backend, model.dtype)
        )

    def initial_arrays(self, parameters: Parameters) -> StepState:
        """Return copies of the parameters, and the initial or earlier optimizer state."""
        state, optimizer = self.state, self.state.optimizer
        trained = trained_parameters(self.model.spec.layers, parameters)
        if state.optimizer_state is None and is_own_optimizer(optimizer):
            start = functools.partial(_start, self.backend.xp, optimizer)
            compiled = self.model.shared(
                (self.backend, _start, optimizer.settings),
                lambda: self.backend.compile_pure(start),
                [optimizer],
            )
            arrays: StepState = compiled(parameters, trained)
            copies = zip(parameters, arrays["parameters"], strict=True)
            in_order = [{name: c[name] for name in p} for p, c in copies]  # JAX sorts names
            return arrays | {"parameters": in_order}
        return {
            "parameters": copy_parameters(parameters, self.backend),
            "optimizer_state": state.optimizer_state_on(self.backend, trained),
        }

    @property
    def parameters(self) -> Parameters:
        """The current parameters of all layers."""
        return self.arrays["parameters"]  # type: ignore[no-any-return]

    @property
    def placement(self) -> Placement:
        """The current parameters with their backend; for another thread, a copy."""
        if threading.get_ident() == self._thread:
            return Placement(self.backend, self.parameters)
        with self.lock:
            copied = Placement(self.backend, self.parameters).copied()
            self.backend.synchronize()  # the next step may overwrite what is still being read
            return copied

    @property
    def rates(self) -> list[float]:
        """The learning rate of each batch of the epoch."""
        return self.values[LEARNING_RATE]

    def set_parameters(self, parameters: Parameters) -> None:
        """Continue with a copy of these parameters."""
        due = parameters_like(self._form, parameters)
        with self.lock:
            self.arrays["parameters"] = copy_parameters(due, self.backend)
            self._restart()

    def _restart(self) -> None:
        """Tell the optimizer that the parameters were set."""
        self.arrays["optimizer_state"] = self.state.optimizer.restarted(
            self.backend.xp,
            trained_parameters(self.model.spec.layers, self.parameters),
            self.arrays["optimizer_state"],
        )

    @contextlib.contextmanager
    def kept_form(self) -> Iterator[None]:
        """Raise ComponentError if a callback changes the form of the parameters, undoing it."""
        before = [layer.copy() for layer in self.parameters]
        yield
        now = self.parameters
        if len(now) == len(before) and all(map(_are_same, now, before)):
            return  # faster than looking at the arrays
        self.weights_were_set = True
        try:
            parameters_like(self._form, now)
        except ComponentError:
            self.arrays["parameters"] = before
            raise
        self._restart()

    def begin_epoch(self, one_by_one: bool, is_last: bool) -> None:
        """Prepare steps, schedules and order without synchronizing with the device."""
        if self.is_ahead:  # it has begun
            self.is_ahead = False
            return
        self.one_by_one, self._is_last = one_by_one, is_last
        self.steps = {rows: self._compiled_step(rows) for rows in self.loader.sizes}
        self.values = self._values_of(range(self.loader.n_batches))
        self._next = self._look = 0
        self._number = self.state.epochs_taken
        self.loader.begin_epoch(self._number)

    def begin_ahead(self, is_last: bool) -> None:
        """Begin the next epoch, and queue its first steps behind those of this one.

        Backends whose steps have run when they return gain nothing by it, and do not; nor do
        slow steps, for two of which Ctrl-C would have to wait. If the epoch cannot begin,
        :meth:`begin_epoch` says so once this one is recorded.
        """
        if not all(map(self._runs_as_one, self.steps)) or self._pace.is_slow(
            self.loader.n_batches
        ):
            return
        try:
            self.begin_epoch(False, is_last)
            runs = self._runs_of_epoch()
            first = next(runs)
        except Exception:  # as of a schedule
            return
        self.take_steps(*first)
        self.is_ahead, self._begun = True, runs

    @property
    def played(self) -> Played:
        """How the epoch that has begun last is repeated."""
        return Played(self._number, self.values)

    def begin_again(self, epoch: Played) -> None:
        """Return to the order and the values of an epoch, for its :meth:`passes`."""
        self.values = epoch.values
        self.loader.begin_epoch(epoch.number)

    def _values_of(self, batches: range) -> dict[str, list[float]]:
        """Return the value of each schedule in some batches of this epoch."""
        n, state = self.loader.n_batches, self.state
        times = [state.epoch + batch / n for batch in batches]
        return {name: value.during(times) for name, value in state.values.items()}

    def refresh_values(self) -> None:
        """Evaluate the schedules again, for the steps that are left of this epoch."""
        if self.values:
            left = self._values_of(range(self._next, self.loader.n_batches))
            self.values = {n: v[: self._next] + left[n] for n, v in self.values.items()}

    def runs(self) -> Iterator[Run]:
        """Return the runs of the epoch that are left."""
        begun, self._begun = self._begun, None
        return begun or self._runs_of_epoch()

    def _runs_of_epoch(self) -> Iterator[Run]:
        """Yield data, rows of a batch and number of batches for each run of the epoch."""
        self._pace.begin()
        for data, sizes, counters in self.passes():
            self.arrays |= counters
            first, values = self._next, self.values
            for rows, batches in itertools.groupby(sizes):
                left = sum(1 for _ in batches)
                while left:
                    count = min(left, self._until_look(rows, left))
                    left -= count
                    self._next += count
                    if self.values is not values:  # a callback has set one
                        values = self.values
                        data = data | {"values": self._values_between(first, len(sizes))}
                    yield data, rows, count
        if not self._is_last:
            self._look_ahead()

    def _until_look(self, rows: int, left: int) -> int:
        """Return how many steps all processes take until they look up together.

        Process 0 chooses, as only its clock may tell; the runs of others may be shorter.
        """
        self.looks = self._next == self._look
        if self.looks:
            step: Any = self.steps[rows]
            if self._pace.is_timing and self._runs_as_one(rows):
                step.wait(self.arrays)
            count = 1 if self.one_by_one else self._pace.next(left)
            self._look += self.communicator.all_gather(count)[0]
        return self._look - self._next

    def _runs_as_one(self, rows: int) -> bool:
        """Whether several steps with batches of so many rows are one program in this epoch."""
        return not self.one_by_one and hasattr(self.steps[rows], "run")

    def take_steps(self, data: dict[str, Any], rows: int, count: int) -> None:
        """Take consecutive steps, which may reuse the memory of the previous arrays."""
        with self.lock:
            self.is_stepping = True
            self.arrays = self.advance(self.arrays, data, rows, count)
            self.is_stepping = False

    def advance(
        self, state: StepState, data: dict[str, Any], rows: int, count: int = 1
    ) -> StepState:
        """Return the state after consecutive steps, compiled as one run if the backend can."""
        step: Any = self.steps[rows]
        if self._runs_as_one(rows):
            return step.run(state, data, count)  # type: ignore[no-any-return]
        for _ in range(count):
            state = step(state, data)
        return state

    def passes(self) -> Iterator[tuple[dict[str, Any], list[int], StepState]]:
        """Yield the data of this epoch piece by piece, with the batch sizes.

        The third is the part of the state with which each piece begins.
        """
        first, counters = 0, self._first_counters()
        for piece in self.loader.pieces(self.backend):
            moved = self._moved(piece.arrays["order"], counters)
            data = piece.arrays | {
                "order": moved.pop("order"),
                "keys": self._keys,
                "values": self._values_between(first, len(piece.sizes)),
                "total": self._total,
            }
            first += len(piece.sizes)
            yield data, piece.sizes, moved
            counters = {"batch": host_scalar(0, "int64")}

    def _first_counters(self) -> StepState:
        """Return new counters for the start of an epoch, as a step may overwrite them."""
        return {"loss": host_scalar(0.0, self.model.dtype), "batch": host_scalar(0, "int64")}

    def _moved(self, order: Any, counters: StepState) -> StepState:
        """Return the order of a piece and its counters on the device."""
        (ahead, moved), self._ahead = self._ahead, (None, {})
        if ahead is not None and ahead is order:
            return moved
        return self.backend.refresh({"order": order} | counters)

    def _look_ahead(self) -> None:
        """Draw and move the order of the next epoch while the device is still at work."""
        if isinstance(self.loader, ResidentLoader):  # the order of others stays on the host
            order = self.loader.order_ahead(self.state.epochs_taken + 1)
            if order is not None:
                self._ahead = (order, self._moved(order, self._first_counters()))

    def _values_between(self, first: int, count: int) -> dict[str, Array]:
        """Return the values of some batches on the device."""
        return self._values_on_device(
            tuple((name, tuple(v[first : first + count])) for name, v in self.values.items())
        )

    def _compiled_step(self, rows: int) -> Callable[..., StepState]:
        """Return the compiled step, shared by all runs with the same settings."""
        short = (rows, wanted_precision())  # a CUDA graph keeps the precision of its capture
        if short not in self._borrowed:
            model, optimizer = self.model, self.state.optimizer
            make, details = self._making(rows)
            shared = (model.spec, optimizer.settings, model.sharing([optimizer]))
            key = (self.backend, shared, short, details)
            self._borrowed[short] = (
                key,
                FUNCTIONS.borrow(
                    key, lambda: make(self.backend, model.spec, optimizer, *details)
                ),
            )
        return self._borrowed[short][1]

    def _making(self, rows: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what makes a step for batches of so many rows, and its last arguments."""
        loader, group = self.loader, self.communicator
        if group.size == 1:
            return make_step, (loader.batch_size, rows, self.by_weight, self.eagerly)
        part, first = part_of(rows, group.rank, group.size), 0
        if isinstance(loader, ShardLoader):
            part, first = slice(0, rows), loader.first_row
        return make_shared_step, (
            loader.batch_size, rows, group, part.start, part.stop, first + part.start,
            group.shards, self.eagerly,
        )  # fmt: skip

    def release_steps(self) -> None:
        """Free the memory of the compiled steps, and give them back to be used by others."""
        for key, step in self._borrowed.values():
            FUNCTIONS.give_back(key, step)
        self._borrowed, self.steps, self._begun = {}, {}, None

    def counters(self, epoch: int) -> StepState:
        """Return `step` and `t` as they are after `epoch` completed epochs."""
        step, t, start = self._start
        steps = (epoch - start) * self.loader.n_batches
        counts = {"step": step + steps, "t": t + steps}
        return self.backend.refresh({k: host_scalar(n, "int64") for k, n in counts.items()})

    def scalar(self, value: float, dtype: str = "int64") -> Array:
        """Put a number on the device."""
        return self.backend.refresh({"value": host_scalar(value, dtype)})["value"]


def _start(
    xp: Namespace, optimizer: Optimizer, parameters: Parameters, trained: Parameters
) -> StepState:
    """Return copies of the parameters, and the initial optimizer state."""
    copies = [{name: xp.asarray(p, copy=True) for name, p in p_l.items()} for p_l in parameters]
    return {"parameters": copies, "optimizer_state": optimizer.init(xp, trained)}


def _to_device(backend: Backend, dtype: str, values: Any) -> dict[str, Array]:
    """Move the values of schedules to the device."""
    return {name: backend.asarray(list(of_batches), dtype) for name, of_batches in values}


def _are_same(layer: Any, before: dict[str, Array]) -> bool:
    """Whether the parameters of a layer are the very same arrays as before."""
    if not isinstance(layer, dict) or layer.keys() != before.keys():
        return False
    return all(p is before[name] for name, p in layer.items())
