"""One step of training whose batch several processes share: two halves around one sum.

The first half computes the gradients of this process' rows of the batch, as one flat array; the
second takes the step with the sum over all processes. Both are pure functions, which the
backend compiles. With the rows k = 1, 2, ... of the processes, the sum W_k of their weights (or
their number), and the mean loss L_k of each, the loss of the batch and its gradient are

    s_k = W_k / sum_j W_j,    L = sum_k s_k L_k,    dL/dp = sum_k s_k dL_k/dp

If each process has rows of its own, it does not know the weights of the others: s_k then is
W_k over the weight of the epoch, and the second half divides by the sum of these. Penalties,
clipping and the update follow in the second half, as for a single process.

The flat array
--------------
gradients
    s_k dL_k/dp of each trained parameter, by layer and name.
statistics
    m_k times the change of each other parameter, such as a running mean, where m_k is the
    number of rows.
loss, weight, rows
    s_k L_k, W_k over the weight of the epoch, and m_k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec, add_penalties, part_of_training_pass
from bpnet.distributed.base import Communicator
from bpnet.optimizers import Optimizer
from bpnet.training.step import (
    StepState,
    compiled,
    contexts,
    gather,
    index_of,
    make_update,
    point,
    share_of,
    values_now,
)


def make_shared_step(
    backend: Backend, model: ModelSpec, optimizer: Optimizer, batch_size: int, rows: int,
    communicator: Communicator, start: int, stop: int, first_row: int, shards: bool,
    eagerly: bool = False,
) -> SharedStep:  # fmt: skip
    """Return the step for a batch of `rows` examples, of which this process takes a part.

    Parameters
    ----------
    backend, model, optimizer, batch_size, rows, eagerly
        As in :func:`bpnet.training.step.make_step`.
    communicator : Communicator
        The processes.
    start, stop : int
        The part of this process, within these rows.
    first_row : int
        The number of its first row in the batch of all processes.
    shards : bool
        Whether the data of this process has none of the rows of others.
    """
    part, taken = slice(start, stop), stop - start
    update = make_update(backend, model, optimizer, eagerly)

    def gradients(xp: Namespace, state: StepState, data: dict[str, Any]) -> StepState:
        X, y, w = gather(xp, data, data["batch"], batch_size, rows, part)
        values = values_now(xp, data, data["batch"])
        weights = point(optimizer, model, data["parameters"], data["optimizer_state"])
        passed = contexts(xp, model, data["keys"], data["step"], values, first_row)
        weight = share_of(xp, w, taken, data["total"])
        share = weight if shards else weight / _of_batch(xp, data, batch_size, rows)
        loss, g, new = part_of_training_pass(xp, model, weights, X, y, w, passed, share)
        parts = [
            g[k][name] if is_trained else taken * _change(xp, p, new[k].get(name))
            for k, name, p, is_trained in _named(model, data["parameters"])
        ]
        parts = [xp.reshape(part, (-1,)) for part in parts]
        numbers = xp.stack([loss, weight, xp.full_like(weight, float(taken))])
        return {"sums": xp.concat([*parts, numbers])}

    def step(xp: Namespace, state: StepState, data: dict[str, Any]) -> StepState:
        sums = data["sums"]
        weight, rows = xp.reshape(sums[-2:-1], ()), xp.reshape(sums[-1:], ())
        some = xp.where(weight > 0.0, weight, xp.ones_like(weight))  # all weights may be 0
        divisor = some if shards else None
        g, statistics = _split(xp, model, state["parameters"], sums, divisor, rows)
        weights = point(optimizer, model, state["parameters"], state["optimizer_state"])
        loss = _divided(xp.reshape(sums[-3:-2], ()), divisor)
        loss, g = add_penalties(xp, model, weights, loss, g, some * data["total"])
        values = values_now(xp, data, state["batch"])
        return update(xp, state, values, g, statistics, loss * weight)

    def nothing(state: StepState, data: dict[str, Any]) -> StepState:
        return {"sums": backend.xp.zeros_like(state["sums"])}

    return SharedStep(
        compiled(backend, gradients, model, optimizer, eagerly) if taken else nothing,
        compiled(backend, step, model, optimizer, eagerly),
        communicator,
        backend,
    )


class SharedStep:
    """A step ``step(state, data) -> state`` that all processes take together.

    Parameters
    ----------
    gradients, update : callable
        The two halves, as the backend runs them.
    communicator : Communicator
        The processes.
    backend : Backend
        Where the halves run.
    """

    def __init__(
        self, gradients: Callable[..., StepState], update: Callable[..., StepState],
        communicator: Communicator, backend: Backend,
    ) -> None:  # fmt: skip
        self.gradients, self.update = gradients, update
        self.communicator, self.backend = communicator, backend
        self._sums: Array | None = None  # memory for those of the next step

    def __call__(self, state: StepState, data: dict[str, Any]) -> StepState:
        """Take the step."""
        if self._sums is None:
            self._sums = _empty_sums(self.backend.xp, state)
        used = ("parameters", "optimizer_state", "step", "batch")
        mine = self.gradients({"sums": self._sums}, data | {name: state[name] for name in used})
        self._sums = mine["sums"]
        sums = self.communicator.all_reduce(self._sums, self.backend)
        values, total = data["values"], data["total"]
        return self.update(state, {"sums": sums, "values": values, "total": total})

    def release(self) -> None:
        """Free the memory held between steps."""
        self._sums = None
        for half in (self.gradients, self.update):
            if release := getattr(half, "release", None):
                release()


def _named(model: ModelSpec, parameters: Parameters) -> Iterator[tuple[int, str, Array, bool]]:
    """Yield layer, name, array and whether it is trained of all parameters, in one order.

    JAX changes that of the names; other processes may use another library.
    """
    for number, (layer, of_layer) in enumerate(zip(model.layers, parameters, strict=True)):
        for name in sorted(of_layer):
            yield number, name, of_layer[name], layer.is_trained(name)


def _split(
    xp: Namespace, model: ModelSpec, parameters: Parameters, sums: Array,
    divisor: Array | None, rows: Array,
) -> tuple[Parameters, Parameters]:  # fmt: skip
    """Return the gradients of the batch, and the new values of what is not trained."""
    start = 0
    gradients: Parameters = [{} for _ in parameters]
    statistics: Parameters = [{} for _ in parameters]
    for number, name, p, is_trained in _named(model, parameters):
        stop = start + math.prod(p.shape)
        of_all = xp.reshape(sums[start:stop], p.shape)
        if is_trained:
            gradients[number][name] = _divided(of_all, divisor)
        else:
            statistics[number][name] = p + of_all / rows
        start = stop
    return gradients, statistics


def _of_batch(xp: Namespace, data: dict[str, Any], batch_size: int, rows: int) -> Array:
    """Return the share of all rows of a batch in the epoch; 1 if all their weights are 0."""
    w, order = data["w"], data["order"]
    if w is not None and order is not None:
        w = xp.take(w, index_of(xp, order, data["batch"], batch_size, range(rows)))
    share = share_of(xp, w, rows, data["total"])
    return xp.where(share > 0.0, share, xp.ones_like(share))


def _divided(a: Array, divisor: Array | None) -> Array:
    return a if divisor is None else a / divisor


def _change(xp: Namespace, old: Array, new: Array | None) -> Array:
    """Return the change of a parameter, exactly 0 if there is no new value."""
    return xp.zeros_like(old) if new is None else new - old


def _empty_sums(xp: Namespace, state: StepState) -> Array:
    """Return a flat array of the size of the sums."""
    arrays = [array for layer in state["parameters"] for array in layer.values()]
    size = sum(math.prod(array.shape) for array in arrays) + 3
    loss = state["loss"]
    return xp.zeros((size,), dtype=loss.dtype, device=device(loss))
