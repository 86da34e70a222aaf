"""Detection of NaNs and infinities after each epoch, with diagnosis and rollback.

Weights and optimizer state are copied into one flat array, whose sum is read together with the
epoch's loss; the copy stays on the device for the rollback. Two such arrays take turns. Only if
something is not finite, the epochs since the copy are replayed from it, step by step, to find
the first non-finite quantity: order, values of schedules and dropout masks are the same, so it
comes again in the same step. Where they might not be the same, each epoch is copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bpnet.backend.transfer import copy_parameters, to_device
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec, add_penalties, data_loss_and_gradients
from bpnet.errors import NonFinite
from bpnet.layers import Context, Dense
from bpnet.losses import sum_of_weights
from bpnet.model.recorder import recording
from bpnet.training.runner import Played, Runner
from bpnet.training.step import StepState, contexts, gather, point, values_now

# Features, targets and weights beyond this are a likely cause: initializers assume a variance
# near 1, and squared losses square the excess.
LARGE = 1e3
# Steps from one copy to the next. A copy moves less memory than a step of the optimizer, so
# copies take at most about a hundredth of the time of training.
STEPS = 100


class Guard:
    """Checks the arrays of a run after each epoch, and keeps those of the last good `epoch`.

    Parameters
    ----------
    runner : Runner
        The run.
    start : list of dict of str to array
        The parameters with which it has begun, of which a copy is kept for one epoch.
    epoch : int
        Number of epochs that a resumed run has already completed.
    repeats : bool
        Whether each epoch since a copy gives the same weights when it is replayed.

    Attributes
    ----------
    epoch : int
        The last good epoch; after :meth:`find` or :meth:`restore`, the one that is restored.
    """

    def __init__(self, runner: Runner, start: Parameters, epoch: int, repeats: bool) -> None:
        self.runner, self.epoch, self._repeats = runner, epoch, repeats
        immutable = runner.backend.immutable
        self._start = start if immutable else copy_parameters(start, runner.backend)
        self._good: Array | None = None  # of the start, if there is none
        self._last: Array | None = None
        self._spare: Array | None = None  # memory for the next copy
        self._since: list[Played] = []  # the good epochs since the copy
        # Of the schedules, after the copied epoch and each one since.
        self._memories = {epoch: runner.state.memory}
        self._seen = runner.parameters

    def note(self) -> None:
        """Note what there is of the epoch that ends, before another one begins."""
        runner = self.runner
        self._played, self._seen = runner.played, runner.parameters
        self._loss = runner.arrays["loss"]

    @property
    def is_due(self) -> bool:
        """Whether this epoch is to be copied."""
        steps = (len(self._since) + 1) * self.runner.loader.n_batches
        return not self._repeats or self.runner.weights_were_set or steps >= STEPS

    def read(self, is_last: bool, briefly: bool) -> tuple[float, bool]:
        """Return the epoch's loss, and whether it, weights and optimizer state are finite.

        Those of the last epoch are not copied, as there is no other to fail. Briefly is to look
        at the loss alone, unless the epoch is copied.
        """
        if is_last:
            return self._check(self.runner.arrays)
        if self.is_due:
            spare, self._spare = self._spare, None
            loss, finite, self._last = self._copy(self.runner.arrays, spare)
            return loss, finite
        if briefly:
            loss = float(self._loss)
            return loss, math.isfinite(loss)
        return self._check(self.runner.arrays)

    def keep(self, epoch: int) -> None:
        """Keep the arrays last read, or those a callback has set since."""
        are_set = not self.runner.is_ahead and self.runner.parameters is not self._seen
        if self._last is None and not self.is_due and not are_set:
            self._since.append(self._played)
        else:
            self._keep_copy(are_set)
        self.epoch, self._memories[epoch] = epoch, self.runner.state.memory

    def _keep_copy(self, are_set: bool) -> None:
        """Keep the copy last read, or one of what is there if weights were set since."""
        # Nothing was read if a callback has asked for more epochs after the last.
        if self._last is None or are_set:
            memory = self._spare if self._last is None else self._last
            *_, self._last = self._copy(self.runner.arrays, memory)
        self._spare, self._good, self._last = self._good, self._last, None
        self._start, self._since, self._memories = [], [], {}

    def restore(self) -> None:
        """Restore the last good epoch, its arrays and the memory of its schedules.

        If there is too little memory to replay it, restore that of the copy.
        """
        since, self._since = self._since, []
        self.epoch -= len(since)
        copied, state = self.epoch, self._good_state()
        try:
            for epoch in since:
                state = self._repeat(epoch, state)
                self.epoch += 1
        except Exception as error:
            if not self.runner.backend.is_out_of_memory(error):
                raise
            self.epoch = copied
            state = self._good_state()
        self.runner.arrays |= state
        self.runner.is_ahead = False
        self.runner.state.memory = self._memories[self.epoch]

    def _repeat(self, epoch: Played, state: StepState) -> StepState:
        """Return the state after a good epoch that is taken again."""
        self.runner.begin_again(epoch)
        for data, rows, counters in self._batches():
            state = self._step(state | counters, data, rows)
        return state

    def _batches(self) -> Iterator[tuple[dict[str, Any], int, StepState]]:
        """Yield data and rows of each batch of the epoch, and what it changes in the state."""
        for data, sizes, counters in self.runner.passes():
            for rows in sizes:
                yield data, rows, counters
                counters = {}

    def _step(self, state: StepState, data: dict[str, Any], rows: int) -> StepState:
        """Return the state after a step, which may overwrite the runner's arrays."""
        with self.runner.lock:
            return self.runner.advance(state, data, rows)

    def _copy(self, state: StepState, memory: Array | None = None) -> tuple[float, bool, Array]:
        """Return the loss, whether all is finite, and a flat copy."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums, flat = self.runner.backend.snapshot(_arrays(state), memory)
            return *self._finite(sums, [flat]), flat

    def _check(self, state: StepState) -> tuple[float, bool]:
        """Return the loss, and whether all is finite."""
        arrays = _arrays(state)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._finite(self.runner.backend.first_and_sum(arrays), arrays)

    def _finite(self, sums: Array, arrays: Iterable[Array]) -> tuple[float, bool]:
        """Look at the sum first; it may overflow though all terms are finite."""
        loss, total = self.runner.backend.to_numpy(sums).tolist()
        if not math.isfinite(loss):
            return loss, False
        return loss, math.isfinite(total) or all(_is_finite(self._xp, a) for a in arrays)

    def _good_state(self) -> StepState:
        """Return copies of the arrays of the last good epoch, and its counters."""
        if self._good is not None:
            return self._unflatten(self._good)
        runner = self.runner
        return runner.initial_arrays(self._start) | runner.counters(self.epoch)

    def _unflatten(self, flat: Array) -> StepState:
        """Split a copy into a state, with the counters of the last good epoch."""
        runner, xp = self.runner, self._xp
        flat = to_device(flat, runner.backend)  # it may be kept on the host
        pieces = iter(_split(xp, flat, [array.shape for *_, array in _named(runner.arrays)]))
        parameters, optimizer_state = [], []
        for layer, layer_state in zip(
            runner.parameters, runner.arrays["optimizer_state"], strict=True
        ):
            parameters.append({name: next(pieces) for name in layer})
            optimizer_state.append(
                {name: {n: next(pieces) for n in s} for name, s in layer_state.items()}
            )
        return {
            "parameters": parameters,
            "optimizer_state": optimizer_state,
            **runner.counters(self.epoch),
        }

    def find(self) -> NonFinite:
        """Find the first non-finite quantity since the copy, and the last good epoch."""
        arrays = self.runner.arrays
        with np.errstate(all="ignore"):
            # Replays overwrite the memory of the arrays, which the metrics are yet to see.
            arrays["loss"] = self._xp.asarray(arrays["loss"], copy=True)
            now = self._unflatten(self._copy(arrays)[-1])
            arrays |= {name: now[name] for name in ("parameters", "optimizer_state")}
            epochs, self._since = self._since, []
            self.epoch -= len(epochs)
            for good in epochs:  # as far as one could see
                self.runner.begin_again(good)
                found, state = self._replay()
                if found:
                    return found
                self.epoch += 1
                *_, self._good = self._copy(state)
            if self._repeats:  # another may have begun
                self.runner.begin_again(self._played)
            return self._replay()[0] or self._find_now()

    @property
    def _xp(self) -> Namespace:
        return self.runner.backend.xp

    def _replay(self) -> tuple[NonFinite | None, StepState]:
        """Replay an epoch up to the step that fails; return what is found, and the state."""
        state = self._good_state()
        for number, (data, rows, counters) in enumerate(self._batches(), 1):
            state |= counters
            flat = self._copy(state)[-1]
            now = {name: int(state[name]) for name in ("step", "batch")}
            state = self._step(state, data, rows)
            if not self._check(state)[1]:
                counts = {name: self.runner.scalar(count) for name, count in now.items()}
                before = self._unflatten(flat) | counts
                return self._find_in_step(number, before, state, data, rows), state
        return None, state

    def _find_in_step(
        self, number: int, before: StepState, after: StepState, data: dict[str, Any], rows: int
    ) -> NonFinite | None:
        """Find the first non-finite quantity of a step."""
        runner, xp = self.runner, self._xp
        X, y, w = gather(xp, data, before["batch"], runner.loader.batch_size, rows)
        spec = runner.model.spec
        values = values_now(xp, data, before["batch"])
        passed = contexts(xp, spec, data["keys"], before["step"], values)
        weights = point(
            runner.state.optimizer, spec, before["parameters"], before["optimizer_state"]
        )
        computed = _computed(xp, spec, weights, X, y, w, passed)
        for layer, quantity, array in (*computed, *_named(after)):
            if not _is_finite(xp, array):
                cause = self._cause(before, X, y)
                return self._report(number, layer, quantity, array, cause)
        return None

    def _find_now(self) -> NonFinite:
        """Find what is not finite now, although the replay succeeded."""
        cause = (
            "a callback has set the weights"
            if self.runner.weights_were_set
            else "the same epoch is finite when it is repeated: its batches differ, or "
            "something changes the weights in place"
        )
        for layer, quantity, array in _named(self.runner.arrays):
            if not _is_finite(self._xp, array):
                return self._report(None, layer, quantity, array, cause)
        depth = len(self.runner.parameters)
        return self._report(None, depth - 1, "loss", self.runner.arrays["loss"], cause)

    def _report(
        self, step: int | None, layer: int, quantity: str, array: Array, cause: str
    ) -> NonFinite:
        xp = self._xp
        weighted = sum(bool(p) for p in self.runner.parameters[: layer + 1])
        value = "NaN" if bool(xp.any(xp.isnan(array))) else "infinite"
        return NonFinite(self.epoch + 1, step, max(1, weighted), quantity, value, cause)

    def _cause(self, before: StepState, X: Array, y: Array) -> str:
        """Guess the cause from magnitudes, checking data before weights."""
        if not all(_is_finite(self._xp, array) for *_, array in _named(before)):
            return (
                "weights or optimizer state were not finite before training; start from others"
            )
        if not _is_finite(self._xp, X):
            return "features have changed during training, and are not finite any more"
        size = max(self._largest(p) for layer in before["parameters"] for p in layer.values())
        grown = f"weights have grown to {size:.3g}, so " if size > LARGE else ""
        targets = self._largest(y) if y.ndim == 2 else None
        return likely_cause(
            self._largest(X),
            targets,
            f"{grown}the learning rate {self.runner.rates[-1]:.3g} is too high; lower it "
            f"(see bpnet.find_learning_rate), or clip the gradients with clip_norm",
        )

    def _largest(self, array: Array) -> float:
        return float(self._xp.max(self._xp.abs(array)))


def likely_cause(features: float, targets: float | None, otherwise: str) -> str:
    """Guess the cause from the largest feature and regression target; else `otherwise`."""
    if features > LARGE:
        return f"features up to {features:.3g} in magnitude; scale them to variance 1"
    if targets is not None and targets > LARGE:
        return f"targets up to {targets:.3g} in magnitude; scale them to variance 1"
    return otherwise


def _arrays(state: StepState) -> list[Array]:
    """Return the loss, weights and optimizer state."""
    return [state["loss"], *(array for *_, array in _named(state))]


def _split(xp: Namespace, flat: Array, shapes: list[tuple[int, ...]]) -> Iterator[Array]:
    """Yield copies of the arrays of these shapes from a snapshot."""
    start = 1  # after the loss
    for shape in shapes:
        stop = start + math.prod(shape)
        yield xp.asarray(xp.reshape(flat[start:stop], shape), copy=True)
        start = stop


def _is_finite(xp: Namespace, array: Array) -> bool:
    return bool(xp.all(xp.isfinite(array)))


def _named(state: StepState) -> Iterator[tuple[int, str, Array]]:
    """Yield weights and optimizer state of each layer with layer number and name."""
    for number, (layer, layer_state) in enumerate(
        zip(state["parameters"], state["optimizer_state"], strict=True)
    ):
        for name, p in layer.items():
            yield number, name, p
        for name, arrays in layer_state.items():
            yield from ((number, f"optimizer state of {name}", s) for s in arrays.values())


def _computed(
    xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array, y: Array,
    w: Array | None, passed: list[Context],
) -> Iterator[tuple[int, str, Array]]:  # fmt: skip
    """Yield what one step computes up to the gradients, in order, with names."""
    last = len(model.layers) - 1
    recorders, recorded = recording(model)
    loss, gradients = data_loss_and_gradients(xp, recorded, parameters, X, y, w, passed)
    for number, recorder in enumerate(recorders):
        if isinstance(recorder.layer, Dense) and recorder.layer.keeps_z:
            yield number, "z", recorder.cache[1]
        yield number, "a", recorder.a
    yield last, "loss", loss
    yield last, "delta", recorders[last].error
    for number in reversed(range(last + 1)):
        yield from ((number, f"d{name}", g) for name, g in gradients[number].items())
        if number > 0:
            yield number - 1, "dL/da", recorders[number - 1].error
    total = sum_of_weights(xp, X, w)
    loss, sums = add_penalties(xp, model, parameters, loss, gradients, total)
    yield last, "loss with penalties", loss
    for number, layer_gradients in enumerate(sums):
        yield from (
            (number, f"d{name} with penalties", g) for name, g in layer_gradients.items()
        )
