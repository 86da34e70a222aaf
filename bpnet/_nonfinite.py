"""The stop at a NaN or an infinity: look after each epoch, name where it began, go back.

A look copies weights and slots into one array and sums it, which is read together with the
epoch's loss; the copy waits on the device for the way back. Only when something is no longer
finite the epoch is run once more from that copy, step by step, to find the first quantity
that went wrong: orders and masks are the same again, so it fails again in the same step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bpnet._step import State, gather
from bpnet.backend.typing import Array, Namespace
from bpnet.backprop import Model, add_penalties
from bpnet.layers import Context, Dense
from bpnet.losses import mean_loss, output_error, sum_of_weights

if TYPE_CHECKING:
    from bpnet.training import Training

# Features, targets and weights this large make a likely cause: initialisers assume a variance
# near 1, and what is a thousand times larger is so in the square, too.
LARGE = 1e3


class NonFinite(NamedTuple):
    """Where a training first met a NaN or an infinity.

    Attributes
    ----------
    epoch : int
        The epoch of this training, from 1.
    step : int or None
        The step in that epoch, from 1; None if the epoch, run again, went well: then a
        callback has changed the weights.
    layer : int
        The layer, numbered from 1 among those that have weights; a layer without weights
        counts with the one before it.
    quantity : str
        The first bad quantity, in the order of computation: "z", "a", "loss", "delta", "dW",
        "db", "dL/da", "W", "b", "slots of W" and so on.
    value : str
        "NaN" or "infinite".
    cause : str
        What has most likely led to it.
    """

    epoch: int
    step: int | None
    layer: int
    quantity: str
    value: str
    cause: str

    def __str__(self) -> str:
        where = "" if self.step is None else f", step {self.step}"
        return (
            f"epoch {self.epoch}{where}: {self.quantity} of layer {self.layer} is "
            f"{self.value}; likely cause: {self.cause}"
        )


class Guard:
    """Keeps weights and slots of the last good epoch, and looks at what comes after.

    Parameters
    ----------
    training : Training
        The training to watch, whose state is set up.

    Attributes
    ----------
    epochs : int
        Number of completed epochs when the copy that it goes back to was made.
    """

    def __init__(self, training: Training) -> None:
        self.training, self.epochs = training, training.epoch
        self._good = self._last = self._look(training.state | {"loss": training.zero_loss()})[1]
        self._seen = training.state["parameters"]

    def read(self) -> tuple[float, bool]:
        """Read the epoch's loss, and whether it, weights and slots are finite."""
        self._seen = self.training.state["parameters"]
        (loss, total), self._last = self._look(self.training.state)
        return loss, math.isfinite(loss) and self._all_finite(total, self._last)

    def keep(self) -> None:
        """Keep what was read, or what a callback has set since."""
        if self.training.state["parameters"] is not self._seen:
            self._last = self._look(self.training.state)[1]
        self._good, self.epochs = self._last, self.training.epoch

    def go_back(self) -> None:
        """Give the training the state of the last good epoch."""
        self.training.state |= self._restored(self._good)

    def _look(self, state: State) -> tuple[list[float], Array]:
        """Give loss and sum on the host, and the copy that was summed."""
        place = self.training.backend
        look = self.training.network.compiled(place, _sum_and_copy)
        with np.errstate(over="ignore", invalid="ignore"):
            figures, copy = look(state["parameters"], state["slots"], state["loss"])
            return place.to_numpy(figures).tolist(), copy

    def _all_finite(self, total: float, flat: Array) -> bool:
        """Judge by the sum; it may overflow though all its terms are finite."""
        return math.isfinite(total) or _is_finite(self._xp, flat)

    def _restored(self, flat: Array) -> State:
        """Cut a copy into weights and slots, with the counters of the last good epoch."""
        training, xp = self.training, self._xp
        pieces = iter(_cut(xp, flat, [array.shape for *_, array in _gathered(training.state)]))
        parameters, slots = [], []
        for layer, layer_slots in zip(
            training.state["parameters"], training.state["slots"], strict=True
        ):
            parameters.append({name: next(pieces) for name in layer})
            slots.append(
                {name: tuple(next(pieces) for _ in s) for name, s in layer_slots.items()}
            )
        return {"parameters": parameters, "slots": slots, **training.counters(self.epochs)}

    def find(self) -> NonFinite:
        """Name the first bad quantity of the epoch after the last good one."""
        with np.errstate(all="ignore"):
            return self._replayed() or self._at_the_end()

    @property
    def _xp(self) -> Namespace:
        return self.training.backend.xp

    def _replayed(self) -> NonFinite | None:
        """Run the epoch again, up to the step that fails."""
        training, number = self.training, 0
        state = self._restored(self._good)
        state["loss"] = training.zero_loss()
        for data, sizes in training.passes():
            state["batch"] = training.scalar(0)
            for batch, rows in enumerate(sizes):
                number += 1
                flat, step = self._look(state)[1], int(state["step"])
                state = training.steps[rows](state, data)
                (loss, total), after = self._look(state)
                if not (math.isfinite(loss) and self._all_finite(total, after)):
                    before = self._restored(flat)
                    before |= {"step": training.scalar(step), "batch": training.scalar(batch)}
                    return self._within(number, before, state, data, rows)
        return None

    def _within(
        self, number: int, before: State, after: State, data: dict[str, Any], rows: int
    ) -> NonFinite | None:
        """Name the first bad quantity of a step."""
        training, xp = self.training, self._xp
        X, y, w = gather(xp, data, before["batch"], training.batch_size, rows)
        model = training.network.model
        for layer, quantity, array in (
            *_computed(xp, model, before, X, y, w),
            *_gathered(after),
        ):
            if not _is_finite(xp, array):
                cause = self._cause(before, X, y)
                return self._named(number, layer, quantity, array, cause)
        return None

    def _at_the_end(self) -> NonFinite:
        """Name what is bad now, as the epoch itself went well."""
        cause = "a callback has set the weights"
        for layer, quantity, array in _gathered(self.training.state):
            if not _is_finite(self._xp, array):
                return self._named(None, layer, quantity, array, cause)
        depth = len(self.training.state["parameters"])
        return self._named(None, depth - 1, "loss", self.training.state["loss"], cause)

    def _named(
        self, step: int | None, layer: int, quantity: str, array: Array, cause: str
    ) -> NonFinite:
        xp = self._xp
        weighted = sum(bool(p) for p in self.training.state["parameters"][: layer + 1])
        value = "NaN" if bool(xp.any(xp.isnan(array))) else "infinite"
        return NonFinite(self.epochs + 1, step, max(1, weighted), quantity, value, cause)

    def _cause(self, before: State, X: Array, y: Array) -> str:
        """Judge by sizes: what is far from 1 is suspected first."""
        if not all(_is_finite(self._xp, array) for *_, array in _gathered(before)):
            return "weights or slots were so before training; start from others"
        if (size := self._largest(X)) > LARGE:
            return f"features up to {size:.3g} in size; scale them to variance 1"
        if y.ndim == 2 and (size := self._largest(y)) > LARGE:
            return f"targets up to {size:.3g} in size; scale them to variance 1"
        size = max(self._largest(p) for layer in before["parameters"] for p in layer.values())
        grown = f"weights have grown to {size:.3g}, so " if size > LARGE else ""
        return (
            f"{grown}the learning rate {self.training.rates[-1]:.3g} is too high; lower it "
            f"(see bpnet.find_learning_rate), or clip the gradients with clip_norm"
        )

    def _largest(self, array: Array) -> float:
        return float(self._xp.max(self._xp.abs(array)))


def _sum_and_copy(
    xp: Namespace, model: Model, parameters: Any, slots: Any, loss: Array
) -> tuple[Array, Array]:
    """Copy loss, weights and slots into one array; give loss and sum, and that copy."""
    state = {"parameters": parameters, "slots": slots}
    arrays = [loss, *(array for *_, array in _gathered(state))]
    flat = xp.concat([xp.reshape(array, (-1,)) for array in arrays])
    return xp.stack([loss, xp.sum(flat)]), flat


def _cut(xp: Namespace, flat: Array, shapes: list[tuple[int, ...]]) -> Iterator[Array]:
    """Copy the arrays of these shapes out of what :func:`_sum_and_copy` has made."""
    start = 1  # after the loss
    for shape in shapes:
        stop = start + math.prod(shape)
        yield xp.asarray(xp.reshape(flat[start:stop], shape), copy=True)
        start = stop


def _is_finite(xp: Namespace, array: Array) -> bool:
    return bool(xp.all(xp.isfinite(array)))


def _gathered(state: State) -> Iterator[tuple[int, str, Array]]:
    """Give the weights and slots of each layer, with their names."""
    for number, (layer, slots) in enumerate(
        zip(state["parameters"], state["slots"], strict=True)
    ):
        for name, p in layer.items():
            yield number, name, p
        for name, arrays in slots.items():
            yield from ((number, f"slots of {name}", s) for s in arrays)


def _computed(
    xp: Namespace, model: Model, state: State, X: Array, y: Array, w: Array | None
) -> Iterator[tuple[int, str, Array]]:
    """Give what one step computes up to the gradients, in its order, with names."""
    parameters, last = state["parameters"], len(model.layers) - 1
    a, caches = X, []
    for number, layer in enumerate(model.layers):
        context = Context(model.keys[number], state["step"])
        a, cache = layer.forward(xp, parameters[number], a, context)
        caches.append(cache)
        if isinstance(layer, Dense):
            yield number, "z", cache[1]
        yield number, "a", a
    values, errors = model.loss.value_and_error(xp, y, a)
    loss = mean_loss(xp, values, w)
    yield last, "loss", loss
    error = output_error(xp, errors, w)
    yield last, "delta", error
    gradients = []
    for number in reversed(range(last + 1)):
        error, layer_gradients = model.layers[number].backward(
            xp, parameters[number], caches[number], error, propagate=number > 0
        )
        yield from ((number, f"d{name}", g) for name, g in layer_gradients.items())
        if number > 0:
            yield number - 1, "dL/da", error
        gradients.append(layer_gradients)
    total = sum_of_weights(xp, X, w)
    loss, sums = add_penalties(xp, model, parameters, loss, gradients[::-1], total)
    yield last, "loss with penalties", loss
    for number, layer_gradients in enumerate(sums):
        yield from (
            (number, f"d{name} with penalties", g) for name, g in layer_gradients.items()
        )
