"""The metrics of a training run, in units that are comparable between runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.diagnosis.data_profile import DataProfile
from bpnet.diagnosis.thresholds import limit


class Finding(NamedTuple):
    """One failure, its evidence and its remedy.

    Attributes
    ----------
    name : str
        The failure, one of :data:`bpnet.diagnosis.ILLNESSES`.
    layer : int or None
        The most affected layer, from 1 among those with weights; None if no single one is.
    evidence : str
        The measured numbers, next to what they should be.
    remedy : str
        What to try, most promising first.
    """

    name: str
    layer: int | None
    evidence: str
    remedy: str


class Evidence:
    """The history so far and the initial data profile, in the units that rules compare.

    Parameters
    ----------
    metrics : mapping of str to sequence of float
        The history; of the layers' metrics at least the last value.
    facts : DataProfile
        The profile of data and network.
    ended : bool
        Whether training has ended.
    kept : int or None
        The epoch, from 1, whose weights the network has; None is the last.
    """

    def __init__(
        self,
        metrics: Mapping[str, Sequence[float]],
        facts: DataProfile,
        ended: bool,
        kept: int | None = None,
    ) -> None:
        self.metrics, self.facts, self.ended = metrics, facts, ended
        self.reach = facts.reach
        self.depth = len(facts.activations)
        self.epochs = len(metrics.get("loss", ()))
        self.kept = (kept or self.epochs) - 1
        # With a single target the best constant is perfect; then logits 0 are the baseline.
        zero, baseline = (x - facts.best_loss for x in (facts.zero_loss, facts.baseline_loss))
        self.baseline = (baseline if baseline > 1e-6 * zero else zero) or 1.0
        self.zero = max(zero, self.baseline)

    def start(self, name: str) -> Any:
        """Return a metric of each layer before the first step."""
        return np.array([self.facts.start[f"{name}/{k}"] for k in self._layers()])

    def end(self, name: str) -> Any:
        """Return a metric of each layer as last measured."""
        if not self.epochs:
            return self.start(name)
        return np.array([self.metrics[f"{name}/{k}"][-1] for k in self._layers()])

    def persistent(self, name: str) -> Any:
        """Return the shares of units that were so before the first step and later, too.

        That is after the first epoch, or at the end. After a divergence, what was measured
        says nothing, and the start is to blame.
        """
        start = self.start(name)
        if not self.epochs or not math.isfinite(self.loss):
            return start
        return np.minimum(start, np.maximum(self.course(name)[0], self.end(name)))

    def course(self, name: str) -> Any:
        """Return a metric by epoch and layer, (epochs, layers)."""
        return np.array([self.metrics[f"{name}/{k}"] for k in self._layers()]).T

    def travel(self) -> Any:
        """Return the sum of all steps of each layer, relative to its weights.

        In epochs that were not measured, the steps are those of the last measured epoch, in
        proportion to the learning rate. Infinite if it was never measured at a rate above 0.
        """
        ratios, rates = self.course("update_ratio"), np.array(self.metrics["learning_rate"])
        measured = measured_epochs(ratios)
        measured = measured[rates[measured] > 0.0]
        if not measured.size:
            return np.full(self.depth, math.inf)
        last = np.searchsorted(measured, np.arange(self.epochs), side="right") - 1
        of = measured[np.maximum(last, 0)]
        return np.sum(ratios[of] * (rates / rates[of])[:, None], axis=0) * self.facts.n_batches

    def weight_gradient_product(self, when: Callable[[str], Any]) -> Any:
        """Return the norm of dL/dW times the norm of W, relative to the baseline."""
        return when("gradient_norm") * when("weight_norm") / self.zero

    def losses(self, name: str) -> Any:
        """Return a loss by epoch, relative to the baseline; non-finite values are infinite."""
        return self._relative(np.array(self.metrics.get(name, ()), float))

    @property
    def loss(self) -> float:
        """Training loss of the weights kept, without penalties, relative to the baseline."""
        if not self.epochs:
            return self.start_loss
        outcome, last = self.facts.outcome, self.epochs - 1
        if self.ended and outcome.get("epoch") == self.kept + 1:
            return float(self._relative(outcome["loss"]))
        measured = self.losses("data_loss")
        if self.kept == last or not len(measured):
            return float(measured[-1])
        return float(min(measured[self.kept], self.losses("loss")[self.kept]))

    @property
    def start_loss(self) -> float:
        """The same, before the first step."""
        return float(self._relative(self.facts.start["data_loss"]))

    @property
    def held_out(self) -> Any:
        """Validation loss by epoch, without penalties, relative to the best constant's."""
        values = np.array(self.metrics.get("val_loss", ()), float)
        values = values - self.facts.outcome.get("penalty", 0.0) - self.facts.best_loss
        unit = self.facts.held_out_loss - self.facts.best_loss
        unit = unit if unit > 1e-3 * self.baseline else self.baseline
        return np.where(np.isfinite(values), values / unit, math.inf)

    @property
    def accuracies(self) -> tuple[float, float]:
        """Accuracy of the weights kept, in training and held out; NaN if they are not known."""
        values = self.metrics.get("val_accuracy", ())
        matches = self.facts.outcome.get("epoch") == self.kept + 1
        if not self.ended or not len(values) or not matches:
            return math.nan, math.nan
        return self.facts.outcome.get("accuracy", math.nan), float(values[self.kept])

    @property
    def rows(self) -> float:
        """Number of examples, as if all classes were equally frequent."""
        shares = np.array(self.facts.class_shares)
        if not shares.size:
            return float(self.facts.n_rows)
        even = float(1.0 - np.sum(shares * shares)) / (1.0 - 1.0 / len(shares))
        return self.facts.n_rows * even

    def falls_short(self, margin: float) -> bool:
        """Whether the training loss is worse than what simple models reach on new examples.

        Of a run that stopped early, that of its last epoch, if lower: more would not help.
        Before the end of training, only if several epochs taught nothing.
        """
        reach = self.reach if math.isfinite(self.reach) else limit("unlearnt")
        last = self.losses("data_loss")[-1] if self.epochs else math.inf
        loss = self.loss if self.kept == self.epochs - 1 else min(self.loss, float(last))
        if self.ended:
            return loss > max(reach + margin, limit("good_fit"))
        return self.epochs >= 5 and loss > max(reach + margin, limit("nothing_learned"))

    def is_falling(self) -> bool:
        """Whether the training loss still fell by 5 % in the last quarter of the epochs."""
        losses = self.losses("loss")
        return bool(losses[-1] < 0.95 * losses[3 * len(losses) // 4])

    def is_poor(self) -> bool:
        """Whether the network fits its training data badly."""
        return self.falls_short(limit("shortfall"))

    def is_stuck(self) -> bool:
        """Whether the fit is bad, and longer training would not help."""
        return self.is_poor() and not self.is_falling()

    def is_harmed(self, margin: float | None = None) -> bool:
        """Whether less was learned than simple models do, of old or of new examples.

        For failures that are plain to see, and so need less of it. `margin` is by how much less
        of new ones, by default the limit "held_out_harm".
        """
        if self.falls_short(limit("harm")):
            return True
        held_out = self.held_out
        if not self.ended or not len(held_out) or not math.isfinite(self.reach):
            return False
        best = float(held_out.min())
        memorized = self.loss < limit("memorized")  # that is overfitting
        margin = limit("held_out_harm") if margin is None else margin
        return not memorized and best > self.reach + margin

    def _relative(self, losses: Any) -> Any:
        """Rescale losses so that the best loss is 0 and the baseline is 1."""
        losses = (losses - self.facts.best_loss) / self.baseline
        return np.where(np.isfinite(losses), losses, math.inf)

    def _layers(self) -> range:
        return range(1, self.depth + 1)


def measured_epochs(course: Any) -> Any:
    """Return the places of the epochs that were measured; others repeat the last values.

    Parameters
    ----------
    course : array (epochs, layers)
        A metric of :class:`bpnet.GradientFlow`.
    """
    return np.flatnonzero([True, *np.any(course[1:] != course[:-1], axis=1)])
