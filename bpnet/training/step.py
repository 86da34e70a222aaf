"""One step of training, as a pure function of nested containers of arrays.

``step(state, data) -> state`` is a form that JAX can jit, a CUDA graph can capture and a
checkpoint can save. It never synchronizes with the device, and every number that changes from
step to step is an array of the state.

State
-----
parameters, optimizer_state
    Structured like the layers.
step : 0-d int64
    Total steps of the network, which seed the dropout masks, together with `keys`.
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
keys : (layers,) int64
    The key of each layer's random masks.
values : dict of str to (batches,)
    The value of each schedule in each batch, such as "learning_rate" or "layers.1.rate".
total : 0-d
    Sum of the weights (or number) of all examples in the epoch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec, training_pass
from bpnet.common.component import is_own, nested
from bpnet.layers import Context, trained_parameters
from bpnet.optimizers import Optimizer, OptimizerState, SpecialRules, special_rules
from bpnet.schedules import Schedule
from bpnet.training.own_optimizer import check_update
from bpnet.training.scheduled import LEARNING_RATE, WEIGHT_DECAY

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
    update = make_update(backend, model, optimizer, eagerly)

    def step(xp: Namespace, state: StepState, data: dict[str, Any]) -> StepState:
        X, y, w = gather(xp, data, state["batch"], batch_size, rows)
        values = values_now(xp, data, state["batch"])
        weights = point(optimizer, model, state["parameters"], state["optimizer_state"])
        loss, gradients, statistics = training_pass(
            xp, model, weights, X, y, w,
            contexts(xp, model, data["keys"], state["step"], values),
        )  # fmt: skip
        share = share_of(xp, w if by_weight else None, rows, data["total"])
        return update(xp, state, values, gradients, statistics, loss * share)

    return compiled(backend, step, model, optimizer, eagerly)


def make_update(
    backend: Backend, model: ModelSpec, optimizer: Optimizer, eagerly: bool
) -> Callable[..., StepState]:
    """Return what a step does with gradients, its rules fused by the backend.

    ``update(xp, state, values, gradients, statistics, loss) -> state``; the loss is added to
    that of the epoch.
    """
    fuse = (lambda rule: rule) if eagerly else backend.fuse
    rule = fuse(optimizer.decayed_rule)

    @functools.cache
    def special(names: tuple[tuple[str, ...], ...]) -> dict[str, SpecialRules]:
        return special_rules(optimizer, model.layers, names, fuse)

    def update(
        xp: Namespace, state: StepState, values: Mapping[str, Array],
        gradients: Parameters, statistics: Parameters, loss: Array,
    ) -> StepState:  # fmt: skip
        trained = trained_parameters(model.layers, state["parameters"])
        t = state["t"] + 1
        scheduled = (values[WEIGHT_DECAY],) if WEIGHT_DECAY in values else ()
        updated = optimizer.update(
            xp, rule, trained, gradients, state["optimizer_state"],
            values[LEARNING_RATE], xp.astype(t, loss.dtype), *scheduled,
            **special(tuple(map(tuple, trained))),
        )  # fmt: skip
        check_update(optimizer, (trained, state["optimizer_state"]), updated)
        moved, optimizer_state = updated
        return {
            "parameters": _changed(_changed(state["parameters"], moved), statistics),
            "optimizer_state": optimizer_state,
            "step": state["step"] + 1,
            "t": t,
            "batch": state["batch"] + 1,
            "loss": state["loss"] + loss,
        }

    return update


def compiled(
    backend: Backend, step: Callable[..., Any], model: ModelSpec, optimizer: Optimizer,
    eagerly: bool,
) -> Callable[..., Any]:  # fmt: skip
    """Return a step, or a half of one, as the backend runs it."""
    if eagerly:
        return functools.partial(step, backend.xp)
    return backend.compile(step, own=all(map(is_own, _parts(model, optimizer))))


def share_of(xp: Namespace, w: Array | None, rows: int, total: Array) -> Array:
    """Return the share of some examples in an epoch, by weight or, without, by number."""
    return (rows if w is None else xp.sum(w)) / total


def point(
    optimizer: Optimizer, model: ModelSpec, parameters: Parameters, state: OptimizerState
) -> Parameters:
    """Return the parameters at which the optimizer wants the gradient."""
    trained = trained_parameters(model.layers, parameters)
    return _changed(parameters, optimizer.point(trained, state))


def _changed(parameters: Parameters, changes: Parameters) -> Parameters:
    """Return the parameters of all layers with those of `changes` in their places."""
    return [p | c for p, c in zip(parameters, changes, strict=True)]


def _parts(model: ModelSpec, optimizer: Optimizer) -> Iterator[Any]:
    """Yield every component whose code a step runs; schedules run between steps."""
    for component in (optimizer, model.loss, *model.layers):
        yield from (part for part in nested(component) if not isinstance(part, Schedule))


def values_now(xp: Namespace, data: dict[str, Any], batch: Array) -> dict[str, Array]:
    """Return the scheduled values of a batch, as 0-d arrays."""
    index = xp.reshape(batch, (1,))
    return {name: xp.reshape(xp.take(v, index), ()) for name, v in data["values"].items()}


def contexts(
    xp: Namespace, model: ModelSpec, keys: Array, step: Array, values: Mapping[str, Array],
    first_row: int | None = None,
) -> list[Context]:  # fmt: skip
    """Return what each layer knows in a training step."""
    return [
        Context(
            xp.reshape(keys[number : number + 1], ()), step, of_layer(values, number), first_row
        )
        for number in range(len(model.layers))
    ]


def of_layer(values: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the values of the schedules of one layer, by attribute."""
    prefix = f"layers.{number}."
    return {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}


def gather(
    xp: Namespace, data: dict[str, Any], batch: Array, batch_size: int, rows: int,
    part: slice | None = None,
) -> tuple[Array, Array, Array | None]:  # fmt: skip
    """Return the examples of one batch, or of a part of it, gathered on the device."""
    X, y, w, order = data["X"], data["y"], data["w"], data["order"]
    if order is None:
        if part is None:
            return X, y, w
        return X[part, ...], y[part, ...], None if w is None else w[part]
    within = range(rows) if part is None else range(part.start, part.stop)
    index = index_of(xp, order, batch, batch_size, within)
    return (
        xp.take(X, index, axis=0),
        xp.take(y, index, axis=0),
        None if w is None else xp.take(w, index),
    )


def index_of(
    xp: Namespace, order: Array, batch: Array, batch_size: int, within: range
) -> Array:
    """Return the numbers of the examples in consecutive places of a batch."""
    places = batch * batch_size + xp.arange(
        within.start, within.stop, dtype=xp.int64, device=device(order)
    )
    return xp.take(order, places)
