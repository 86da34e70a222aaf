"""One step of training, as a pure function of nested containers of arrays.

``step(state, data) -> state``: that form is what JAX can jit, what a CUDA graph can capture
and what a checkpoint can save. Nothing in it waits for the device, and every number that
changes from step to step is an array of the state.

State
-----
parameters, optimizer_state
    In the structure of the layers.
step : 0-d int64
    Steps that the network has ever taken, which masks are drawn for.
t : 0-d int64
    Steps that the optimiser has taken.
batch : 0-d int64
    Batches taken in this pass over `data`.
loss : 0-d
    Sum over the epoch's batches of share times loss: in the end, the mean loss.

Data
----
X, y, w
    Resident examples; w is None without weights.
order : (rows,) int64 or None
    The order in which examples are visited; None takes all rows as one batch.
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
    backend: Backend,
    model: ModelSpec,
    optimizer: Optimizer,
    batch_size: int,
    rows: int,
    by_weight: bool = False,
    eagerly: bool = False,
) -> Callable[[StepState, dict[str, Any]], StepState]:
    """Make the compiled step for a batch of `rows` examples.

    Parameters
    ----------
    backend : Backend
        Compiles the step and fuses the update rule.
    model : Model
        Layers and loss.
    optimizer : Optimizer
        The update rule.
    batch_size : int
        Examples in every batch but the last, which tells where a batch starts.
    rows : int
        Examples in this batch: `batch_size`, or what is left in the end.
    by_weight : bool, default False
        Whether the batch counts in the epoch's loss by the sum of its weights, or by `rows`.
    eagerly : bool, default False
        Whether to run each operation as it is written, with nothing compiled or fused.
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
            xp,
            rule,
            state["parameters"],
            gradients,
            state["optimizer_state"],
            rate,
            xp.astype(t, X.dtype),
        )
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
    """Give all whose code a step runs."""
    yield from (optimizer, model.loss, *model.layers)
    yield from (layer.activation for layer in model.layers if isinstance(layer, Dense))


def _is_own(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] == "bpnet"


def gather(
    xp: Namespace, data: dict[str, Any], batch: Array, batch_size: int, rows: int
) -> tuple[Array, Array, Array | None]:
    """Gather the examples of one batch on the device."""
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
