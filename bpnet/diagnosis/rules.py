"""The rules that detect failures, one function each, and when they do harm.

Each takes the :class:`~bpnet.diagnosis.evidence.Evidence` and returns a
:class:`~bpnet.diagnosis.evidence.Finding` or None; see :mod:`bpnet.diagnosis.examination`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bpnet.diagnosis.evidence import Evidence, Finding
from bpnet.diagnosis.thresholds import limit

# --- data -------------------------------------------------------------------------------------


def one_class(e: Evidence) -> Finding | None:
    """All targets are the same."""
    if not e.facts.one_target:
        return None
    return Finding(
        "one class", None,
        f"all {e.facts.n_rows:,} training examples have the same target",
        "check how y was made: a filter, a split of sorted data, or a wrong column",
    )  # fmt: skip


def shuffled_labels(e: Evidence) -> Finding | None:
    """Nothing predicts held-out targets better than a constant."""
    signal, held_out = e.facts.agreement.strongest, _steady(e.held_out)
    if not math.isfinite(signal) or signal >= limit("signal") or why_unknown_if_shuffled(e):
        return None
    if e.reach < limit("simple_skill"):
        return None
    most = "unlearnable" if signal >= limit("doubtful_signal") else "hardly_learnable"
    if len(held_out) and held_out.min() < limit(most):
        return None
    new = f"; the best val_loss is {held_out.min():.2f} times" if len(held_out) else ""
    return Finding(
        "shuffled labels", None,
        f"the targets agree with the features by {signal:.1f} standard deviations of shuffled "
        f"ones; on examples they have not seen, simple models reach {e.reach:.2f} times the "
        f"loss of a constant{new}",
        "check that the rows of X and y match: a shuffle or sort of only one of them, a join "
        "on the wrong key; otherwise the features carry no information about the target",
    )  # fmt: skip


def _steady(losses: Any) -> Any:
    """Return the median of each three in a row, which a single lucky epoch does not change."""
    if len(losses) < 3:
        return losses
    return np.median([losses[:-2], losses[1:-1], losses[2:]], axis=0)


def why_unknown_if_shuffled(e: Evidence) -> str | None:
    """Return why a weak signal could not be told from none, if so."""
    shares, (strongest, linear, expected) = e.facts.class_shares, e.facts.agreement
    if e.rows < limit("few_rows"):
        return f"fewer than {limit('few_rows'):.0f} examples, of the rarer class counted twice"
    if len(shares) == 2 and max(shares) > limit("class_ratio") * min(shares):
        return "cannot tell: too few examples of the rare class"
    if strongest >= limit("signal") or e.reach < limit("simple_skill"):
        return None
    # The logarithm of the likelihood ratio of no signal to one of 5 %.
    if expected * (expected / 2.0 - linear) < limit("odds"):
        return "cannot tell a weak signal from none: collect more examples"
    if not len(e.held_out) and strongest >= limit("doubtful_signal"):
        return "cannot tell a weak signal from none: pass validation_data to fit"
    return None


def unscaled_inputs(e: Evidence) -> Finding | None:
    """Features are far from zero mean and unit variance."""
    rms, spread = e.facts.feature_rms, e.facts.feature_range
    if rms > limit("feature_rms_high"):
        evidence = f"the root mean square of feature {e.facts.feature_rms_of} is {rms:.3g}"
    elif rms < limit("feature_rms_low"):
        evidence = f"the largest root mean square of a feature is {rms:.3g}"
    elif spread > limit("feature_range"):
        evidence = f"the range of one feature is {spread:.3g} times that of another"
    else:
        return None
    return Finding(
        "unscaled inputs", 1,
        f"{evidence}; initial weights and learning rates assume about 1",
        "standardize each feature with the training set's mean and standard deviation, "
        "(X - mean) / std; take logarithms first if it spans powers of ten",
    )  # fmt: skip


def unscaled_targets(e: Evidence) -> Finding | None:
    """Regression targets are far from the size of the initial network's outputs."""
    rms = e.facts.target_rms
    if not rms > limit("target_rms") and not rms < limit("target_rms_low"):
        return None
    return Finding(
        "unscaled targets", e.depth,
        f"the root mean square of y is {rms:.3g}; initial weights and learning rates assume "
        f"about 1",
        "standardize y with the training set's mean and standard deviation, (y - mean) / std, "
        "and invert that for predictions",
    )  # fmt: skip


def class_imbalance(e: Evidence) -> Finding | None:
    """The most frequent class far outweighs the rarest."""
    shares = e.facts.class_shares
    if not shares or e.facts.one_target:
        return None
    rare, common = min(shares), max(shares)
    if common <= limit("class_ratio") * rare:
        return None
    recall = e.facts.outcome.get("recall", math.nan)
    return Finding(
        "class imbalance", None,
        f"class {shares.index(rare)} has {100.0 * rare:.2g} % of the weight, class "
        f"{shares.index(common)} has {100.0 * common:.2g} %; {100.0 * recall:.0f} % of the "
        f"rare class are recognized",
        "pass sample_weight inversely proportional to the class frequencies, or collect more "
        "of the rare class; evaluate by recall or a precision-recall curve, not accuracy",
    )  # fmt: skip


def rare_class_is_missed(e: Evidence) -> bool:
    """Whether the network recognizes little of the rarest class, and fits the others.

    A network that memorized a handful of its examples overfits.
    Taken for a constant, the class contributes its share -p ln p of the baseline, the entropy;
    a loss that falls short by more is not of that class alone.
    """
    shares = np.array(e.facts.class_shares)
    entropies = -shares * np.log(np.maximum(shares, 1e-300))
    cost = float(entropies[shares.argmin()] / entropies.sum())
    missed = e.facts.outcome.get("recall", math.nan) < limit("recall")
    few = shares.min() * e.facts.n_rows < limit("few_of_class")
    if few and e.accuracies[0] > limit("all") and overfitting(e) is not None:
        return False
    return bool(missed and not e.falls_short(cost + limit("shortfall")))


def useless_features(e: Evidence) -> Finding | None:
    """Some features are constant, or repeat others."""
    constant, pairs = e.facts.constant_features, e.facts.duplicate_features
    if not constant and not pairs:
        return None
    parts = []
    if constant:
        parts.append(f"constant: {_some(constant)}")
    if pairs:
        copies = _some([f"{a} and {b}" for a, b in pairs])
        parts.append(f"linear functions of each other: {copies}")
    return Finding(
        "constant or duplicate features", 1,
        f"of {e.facts.n_features} features, {'; '.join(parts)}; together "
        f"{100.0 * e.facts.useless_share:.0f} % of the mean square of X",
        "drop them: they add no information, cost time, and scale up the learning rate of what "
        "they repeat; scikit-learn's VarianceThreshold finds the constant ones",
    )  # fmt: skip


def scale_is_harmful(e: Evidence) -> bool:
    """Whether less was learned than simple models learn of standardized features."""
    return e.is_harmed(limit("val_rise"))


def useless_features_dominate(e: Evidence) -> bool:
    """Whether useless features outweigh the others, and little was learned."""
    return e.facts.useless_share > limit("useless_share") and e.is_harmed()


# --- initialization ---------------------------------------------------------------------------


def symmetric_initialisation(e: Evidence) -> Finding | None:
    """The units of a hidden layer started as copies."""
    started, now = e.start("spread")[:-1], e.end("spread")[:-1]
    copies = np.flatnonzero(started < limit("spread"))
    if not copies.size:
        return None
    k = int(copies[0])
    return Finding(
        "symmetric initialisation", k + 1,
        f"the columns of W in hidden layer(s) {_some(copies + 1)} were equal before the "
        f"first step; now they differ by {now[k]:.1g} of their norm, random ones by about 1",
        "draw the weights at random: leave Dense(init=None), or he_normal for relu, "
        "glorot_uniform for tanh and sigmoid; only biases may start at 0",
    )  # fmt: skip


def copies_are_too_few(e: Evidence) -> bool:
    """Whether units that are copies fit less than simple models; assumed before the end.

    Rounding errors may part them, late; those harm as any failure does.
    """
    started, now = e.start("spread")[:-1], e.end("spread")[:-1]
    if np.all(now[started < limit("spread")] >= limit("spread")):
        return e.is_poor()
    return not e.ended or e.falls_short(0.0)


def dead_from_the_start(e: Evidence) -> Finding | None:
    """Units were dead before the first step, and after the first epoch or at the end."""
    shares = e.persistent("dead")
    return (
        _dead(shares, "before the first step and after it") if _over("dead", shares) else None
    )


def saturated_from_the_start(e: Evidence) -> Finding | None:
    """Units were saturated before the first step, and after the first epoch or the last."""
    shares = e.persistent("saturated")
    if not _over("saturated", shares):
        return None
    return _saturated(shares, "before and after the first steps")


def exploding_gradients(e: Evidence) -> Finding | None:
    """Gradients grow on the backward pass, before any step."""
    product = e.weight_gradient_product(e.start)
    if e.facts.target_rms < 1.0:  # outputs of variance 1 are far off for tiny targets
        product = product * e.facts.target_rms**2
    product = np.where(np.isfinite(product), product, math.inf)
    if product.max() <= limit("weight_gradient_product_high"):
        return None
    k = int(product.argmax())
    return Finding(
        "exploding gradients", k + 1,
        f"before the first step the gradient norm was {e.start('gradient_norm')[k]:.3g}: "
        f"weights larger by 1 % would change the loss by {product[k] / 100.0:.3g} times the "
        f"baseline; the loss itself was {e.start_loss:.3g} times the baseline",
        "draw smaller weights (he_normal for relu, glorot_uniform for tanh), use fewer "
        "layers, or clip: Adam(clip_norm=1.0)",
    )  # fmt: skip


def vanishing_gradients(e: Evidence) -> Finding | None:
    """The error does not reach a layer, and little was learned.

    An output layer that starts at 0, as some recipes ask for, lets none pass before the first
    step; then the last measurement tells.
    """
    when = e.start if e.start("weight_norm")[-1] > 0.0 else e.end
    product = e.weight_gradient_product(when)
    faint = min(limit("faint_gradient"), limit("faint_ratio") * product.max())
    stuck = e.loss > limit("unlearnt") and product.min() < faint
    if not stuck and not product.min() < limit("weight_gradient_product_low"):
        return None
    if when == e.end and e.epochs * e.facts.n_batches < limit("few_steps"):
        return None
    if when("weight_norm")[-1] == 0.0:  # it never moved
        return None
    k, norms = int(product.argmin()), when("gradient_norm")
    moment = "before the first step" if when == e.start else "at the end"
    return Finding(
        "vanishing gradients", k + 1,
        f"{moment} the gradient norm was {norms[k]:.1e} here and "
        f"{norms.max():.1e} in layer {int(norms.argmax()) + 1}; steps of a thousandth of the "
        f"weights would lower the loss by {product[k] / 1000.0:.0e} of the baseline, and it is "
        f"still {e.loss:.2f} times the baseline",
        "use relu or another activation with slope 1 instead of sigmoid, the initializer that "
        "goes with it (leave Dense(init=None)), fewer layers, or Adam",
    )  # fmt: skip


# --- training ---------------------------------------------------------------------------------


def learning_rate_too_high(e: Evidence) -> Finding | None:
    """Steps are as long as the weights, killed units, or made the loss worse or infinite."""
    losses = e.losses("loss")
    if not len(losses):
        return None
    update, died = e.start("update_ratio"), e.end("dead") - e.start("dead")
    moved = limit("travel") < e.travel().max() < math.inf
    rise, worst = e.loss / max(e.start_loss, 1.0), max(e.loss, float(losses[-1]))
    long = update.max() > limit("update_high")
    rash = update.max() > limit("update_rash") and e.is_poor()
    k = int(update.argmax())
    if math.isinf(worst):
        bad = int(np.argmax(np.isinf(losses) | np.isinf(e.losses("data_loss")))) + 1
        evidence = f"the loss is not finite from epoch {bad}"
    elif moved and rise > limit("loss_rise"):
        evidence = (
            f"the loss is {rise:.2f} times the larger of the initial and the baseline loss"
        )
    elif rash or (long and (losses[-1] > limit("nothing_learned") or e.is_stuck())):
        evidence = f"the loss is still {worst:.2f} times the baseline"
    elif wanders(e):
        evidence = (
            f"the steps replaced the weights {e.travel().max():.0f} times over, and the loss "
            f"is {losses[-1]:.2f} times the baseline, where it has been {losses.min():.2f}"
        )
    elif update.max() > limit("update_deadly") and _over("dead", died) and e.is_poor():
        k = int(died.argmax())
        evidence = f"{100.0 * died[k]:.0f} % of this layer's units died during training"
    else:
        return None
    return Finding(
        "learning rate too high", k + 1,
        f"{evidence}; the first step changed these weights by {update[k]:.2g} of their "
        f"norm, where 1e-3 is typical",
        "divide the learning rate by 10, repeatedly, until the loss falls steadily; then try a "
        "schedule, or clip_norm=1.0 if single steps are too long",
    )  # fmt: skip


def wanders(e: Evidence) -> bool:
    """Whether long ways led to a loss that is worse than it has been, and bad."""
    losses = e.losses("loss")
    rise = float(np.median(losses[3 * len(losses) // 4 :]) - losses.min())
    is_far = e.travel().max() > limit("travel_far")
    return bool(is_far and rise > limit("shortfall") and e.is_stuck())


def dead_units(e: Evidence) -> Finding | None:
    """Units died during training."""
    shares = e.end("dead")
    return _dead(shares, "by now") if _over("dead", shares) else None


def saturated_units(e: Evidence) -> Finding | None:
    """Units saturated during training, before much was learned, and blocked the gradient."""
    shares = e.end("saturated")
    product = e.weight_gradient_product(e.end)
    stuck = e.loss > limit("unlearnt") and product.min() < limit("weight_gradient_product_low")
    return _saturated(shares, "by now") if stuck and _over("saturated", shares) else None


def learning_rate_too_low(e: Evidence) -> Finding | None:
    """The steps are too short, in sum, to have changed the weights."""
    travel, steps = e.travel(), e.epochs * e.facts.n_batches
    if steps < limit("few_steps"):
        return None
    far, mean = travel.max(), travel.max() / steps
    tiny = mean < limit("update_tiny") and far < 2.0 * limit("travel")
    if not tiny and not (mean < limit("update_low") and far < 0.5 * limit("travel")):
        return None
    losses = e.losses("loss")
    k = int(travel.argmax())
    return Finding(
        "learning rate too low", k + 1,
        f"the {steps:,} steps add up to {travel[k]:.1e} of the norm of the weights that moved "
        f"most, {e.end('update_ratio')[k]:.1e} each, where 1e-3 is typical; the loss went from "
        f"{losses[0]:.2f} to {losses[-1]:.2f} times the baseline",
        "multiply the learning rate by 10, repeatedly, until the loss falls fast or becomes "
        "unstable, then halve it; or train for longer",
    )  # fmt: skip


def overfitting(e: Evidence) -> Finding | None:
    """The validation loss is much higher than the training loss, or than it was before."""
    val = e.losses("val_loss") - e.facts.outcome.get("penalty", 0.0) / e.baseline
    if not len(val) or not math.isfinite(val[e.kept]):
        return None
    now, best = val[e.kept], int(val.argmin())
    seen, new = e.accuracies
    far = now > e.loss + limit("gap") or seen > new + limit("accuracy_gap")
    memorized = e.loss < limit("memorized") and far
    worse = now > val[best] + limit("val_rise") and now > e.loss + limit("val_rise")
    if (not memorized and not worse) or e.loss > limit("loss_rise"):
        return None
    return Finding(
        "overfitting", None,
        f"the training loss is {e.loss:.2g} times the baseline and the validation loss "
        f"{now:.2f}; its minimum was {val[best]:.2f}, in epoch {best + 1} of {e.epochs}"
        f"{f'; the accuracies are {seen:.2f} and {new:.2f}' if seen > new else ''}",
        "stop early: callbacks=[bpnet.EarlyStopping()]; more examples, Dropout, "
        "Dense(l2=1e-3), or fewer units",
    )  # fmt: skip


def underfitting(e: Evidence) -> Finding | None:
    """The network fits its training data worse than simple models fit new examples."""
    if not (e.loss > limit("underfit") and math.isfinite(e.reach)):
        return None
    still = " and still falling" if e.is_falling() else ""
    short = e.is_falling() or e.travel().max() < limit("travel")
    larger = "more units or another hidden layer, less l1, l2, weight decay and dropout"
    return Finding(
        "underfitting", None,
        f"the training loss is {e.loss:.2f} times the baseline{still}; simple models reach "
        f"about {e.reach:.2f} on examples that they have not seen",
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
        "learning rate, or use leaky_relu or elu, which are never entirely flat",
    )  # fmt: skip


def _saturated(shares: Any, when: str) -> Finding:
    k = int(shares.argmax())
    return Finding(
        "saturated units", k + 1,
        f"{100.0 * shares[k]:.0f} % of this layer's activations are in a flat region, where "
        f"the slope is below 5 % of the steepest, {when}",
        "draw smaller weights (glorot_uniform, the default of Dense), scale the inputs, lower "
        "the learning rate, or use relu",
    )  # fmt: skip


def _some(items: Any) -> str:
    """List the first few."""
    shown = ", ".join(str(item) for item in items[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown
