"""From the figures of a training to the illnesses that they show: one function each.

Each takes the :class:`~bpnet.diagnosis.evidence.Evidence` and returns a
:class:`~bpnet.diagnosis.evidence.Finding` or None. `RULES` lists causes before their
consequences, so the first finding is the one to treat: a network whose inputs are unscaled may
also diverge, or die, for that reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bpnet.diagnosis.evidence import Evidence, Finding
from bpnet.diagnosis.thresholds import limit

# --- the data ---------------------------------------------------------------------------------


def one_class(e: Evidence) -> Finding | None:
    """All targets are the same."""
    if not e.facts.one_target:
        return None
    return Finding(
        "one class", None,
        f"all {e.facts.n_rows:,} training examples have the same target",
        "look at how y was made: a filter, a split of sorted data, or a wrong column",
    )  # fmt: skip


def shuffled_labels(e: Evidence) -> Finding | None:
    """Neighbours' targets are no more alike than by chance, and nothing is learnt of them."""
    signal, noise = e.facts.neighbour_signal, e.facts.neighbour_noise
    if e.facts.n_rows < limit("neighbour_rows") or not math.isfinite(signal):
        return None
    most = min(limit("neighbour_sigmas") * noise, limit("neighbour_signal"))
    val = e.losses("val_loss")
    learnt = val.min() < limit("unlearnable") if len(val) else e.loss < limit("unlearnt")
    if signal >= most or learnt:
        return None
    new = f"; the best loss on new examples is {val.min():.2f} times chance" if len(val) else ""
    return Finding(
        "shuffled labels", None,
        f"targets of near neighbours correlate by {signal:.2f}, and shuffled ones by up to "
        f"{most:.2f}{new}",
        "check that rows of X and y belong together: a shuffle or sort of only one of them, "
        "a join by a wrong key; otherwise the features say nothing of the target",
    )  # fmt: skip


def unscaled_inputs(e: Evidence) -> Finding | None:
    """Features are far from mean 0 and variance 1."""
    rms, spread = e.facts.feature_rms, e.facts.feature_range
    if rms > limit("feature_rms_high"):
        evidence = f"the root mean square of feature {e.facts.feature_rms_of} is {rms:.3g}"
    elif rms < limit("feature_rms_low"):
        evidence = f"the largest root mean square of a feature is {rms:.3g}"
    elif spread > limit("feature_range"):
        evidence = f"one feature varies {spread:.3g} times as far as another"
    else:
        return None
    return Finding(
        "unscaled inputs", 1,
        f"{evidence}; about 1 is what initial weights and learning rates are made for",
        "standardise each feature with the training set's mean and deviation, "
        "(X - mean) / std; a logarithm first where it spans powers of ten",
    )  # fmt: skip


def unscaled_targets(e: Evidence) -> Finding | None:
    """Targets of regression are far larger than the outputs that weights start with."""
    rms = e.facts.target_rms
    if not rms > limit("target_rms"):
        return None
    return Finding(
        "unscaled targets", e.depth,
        f"the root mean square of y is {rms:.3g}; about 1 is what initial weights and "
        f"learning rates are made for",
        "standardise y with the training set's mean and deviation, (y - mean) / std, and "
        "undo that in predictions",
    )  # fmt: skip


def class_imbalance(e: Evidence) -> Finding | None:
    """The commonest class outweighs the rarest."""
    shares = e.facts.class_shares
    if not shares or e.facts.one_target:
        return None
    rare, common = min(shares), max(shares)
    if common <= limit("class_ratio") * rare:
        return None
    return Finding(
        "class imbalance", None,
        f"class {shares.index(rare)} has {100.0 * rare:.2g} % of the weight, class "
        f"{shares.index(common)} has {100.0 * common:.2g} %: to name always that one is right "
        f"as often",
        "pass sample_weight inversely proportional to each class's frequency, or collect "
        "more of the rare one; judge by recall or a precision-recall curve, not accuracy",
    )  # fmt: skip


def useless_features(e: Evidence) -> Finding | None:
    """Some features never change, or repeat others."""
    constant, pairs = e.facts.constant_features, e.facts.duplicate_features
    if not constant and not pairs:
        return None
    parts = []
    if constant:
        parts.append(f"{_some(constant)} never change(s)")
    if pairs:
        copies = _some([f"{a} and {b}" for a, b in pairs])
        parts.append(f"{copies} are linear functions of each other")
    return Finding(
        "constant or duplicate features", 1,
        f"of {e.facts.n_features} features {'; '.join(parts)}",
        "drop them: they carry nothing, cost time, and give what they repeat a larger "
        "learning rate; scikit-learn's VarianceThreshold finds the constant ones",
    )  # fmt: skip


# --- the start --------------------------------------------------------------------------------


def symmetric_initialisation(e: Evidence) -> Finding | None:
    """The units of a hidden layer started as copies, and still are."""
    started, now = e.start("spread")[:-1], e.end("spread")[:-1]
    copies = np.flatnonzero((started < limit("spread")) & (now < limit("spread")))
    if not copies.size:
        return None
    k = int(copies[0])
    return Finding(
        "symmetric initialisation", k + 1,
        f"the columns of W in hidden layer(s) {_some(copies + 1)} are equal: they differ by "
        f"{now[k]:.1g} of their norm, and random ones by about 1",
        "draw the weights at random: leave Dense(init=None), or he_normal for relu, "
        "glorot_uniform for tanh and sigmoid; only biases may start at 0",
    )  # fmt: skip


def dead_from_the_start(e: Evidence) -> Finding | None:
    """Units were dead before the first step, and still are."""
    shares = np.minimum(e.start("dead"), e.end("dead"))
    return _dead(shares, "before the first step and still") if _over("dead", shares) else None


def saturated_from_the_start(e: Evidence) -> Finding | None:
    """Units were saturated before the first step, and still are."""
    shares = np.minimum(e.start("saturated"), e.end("saturated"))
    if not _over("saturated", shares):
        return None
    return _saturated(shares, "before the first step and still")


def exploding_gradients(e: Evidence) -> Finding | None:
    """Gradients grow on their way back, before any step."""
    pull = e.pull(e.start)
    pull = np.where(np.isfinite(pull), pull, math.inf)
    if pull.max() <= limit("pull_high"):
        return None
    k = int(pull.argmax())
    return Finding(
        "exploding gradients", k + 1,
        f"before the first step the gradient's norm was {e.start('gradient_norm')[k]:.3g}: "
        f"weights larger by 1 % would raise the loss by {pull[k] / 100.0:.3g} times its value "
        f"at chance; the loss itself was {e.start_loss:.3g} times that",
        "draw smaller weights (he_normal for relu, glorot_uniform for tanh), use fewer "
        "layers, or clip: Adam(clip_norm=1.0)",
    )  # fmt: skip


def vanishing_gradients(e: Evidence) -> Finding | None:
    """The error does not get through to a layer, and little is learnt."""
    pull = e.pull(e.start)
    if e.loss < limit("unlearnt") or not (e.ended or e.epochs >= 5):
        return None
    if not pull.min() < limit("pull_low"):
        return None
    k, norms = int(pull.argmin()), e.start("gradient_norm")
    return Finding(
        "vanishing gradients", k + 1,
        f"before the first step the gradient's norm was {norms[k]:.1e} here and "
        f"{norms.max():.1e} in layer {int(norms.argmax()) + 1}; steps of a thousandth of the "
        f"weights would lower the loss by {pull[k] / 1000.0:.0e} of its value at chance, and "
        f"it still is {e.loss:.2f} times that",
        "use relu or another activation with slope 1 instead of sigmoid, the initialiser "
        "that goes with it (leave Dense(init=None)), fewer layers, or Adam",
    )  # fmt: skip


# --- the training -----------------------------------------------------------------------------


def learning_rate_too_high(e: Evidence) -> Finding | None:
    """Steps as long as the weights, or a loss that they made worse or infinite."""
    losses = e.losses("loss")
    if not len(losses):
        return None
    update = e.start("update_ratio")
    rise, worst = e.loss / max(e.start_loss, 1.0), max(e.loss, float(losses[-1]))
    if math.isinf(worst):
        bad = int(np.argmax(np.isinf(losses) | np.isinf(e.losses("data_loss")))) + 1
        evidence = f"the loss is not finite from epoch {bad}"
    elif rise > limit("loss_rise"):
        evidence = f"the loss is {rise:.2f} times that before the first step, or of chance"
    elif update.max() > limit("update_high") and worst > limit("underfit"):
        evidence = f"the loss still is {worst:.2f} times chance"
    else:
        return None
    return Finding(
        "learning rate too high", int(update.argmax()) + 1,
        f"{evidence}; the first step changed these weights by {update.max():.2g} of their "
        f"norm, where 1e-3 is common",
        "divide the learning rate by 10, again until the loss falls steadily; then try a "
        "schedule, or clip_norm=1.0 if single steps go astray",
    )  # fmt: skip


def dead_units(e: Evidence) -> Finding | None:
    """Units have died in training."""
    shares = e.end("dead")
    return _dead(shares, "by now") if _over("dead", shares) else None


def saturated_units(e: Evidence) -> Finding | None:
    """Units have saturated in training, before much was learnt, and stopped the gradient."""
    shares = e.end("saturated")
    stuck = e.loss > limit("unlearnt") and e.pull(e.end).min() < limit("pull_low")
    return _saturated(shares, "by now") if stuck and _over("saturated", shares) else None


def learning_rate_too_low(e: Evidence) -> Finding | None:
    """All steps together are too short to have changed the weights."""
    travel, steps = e.travel(), e.epochs * e.facts.n_batches
    if not travel.max() < min(limit("travel"), limit("update_low") * steps):
        return None
    if e.loss < limit("unlearnt"):
        return None
    losses = e.losses("loss")
    k = int(travel.argmax())
    return Finding(
        "learning rate too low", k + 1,
        f"the {steps:,} steps add up to {travel[k]:.1e} of the norm of "
        f"the weights that moved most, {e.end('update_ratio')[k]:.1e} each, where 1e-3 is "
        f"common; the loss went from {losses[0]:.2f} to {losses[-1]:.2f} times chance",
        "multiply the learning rate by 10, again until the loss falls fast or turns "
        "unsteady, then take half; or train for longer",
    )  # fmt: skip


def overfitting(e: Evidence) -> Finding | None:
    """New examples fare much worse than those trained on."""
    val = e.losses("val_loss")
    if not len(val) or not math.isfinite(val[-1]):
        return None
    # Penalties are in both losses of the history, and in "data_loss" not.
    gap = val[-1] - max(e.loss, e.losses("loss")[-1])
    if gap <= limit("gap") or e.loss > limit("unlearnt"):
        return None
    best = int(val.argmin())
    return Finding(
        "overfitting", None,
        f"the loss is {e.loss:.2g} times chance on training examples and {val[-1]:.2f} on new "
        f"ones, where it was least, {val[best]:.2f}, in epoch {best + 1} of {e.epochs}",
        "stop early: callbacks=[bpnet.EarlyStopping()]; more examples, Dropout, "
        "Dense(l2=1e-3), or fewer units",
    )  # fmt: skip


def underfitting(e: Evidence) -> Finding | None:
    """The network explains less of its own training data than near neighbours do."""
    reach = e.facts.neighbour_loss
    if not e.loss > limit("underfit") or e.facts.n_rows < limit("neighbour_rows"):
        return None
    if not e.loss > reach + limit("shortfall"):
        return None
    losses = e.losses("loss")
    falling = losses[-1] < 0.95 * losses[3 * len(losses) // 4]  # over the last quarter
    still = " and still falls" if falling else ""
    short = falling or e.travel().max() < limit("travel")
    larger = "more units or another hidden layer, less l1, l2, weight decay and dropout"
    return Finding(
        "underfitting", None,
        f"the training loss is {e.loss:.2f} times chance{still}; what "
        f"the 5 nearest neighbours know would give about {reach:.2f}",
        f"more epochs first; then {larger}" if short else larger,
    )  # fmt: skip


def _over(name: str, shares: Any) -> bool:
    return bool(shares.max() > limit(name))


def _dead(shares: Any, when: str) -> Finding:
    k = int(shares.argmax())
    return Finding(
        "dead ReLUs", k + 1,
        f"{100.0 * shares[k]:.0f} % of this layer's units have slope 0 on every sampled "
        f"example, {when}; their weights get no gradient",
        "start biases at 0 (bias_init='zeros') and weights with he_normal, lower the "
        "learning rate, or use leaky_relu or elu, which never go quite flat",
    )  # fmt: skip


def _saturated(shares: Any, when: str) -> Finding:
    k = int(shares.argmax())
    return Finding(
        "saturated units", k + 1,
        f"{100.0 * shares[k]:.0f} % of this layer's activations lie at a flat end, where the "
        f"slope is below 5 % of the steepest, {when}",
        "draw smaller weights (glorot_uniform, Dense's own choice), scale the inputs, lower "
        "the learning rate, or use relu",
    )  # fmt: skip


def _some(items: Any) -> str:
    """List the first few."""
    shown = ", ".join(str(item) for item in items[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown


class Rule(NamedTuple):
    """How to look for an illness, and when that makes sense.

    Attributes
    ----------
    look : callable
        Takes the evidence and gives a finding or None.
    since : {"start", "epoch", "end"}
        What must have passed: nothing, an epoch or the whole training.
    """

    look: Callable[[Evidence], Finding | None]
    since: str


RULES = (
    Rule(one_class, "start"),
    Rule(shuffled_labels, "end"),
    Rule(unscaled_inputs, "start"),
    Rule(unscaled_targets, "start"),
    Rule(symmetric_initialisation, "start"),
    Rule(dead_from_the_start, "start"),
    Rule(saturated_from_the_start, "start"),
    Rule(exploding_gradients, "start"),
    Rule(vanishing_gradients, "epoch"),
    Rule(learning_rate_too_high, "epoch"),
    Rule(dead_units, "epoch"),
    Rule(saturated_units, "epoch"),
    Rule(learning_rate_too_low, "end"),
    Rule(class_imbalance, "start"),
    Rule(overfitting, "epoch"),
    Rule(underfitting, "end"),
    Rule(useless_features, "start"),
)


def examine(e: Evidence, *since: str) -> list[Finding]:
    """Apply the rules that make sense by now; each illness is found once, by its first.

    That little was learnt is an illness of its own only where no other explains it.
    """
    found: dict[str, Finding] = {}
    for rule in RULES:
        if rule.since not in since or (rule.look is underfitting and found):
            continue
        if (finding := rule.look(e)) is not None:
            found.setdefault(finding.name, finding)
    return list(found.values())
