"""Sanity checks before a long training: CS231n's list, as functions.

"Before learning: sanity checks" and "Babysitting the learning process" of Stanford's CS231n
(Karpathy, Li and Johnson 2015) ask for: a loss at chance before the first step, a loss of
nearly 0 on a few examples that the network must be able to learn by heart, steps of about a
thousandth of the weights, and gradients that agree with finite differences. The last is
:func:`bpnet.check_gradients`; :func:`sanity_checks` makes all four.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.common.checks import check_integer
from bpnet.common.history import History, check_history, figures
from bpnet.diagnosis.data_profile import DataProfile
from bpnet.diagnosis.gradient_flow import GradientFlow
from bpnet.layers import Dense, Dropout, Layer
from bpnet.network import Network, check_network
from bpnet.optimizers import Adam, Optimizer
from bpnet.testing.gradcheck import check_gradients
from bpnet.training.loop import Callback, Training

# Default initial weights give logits of variance about 1 to 2, whose loss is above that of
# logits 0 (chance): sound nets of 1 to 4 layers and any activation had up to 2.6 times chance
# for classes, and 5.3 for squared errors, whose mean goes with the logits' square.
INITIAL_LOSS = 6.0
# Steps relative to weights. "Somewhere around 1e-3" (CS231n); a decade and a half on both
# sides is common while training goes well, less in the end.
UPDATE_RATIO = (1e-5, 3e-2)
# Learnt by heart: a twentieth of chance is left.
BY_HEART = 0.05


class Check(NamedTuple):
    """The result of one sanity check; prints as a line.

    Attributes
    ----------
    name : str
        What was checked.
    passed : bool
        Whether it was as it should be.
    value : float
        What was measured.
    evidence : str
        The numbers, and what they should be.
    """

    name: str
    passed: bool
    value: float
    evidence: str

    def __str__(self) -> str:
        return f"{'ok' if self.passed else 'LOOK'}: {self.name}: {self.evidence}"


def check_initial_loss(net: Network, X: Any, y: Any, sample_weight: Any = None) -> Check:
    """Check that the loss is near chance before training: ln K for K classes.

    Parameters
    ----------
    net : Network
        Its weights are drawn anew from its seed, in a copy without penalties and dropout.
    X, y, sample_weight : arrays
        Training examples.

    Returns
    -------
    Check
        Its value is the loss in units of chance: that of logits 0, which for squared errors
        is the targets' mean square. Passed if it is at most 6: larger losses are those of
        weights or features that are too large.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> print(bpnet.sanity.check_initial_loss(net, X, y))
    ok: loss at chance before training: 0.632, and 0.693 by chance
    """
    from bpnet.diagnosis.data_profile import best_loss, constant_loss

    data = check_network(net).check_data(X, y, sample_weight).to_host()
    kind, targets = net.loss, (data.y, data.w)
    return _initial_loss(
        _bare(net).evaluate(data.X, data.y, data.w)["loss"],
        constant_loss(kind, *targets, np.zeros(net.n_outputs)),
        best_loss(kind, *targets, net.n_outputs),
    )


def initial_loss(facts: DataProfile) -> Check:
    """Check the same from what a training has noted before its first step."""
    return _initial_loss(facts.start["data_loss"], facts.zero_loss, facts.best_loss)


def _initial_loss(loss: float, chance: float, best: float) -> Check:
    relative = (loss - best) / ((chance - best) or 1.0)
    return Check(
        "loss at chance before training", relative <= INITIAL_LOSS, relative,
        f"{loss:.3g}, and {chance:.3g} by chance",
    )  # fmt: skip


def check_overfit(
    net: Network,
    X: Any,
    y: Any,
    *,
    examples: int = 20,
    epochs: int = 500,
    optimizer: Optimizer | None = None,
    seed: int = 0,
) -> Check:
    """Check that the network can learn a few examples by heart.

    A copy of the network, its weights drawn anew, without penalties and dropout, is trained
    on a few examples as one batch. If it fails, look for a mistake before training on more.

    Parameters
    ----------
    net : Network
        It is not changed.
    X, y : arrays
        Training examples.
    examples : int, default 20
        How many to take, at random; CS231n's number.
    epochs : int, default 500
        Steps to take at most; training stops once a twentieth of chance is left.
    optimizer : Optimizer or None, default None
        None is ``Adam(0.01)``.
    seed : int, default 0
        Seed of the draw.

    Returns
    -------
    Check
        Its value is the least loss, in units of that before training. Passed if it is at
        most 0.05.

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
    bare, few_X, few_y = _bare(net), data.X[few], data.y[few]
    best = best_loss(net.loss, few_y, None, net.n_outputs)
    before = bare.evaluate(few_X, few_y)["loss"] - best
    learnt = _ByHeart(best + BY_HEART * before)
    history = bare.fit(
        few_X, few_y, epochs=epochs, batch_size=None, callbacks=[learnt],
        optimizer=Adam(0.01) if optimizer is None else optimizer, on_nonfinite="restore",
    )  # fmt: skip
    relative = (min(history["loss"]) - best) / (before or 1.0)
    return Check(
        f"learns {len(few)} examples by heart", relative <= BY_HEART, relative,
        f"{100.0 * relative:.2g} % of the loss is left after {history.epochs} steps, "
        f"at most {100.0 * BY_HEART:g} % should be",
    )  # fmt: skip


def check_update_ratio(history: History) -> Check:
    """Check that steps were about a thousandth of the weights, halfway through training.

    Parameters
    ----------
    history : History
        What ``fit`` returned with :class:`bpnet.GradientFlow` among its callbacks.

    Returns
    -------
    Check
        Its value is the geometric mean over the layers of ``update_ratio/k`` in the middle
        epoch: at the start steps are larger, and in the end, at a minimum, smaller. Passed
        from 1e-5 to 3e-2.

    Raises
    ------
    ValueError
        If update ratios were not recorded.
    """
    if not check_history(history).get("update_ratio/1"):
        raise ValueError(
            "history has no update ratios; add bpnet.GradientFlow() to the callbacks of fit"
        )
    return update_ratio(
        {name: figures(history, name) for name in history if name.startswith("update_ratio/")}
    )


def update_ratio(history: Mapping[str, Sequence[float]]) -> Check:
    """Check the same, of figures that are there."""
    ratios = [
        values[len(values) // 2]
        for name, values in history.items()
        if name.startswith("update_ratio/")
    ]
    low, high = UPDATE_RATIO
    with np.errstate(divide="ignore"):
        mean = float(np.exp(np.mean(np.log(ratios))))
    listed = ", ".join(f"{ratio:.1e}" for ratio in ratios)
    return Check(
        "update-to-weight ratio near 1e-3", low <= mean <= high, mean,
        f"{listed} by layer, halfway",
    )  # fmt: skip


def sanity_checks(net: Network, X: Any, y: Any, *, epochs: int = 20) -> tuple[Check, ...]:
    """Make CS231n's checks of a network that is to be trained; print each.

    Parameters
    ----------
    net : Network
        It is not changed: everything is tried on copies with weights drawn anew.
    X, y : arrays
        Training examples.
    epochs : int, default 20
        Length of the trial training whose update ratios are looked at: ``Adam(0.001)``,
        fit's own choice, with batches of 32.

    Returns
    -------
    tuple of Check
        Loss at chance; 20 examples by heart; gradients against finite differences on 5 of
        them, 10 elements of each parameter, after that trial, with penalties and without;
        update-to-weight ratio.

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
    history = trial.fit(X, y, epochs=epochs, callbacks=[GradientFlow()], on_nonfinite="restore")
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
        f"gradients, regulariser {'on' if penalties else 'off'}",
        report.passed,
        report.max_relative_error,
        f"largest relative error {report.max_relative_error:.1e}, allowed "
        f"{report.tolerance:.0e}; {kinks} kink(s) met",
    )


class _ByHeart(Callback):
    """End training once the loss is small enough."""

    def __init__(self, enough: float) -> None:
        self.enough = enough

    def on_epoch_end(self, training: Training) -> None:
        if training.logs["loss"] <= self.enough:
            training.stop("learnt by heart")


def _bare(net: Network) -> Network:
    """Give an untrained network of the same seed, without penalties and dropout."""
    layers = (_without_penalty(layer) for layer in net.layers if not isinstance(layer, Dropout))
    return Network(layers, net.loss, net.seed, net.dtype)


def _without_penalty(layer: Layer) -> Layer:
    if not isinstance(layer, Dense):
        return layer
    layer = copy.copy(layer)
    layer.l1 = layer.l2 = 0.0
    return layer
