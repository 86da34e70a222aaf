"""One step of training, as a pure function of nested containers of arrays.

``step(state, data) -> state`` is a form that JAX can jit, a CUDA graph can capture and a
checkpoint can save. It never synchronizes with the device, and every number that changes from
step to step is an array of the state.

State
-----
parameters, optimizer_state
    Structured like the layers.
step : 0-d int64
    Total steps of the network, which seed the dropout masks.
t : 0-d int64
    Steps of the optimizer.
batch : 0-d int64
    Batches taken in this pass over `data`.
loss : 0-d
    Weighted sum of the batch losses so far; at the end of the epoch, the mean loss.

Data
----
X, y, w
    Resident examples; w is None without weights.
order : (rows,) int64 or None
    The order of the examples; None takes all rows as one batch.
rates : (batches,)
    The learning rate of each batch.
total : 0-d
    Sum of the weights (or number) of all examples in the epoch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.backprop import ModelSpec, loss_and_gradients
from bpnet.layers import Dense
from bpnet.optimizers import Optimizer

StepState = dict[str, Any]


def make_step(
    backend: Backend, model: ModelSpec, optimizer: Optimizer, batch_size: int, rows: int,
    by_weight: bool = False, eagerly: bool = False,
) -> Callable[[StepState, dict[str, Any]], StepState]:  # fmt: skip
    """Return the step for a batch of `rows` examples, compiled and fused by the backend.

    Parameters
    ----------
    backend, model, optimizer : Backend, ModelSpec, Optimizer
        Where the step runs, layers and loss, and the update rule.
    batch_size : int
        Examples in every batch but the last; determines where a batch starts.
    rows : int
        Examples in this batch: `batch_size`, or fewer in the last.
    by_weight : bool, default False
        Whether to weight the batch in the epoch's loss by the sum of its weights, or by `rows`.
    eagerly : bool, default False
        Whether to run each operation as written, with nothing compiled or fused.
    """
    rule = optimizer.decayed_rule if eagerly else backend.fuse(optimizer.decayed_rule)

    def step(xp: Namespace, state: StepState, data: dict[str, Any]) -> StepState:
        X, y, w = gather(xp, data, state["batch"], batch_size, rows)
        loss, gradients = loss_and_gradients(
            xp, model, state["parameters"], X, y, w, state["step"]
        )
        t = state["t"] + 1
        rate = xp.reshape(xp.take(data["rates"], xp.reshape(state["batch"], (1,))), ())
        parameters, optimizer_state = optimizer.update(
            xp, rule, state["parameters"], gradients, state["optimizer_state"], rate,
            xp.astype(t, X.dtype),
        )  # fmt: skip
        share = (xp.sum(w) if by_weight else rows) / data["total"]
        return {
            "parameters": parameters,
            "optimizer_state": optimizer_state,
            "step": state["step"] + 1,
            "t": t,
            "batch": state["batch"] + 1,
            "loss": state["loss"] + loss * share,
        }

    if eagerly:
        return functools.partial(step, backend.xp)
    return backend.compile(step, own=all(map(_is_own, _parts(model, optimizer))))


def _parts(model: ModelSpec, optimizer: Optimizer) -> Iterator[Any]:
    """Yield every object whose code a step runs."""
    yield from (optimizer, model.loss, *model.layers)
    yield from (layer.activation for layer in model.layers if isinstance(layer, Dense))


def _is_own(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] == "bpnet"


def gather(
    xp: Namespace, data: dict[str, Any], batch: Array, batch_size: int, rows: int
) -> tuple[Array, Array, Array | None]:
    """Return the examples of one batch, gathered on the device."""
    X, y, w, order = data["X"], data["y"], data["w"], data["order"]
    if order is None:
        return X, y, w
    places = batch * batch_size + xp.arange(rows, dtype=xp.int64, device=device(order))
    index = xp.take(order, places)
    return (
        xp.take(X, index, axis=0),
        xp.take(y, index, axis=0),
        None if w is None else xp.take(w, index),
    )
