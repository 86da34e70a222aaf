"""CS231n's sanity checks before a long training run; :func:`sanity_checks` runs all four.

"Before learning: sanity checks" and "Babysitting the learning process" of Stanford's CS231n
(Karpathy, Li and Johnson 2015) ask for: a loss at chance before the first step, a loss near 0
when overfitting a few examples, steps of about a thousandth of the weights, and gradients that
agree with finite differences (:func:`bpnet.check_gradients`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.common.checks import check_integer
from bpnet.common.history import History, check_history, metric_values
from bpnet.common.keywords import explains_keywords
from bpnet.diagnosis.data_profile import DataProfile
from bpnet.diagnosis.evidence import measured_epochs
from bpnet.diagnosis.gradient_flow import GradientFlow
from bpnet.layers import Dense, Dropout, Layer, Residual
from bpnet.network import Network, check_network
from bpnet.optimizers import Adam, Optimizer
from bpnet.testing.gradcheck import check_gradients
from bpnet.training.interrupt import uninterrupted
from bpnet.training.loop import Callback, Training

# Default initial weights give logits of variance about 1 to 2, whose loss is above that of
# logits 0 (chance): healthy nets of 1 to 4 layers and any activation had up to 2.6 times chance
# for classes, and 5.3 for squared errors, which grow with the square of the logits.
INITIAL_LOSS = 6.0
# Steps relative to weights. "Somewhere around 1e-3" (CS231n); a decade and a half on either
# side is common while training goes well, less at the end.
UPDATE_RATIO = (1e-5, 3e-2)
# Share of the initial loss below which a few examples count as overfitted.
OVERFIT = 0.05


class Check(NamedTuple):
    """The result of one sanity check; prints as a line.

    Attributes
    ----------
    name : str
        What was checked.
    passed : bool
        Whether the check passed.
    value : float
        The measured value.
    evidence : str
        The measured numbers, and what they should be.
    """

    name: str
    passed: bool
    value: float
    evidence: str

    def __str__(self) -> str:
        return f"{'ok' if self.passed else 'LOOK'}: {self.name}: {self.evidence}"


@explains_keywords
def check_initial_loss(net: Network, X: Any, y: Any, sample_weight: Any = None) -> Check:
    """Check that the loss is near chance before training: ln K for K classes.

    Parameters
    ----------
    net : Network
        The check uses a freshly initialized copy without penalties and dropout.
    X, y, sample_weight : arrays
        Training examples.

    Returns
    -------
    Check
        Its value is the loss relative to that of logits 0, which for squared errors is the mean
        square of the targets. Passes up to 6: larger losses mean that weights or features are
        too large.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> print(bpnet.sanity.check_initial_loss(net, X, y))
    ok: loss at chance before training: 0.632, and 0.693 by chance
    """
    from bpnet.diagnosis.data_profile import best_loss
    from bpnet.diagnosis.simple_models import constant_loss

    data = check_network(net).check_data(X, y, sample_weight).to_host()
    kind, targets = net.loss, (data.y, data.w)
    return _initial_loss(
        _bare(net, data.n_inputs).evaluate(data.X, data.y, data.w)["loss"],
        constant_loss(kind, *targets, np.zeros(net.n_outputs)),
        best_loss(kind, *targets, net.n_outputs),
    )


def initial_loss(facts: DataProfile) -> Check:
    """Check the initial loss recorded in a data profile."""
    return _initial_loss(facts.start["data_loss"], facts.zero_loss, facts.best_loss)


def _initial_loss(loss: float, chance: float, best: float) -> Check:
    relative = (loss - best) / ((chance - best) or 1.0)
    return Check(
        "loss at chance before training", relative <= INITIAL_LOSS, relative,
        f"{loss:.3g}, and {chance:.3g} by chance",
    )  # fmt: skip


@explains_keywords
def check_overfit(
    net: Network,
    X: Any,
    y: Any,
    *,
    examples: int = 20,
    epochs: int = 500,
    optimizer: str | Optimizer | None = None,
    seed: int = 0,
) -> Check:
    """Check that the network can overfit a few examples.

    Trains a freshly initialized copy, without penalties and dropout, on a few examples as one
    batch. If it fails, look for a bug before training on more.

    Parameters
    ----------
    net : Network
        The network; it is not changed.
    X, y : arrays
        Training examples.
    examples : int, default 20
        Number of examples to sample; 20 is CS231n's number.
    epochs : int, default 500
        Maximum number of steps; training stops once the check passes.
    optimizer : str, Optimizer or None, default None
        None is ``Adam(0.01)``.
    seed : int, default 0
        Seed of the sample.

    Returns
    -------
    Check
        Its value is the lowest loss, relative to the initial loss. Passes up to 0.05.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_spiral(100)
    >>> net = bpnet.Network([bpnet.Dense(32, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> bpnet.sanity.check_overfit(net, X, y).passed
    True
    """
    from bpnet.diagnosis.data_profile import best_loss

    data = check_network(net).check_data(X, y, None).to_host()
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    few = rng.permutation(data.n_rows)[: check_integer("examples", examples, 1)]
    bare, few_X, few_y = _bare(net, data.n_inputs), data.X[few], data.y[few]
    best = best_loss(net.loss, few_y, None, net.n_outputs)
    before = bare.evaluate(few_X, few_y)["loss"] - best
    stop = _StopAt(best + OVERFIT * before)
    history = uninterrupted(bare.fit(
        few_X, few_y, epochs=epochs, batch_size=None, callbacks=[stop],
        optimizer=Adam(0.01) if optimizer is None else optimizer, on_nonfinite="restore",
    ))  # fmt: skip
    relative = (min(history["loss"]) - best) / (before or 1.0)
    return Check(
        f"overfits {len(few)} examples", relative <= OVERFIT, relative,
        f"{100.0 * relative:.2g} % of the loss is left after {history.epochs} steps, should be "
        f"at most {100.0 * OVERFIT:g} %",
    )  # fmt: skip


@explains_keywords
def check_update_ratio(history: History) -> Check:
    """Check that steps were about a thousandth of the weights in the middle of training.

    Parameters
    ----------
    history : History
        Returned by ``fit`` with :class:`bpnet.GradientFlow` among its callbacks.

    Returns
    -------
    Check
        Its value is the geometric mean over layers of ``update_ratio/k`` in the middle epoch,
        or the measured one that is nearest to it, as steps are larger at the start and smaller
        near a minimum. Passes from 1e-5 to 3e-2.

    Raises
    ------
    ValueError
        If update ratios were not recorded.
    """
    metrics = check_history(history)
    if not metrics.get("update_ratio/1"):
        raise ValueError(
            "history has no update ratios; add bpnet.GradientFlow() to the callbacks of fit"
        )
    names = [name for name in metrics if name.startswith("update_ratio/")]
    return update_ratio({name: metric_values(metrics, name) for name in names})


def update_ratio(history: Mapping[str, Sequence[float]]) -> Check:
    """Check the update ratios of a history that has them."""
    courses = [v for name, v in history.items() if name.startswith("update_ratio/")]
    measured, middle = measured_epochs(np.array(courses).T), len(courses[0]) // 2
    epoch = int(min(measured[::-1], key=lambda place: abs(place - middle)))
    ratios = [values[epoch] for values in courses]
    low, high = UPDATE_RATIO
    with np.errstate(divide="ignore"):
        mean = float(np.exp(np.mean(np.log(ratios))))
    listed = ", ".join(f"{ratio:.1e}" for ratio in ratios)
    return Check(
        "update-to-weight ratio near 1e-3", low <= mean <= high, mean,
        f"{listed} by layer, in epoch {epoch + 1}",
    )  # fmt: skip


@explains_keywords
def sanity_checks(net: Network, X: Any, y: Any, *, epochs: int = 20) -> tuple[Check, ...]:
    """Run CS231n's sanity checks on a network, and return their results.

    Parameters
    ----------
    net : Network
        The network; it is not changed, as all checks use freshly initialized copies.
    X, y : arrays
        Training examples.
    epochs : int, default 20
        Length of the trial run for the update ratios, with the defaults of ``fit``:
        ``Adam(0.001)`` and batches of 32.

    Returns
    -------
    tuple of Check
        Initial loss; overfitting 20 examples; gradient checks on 5 examples and 10 elements of
        each parameter, after the trial run, with and without penalties; update-to-weight ratio.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(200)
    >>> net = bpnet.Network([bpnet.Dense(16, "tanh", l2=1e-3), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> all(check.passed for check in bpnet.sanity.sanity_checks(net, X, y))
    True
    """
    data = check_network(net).check_data(X, y, None)
    few = data.take(range(min(5, data.n_rows)))
    trial = Network(net.layers, net.loss, net.seed, net.dtype)
    history = uninterrupted(
        trial.fit(X, y, epochs=epochs, callbacks=[GradientFlow()], on_nonfinite="restore")
    )
    return (
        check_initial_loss(net, X, y),
        check_overfit(net, X, y),
        *(_gradients(trial, few.X, few.y, penalties) for penalties in (True, False)),
        update_ratio(history),
    )


def _gradients(net: Network, X: Any, y: Any, penalties: bool) -> Check:
    report = check_gradients(net, X, y, samples=10, regularizer=penalties)
    kinks = sum(report.kinks.values())
    return Check(
        f"gradients, regularizer {'on' if penalties else 'off'}",
        report.passed,
        report.max_relative_error,
        f"largest relative error {report.max_relative_error:.1e}, allowed "
        f"{report.tolerance:.0e}; {kinks} kink(s)",
    )


class _StopAt(Callback):
    """Stop training once the loss is low enough."""

    adds: Mapping[str, str | None] = {}

    def __init__(self, enough: float) -> None:
        self.enough = enough

    def on_epoch_end(self, training: Training) -> None:
        if training.logs["loss"] <= self.enough:
            training.stop("overfitted")


def _bare(net: Network, n_inputs: int) -> Network:
    """Return an untrained network with the same seed, without penalties and dropout."""
    layers = (_bare_layer(layer) for layer in net.layers if not isinstance(layer, Dropout))
    return Network(layers, net.loss, net.seed, net.dtype).build(n_inputs)


def _bare_layer(layer: Layer) -> Layer:
    """Return a layer without penalties and dropout."""
    if isinstance(layer, Residual):
        return layer.replace(layers=tuple(map(_bare_layer, layer.layers)))
    if isinstance(layer, Dropout):  # the place of each layer in a Residual is in its names
        return Dropout(0.0)
    if not isinstance(layer, Dense):
        return layer
    layer = copy.copy(layer)
    layer.__setstate__({"l1": 0.0, "l2": 0.0})  # also of a subclass with other parameters
    return layer
