"""Learning-rate range test: increase the rate at every step and watch the loss."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bpnet import optimizers
from bpnet.backend import Backend
from bpnet.backend.memory import check_room
from bpnet.backend.transfer import copy_parameters
from bpnet.common.checks import check_integer, check_number
from bpnet.common.keywords import explains_keywords
from bpnet.data.dataset import Dataset
from bpnet.layers import trained_parameters
from bpnet.network import Network, check_network
from bpnet.optimizers import Optimizer
from bpnet.random import generator
from bpnet.training.examples import examples_in_memory
from bpnet.training.own_optimizer import check_description
from bpnet.training.scheduled import LEARNING_RATE, scheduled_values
from bpnet.training.step import make_step

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

# Smoothing factor of the loss; fastai's lr_find uses 0.98 for three times as many steps. The
# test has diverged once the smoothed loss is this many times its minimum.
_MEMORY = 0.9
_DIVERGED = 4.0


class RateTest(NamedTuple):
    """Result of :func:`find_learning_rate`; ``bpnet.plot.learning_rate_finder`` draws it.

    Attributes
    ----------
    rates : list of float
        Learning rate of each step, increasing.
    losses : list of float
        Loss of each step's batch, before the step.
    smoothed : list of float
        Exponential moving average of the losses, bias-corrected.
    suggestion : float
        The rate from which the smoothed loss stayed below half its descent to the minimum.
    diverged : bool
        Whether the test ended because the loss rose to 4 times its minimum (if that is below
        0, by 3 times its fall) or was not finite; if False, even the highest rate may be too
        low.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float
    diverged: bool

    def __str__(self) -> str:
        end = "where the loss diverged" if self.diverged else "without divergence"
        return (
            f"learning rate {self.suggestion:.2g} suggested: tried {len(self.rates)} rates "
            f"from {self.rates[0]:.2g} to {self.rates[-1]:.2g}, {end}"
        )


@explains_keywords
def find_learning_rate(
    net: Network,
    X: Any,
    y: Any = None,
    *,
    optimizer: str | Optimizer | None = None,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    backend: str | Backend | None = None,
) -> RateTest:
    """Run a learning-rate range test on a copy of the network.

    The copy trains while the learning rate grows by a constant factor per step. A rate that is
    far too low leaves the loss unchanged, a good one lowers it, and one that is too high makes
    it diverge, which ends the test.

    Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3; the
    exponential schedule follows fastai. The suggestion is where the loss is halfway down: at
    its minimum it is about to rise, and its steepest descent is often noise between batches.

    Parameters
    ----------
    net : Network
        The network, trained or not.
    X, y : arrays, or a loader or stream and None
        Examples as for ``Network.fit``. Of a loader or stream, as many as the steps take are
        read into memory, without weights: the first of an epoch.
    optimizer : str, Optimizer or None
        The optimizer to tune; its own rate is not used. None is ``Adam()``, as in ``fit``.
    low, high : float, default 1e-5 and 10.0
        First and last learning rate, 0 < low < high.
    steps : int, default 100
        Number of steps, >= 10.
    batch_size : int, default 32
        Examples per step, limited to the number of examples.
    backend : str, Backend or None
        The backend, as in ``Network.fit``.

    Returns
    -------
    RateTest
        Rates, losses and the suggestion.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid, or the loss is not finite in the first steps.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(200)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> test = bpnet.find_learning_rate(net, X, y)
    >>> 1e-3 < test.suggestion < 1.0
    True
    """
    check_network(net)
    optimizer = optimizers.get("adam" if optimizer is None else optimizer)
    check_description(optimizer)
    low = check_number("low", low, 0.0, above=True)
    high = check_number("high", high, low, above=True)
    steps = check_integer("steps", steps, 10)
    batch_size = check_integer("batch_size", batch_size, 1)
    data = examples_in_memory(net, X, y, steps * batch_size)
    backend = net.choose_backend(backend, data.owner)
    row = 8 + data.nbytes // data.n_rows
    check_room("steps", steps, steps * min(batch_size, data.n_rows) * row)
    rates = np.geomspace(low, high, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    mean, diverged = 0.0, False
    trial = _losses(net.replace(), data, backend, optimizer, rates, batch_size)
    # The test ends with an overflow. The trial's own context must end before this one.
    with np.errstate(over="ignore", invalid="ignore"), contextlib.closing(trial):
        for loss in trial:
            mean = _MEMORY * mean + (1.0 - _MEMORY) * loss
            now = mean / (1.0 - _MEMORY ** (len(losses) + 1))
            diverged = not math.isfinite(loss) or _has_diverged(now, smoothed)
            if diverged:
                break
            losses.append(loss)
            smoothed.append(now)
    if len(losses) < 3:
        raise ValueError(
            f"the loss was not finite or rose at once, at a learning rate of {low:g}; "
            f"pass a smaller low, or scale the features"
        )
    tried = rates[: len(losses)].tolist()
    return RateTest(tried, losses, smoothed, _halfway(tried, losses, smoothed), diverged)


def _losses(
    net: Network,
    data: Dataset,
    backend: Backend,
    optimizer: Optimizer,
    rates: Any,
    batch_size: int,
) -> Generator[float]:
    """Take one training step at each rate; yield the loss of its batch."""
    rows = min(batch_size, data.n_rows)
    needed = len(rates) * rows
    epochs = range(-(-needed // data.n_rows))
    orders = [generator(net.seed, "shuffle", k).permutation(data.n_rows) for k in epochs]
    scheduled = scheduled_values(optimizer, net.layers)
    values = {name: [value.at(0.0)] * len(rates) for name, value in scheduled.items()}
    values |= {LEARNING_RATE: rates}
    with backend.activate():
        X, y, _ = data.take(np.concatenate(orders)[:needed]).arrays_on(backend)
        start = net.parameters_on(backend, data.X)
        zero = backend.asarray(0.0, net.dtype)
        state = {
            "parameters": copy_parameters(start, backend),
            "optimizer_state": optimizer.init(
                backend.xp, trained_parameters(net.spec.layers, start)
            ),
            "step": backend.asarray(0, "int64"),
            "t": backend.asarray(0, "int64"),
            "batch": backend.asarray(0, "int64"),
        }
        batches = {
            "X": X, "y": y, "w": None,
            "order": backend.asarray(np.arange(needed, dtype=np.int64)),
            "keys": backend.asarray(np.asarray(net.keys, np.int64)),
            "values": {
                name: backend.asarray(np.asarray(of_batch), net.dtype)
                for name, of_batch in values.items()
            },
            "total": backend.asarray(float(rows), net.dtype),
        }  # fmt: skip
        step = make_step(backend, net.spec, optimizer, rows, rows)
        for _ in rates:
            state = step(state | {"loss": backend.xp.asarray(zero, copy=True)}, batches)
            yield float(state["loss"])


def _has_diverged(now: float, smoothed: Sequence[float]) -> bool:
    """Whether a loss is too high; below 0, as that of counts may be, its rise counts."""
    least = min(smoothed, default=now)
    if least > 0.0:
        return now > _DIVERGED * least
    return now - least > (_DIVERGED - 1.0) * (
        max(smoothed[0], 0.0) - least if smoothed else 1.0
    )


def _halfway(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]
) -> float:
    """Return the rate from which the smoothed loss is below half its descent."""
    least = int(np.argmin(smoothed))
    start = float(np.mean(losses[: max(1, len(losses) // 10)]))  # at negligible rates
    middle = 0.5 * (start + smoothed[least])
    above = [k for k in range(least) if smoothed[k] > middle]
    return rates[above[-1] + 1] if above else rates[0]
