"""The arrays of a training run and the steps that update them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.precision import wanted_precision
from bpnet.backend.transfer import copy_parameters
from bpnet.backend.typing import Array, Parameters
from bpnet.data.loader import Loader
from bpnet.model.model import Model
from bpnet.model.parameters import Placement
from bpnet.training.state import TrainingState
from bpnet.training.step import StepState, make_step

# order(epoch, rows) returns the order of the examples in an epoch, counted from 0 over all
# training runs of the model.
Order = Callable[[int, int], Any]


def in_order(epoch: int, rows: int) -> range:
    """Return the order of the examples without shuffling."""
    return range(rows)


class Runner:
    """Owns parameters, optimizer state and counters while a fit runs, and takes the steps.

    Parameters
    ----------
    model, parameters : Model, list of dict of str to array
        The model to train, and its initial parameters, which are copied.
    loader : Loader
        Source of the batches; its backend is where the steps run.
    state : TrainingState
        The optimizer, with the state left by earlier runs.
    order : callable
        ``order(epoch, rows)`` returns the order of the examples in an epoch.
    epoch : int
        Number of epochs that a resumed run has already completed.
    eagerly : bool
        As `run_eagerly` of ``Network.fit``.

    Attributes
    ----------
    arrays : dict
        The state of :mod:`bpnet.training.step` after the last step.
    rates : list of float
        The learning rate of each batch of the epoch.
    steps : dict of int to callable
        The compiled step for each batch size.
    """

    def __init__(
        self, model: Model, parameters: Parameters, loader: Loader, state: TrainingState,
        order: Order, epoch: int, eagerly: bool,
    ) -> None:  # fmt: skip
        self.model, self.loader, self.state = model, loader, state
        self.order, self.eagerly = order, eagerly
        self._start = (state.steps_taken, state.step, epoch)
        self.arrays: StepState = {
            "parameters": copy_parameters(parameters, self.backend),
            "optimizer_state": state.optimizer_state_on(self.backend, parameters),
            **self.counters(epoch),
        }
        self.steps: dict[int, Callable[..., StepState]] = {}
        self.rates: list[float] = []
        self._order: Any = None

    @property
    def backend(self) -> Backend:
        """Where the steps run."""
        return self.loader.backend

    @property
    def parameters(self) -> Parameters:
        """The current parameters of all layers."""
        return self.arrays["parameters"]  # type: ignore[no-any-return]

    @property
    def placement(self) -> Placement:
        """The current parameters with their backend."""
        return Placement(self.backend, self.parameters)

    def set_parameters(self, parameters: Parameters) -> None:
        """Continue with a copy of these parameters."""
        self.arrays["parameters"] = copy_parameters(parameters, self.backend)

    def begin_epoch(self) -> None:
        """Prepare steps, learning rates and order without synchronizing with the device."""
        n_batches, state = self.loader.n_batches, self.state
        steps = {rows: self._compiled_step(rows) for rows in self.loader.sizes}
        if steps != self.steps:  # a callback has changed a layer
            self.model.release_steps()
        self.steps = steps
        self.rates = [
            state.schedule(state.epoch + batch / n_batches) for batch in range(n_batches)
        ]
        self._order = None  # one batch takes all rows
        if n_batches > 1:
            self._order = self.order(state.epochs_taken, self.loader.rows)
        self.arrays["loss"] = self.zero_loss()

    def batches(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield data and number of rows for each step of the epoch."""
        for data, sizes in self.passes():
            self.arrays["batch"] = self.scalar(0)
            for rows in sizes:
                yield data, rows

    def take_step(self, data: dict[str, Any], rows: int) -> None:
        """Run one step, which may reuse the memory of the previous arrays."""
        self.arrays = self.steps[rows](self.arrays, data)

    def passes(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield the data of this epoch piece by piece, with the batch sizes."""
        return self.loader.passes(self._order, self.rates)

    def _compiled_step(self, rows: int) -> Callable[..., StepState]:
        """Return the compiled step, shared by all runs with the same settings."""
        model, optimizer = self.model, self.state.optimizer
        details = (self.loader.batch_size, rows, self.loader.by_weight, self.eagerly)
        # A CUDA graph keeps the matmul precision of its capture.
        return model.compiled_once(
            (self.backend, model.settings, optimizer.settings, wanted_precision(), *details),
            lambda: make_step(self.backend, model.spec, optimizer, *details),
        )

    def zero_loss(self) -> Array:
        """Return the initial loss of an epoch."""
        return self.scalar(0.0, self.model.dtype)

    def counters(self, epoch: int) -> StepState:
        """Return `step` and `t` as they are after `epoch` completed epochs."""
        step, t, start = self._start
        steps = (epoch - start) * self.loader.n_batches
        return {"step": self.scalar(step + steps), "t": self.scalar(t + steps)}

    def scalar(self, value: float, dtype: str = "int64") -> Array:
        """Put a number on the device."""
        return self.backend.asarray(value, dtype)
