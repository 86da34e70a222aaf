"""The metrics of a training run, in units that are comparable between runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.diagnosis.data_profile import DataProfile


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
    """The history so far and the initial data profile, in the units that rules compare."""

    def __init__(
        self, metrics: Mapping[str, Sequence[float]], facts: DataProfile, ended: bool
    ) -> None:
        self.metrics, self.facts, self.ended = metrics, facts, ended
        self.depth = len(facts.activations)
        self.epochs = len(metrics.get("loss", ()))
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

    def course(self, name: str) -> Any:
        """Return a metric by epoch and layer, (epochs, layers)."""
        return np.array([self.metrics[f"{name}/{k}"] for k in self._layers()]).T

    def travel(self) -> Any:
        """Return the sum of all steps of each layer, relative to its weights."""
        return np.sum(self.course("update_ratio"), axis=0) * self.facts.n_batches

    def weight_gradient_product(self, when: Callable[[str], Any]) -> Any:
        """Return the norm of dL/dW times the norm of W, relative to the baseline."""
        return when("gradient_norm") * when("weight_norm") / self.zero

    def losses(self, name: str) -> Any:
        """Return a loss by epoch, relative to the baseline; non-finite values are infinite."""
        return self._relative(np.array(self.metrics.get(name, ()), float))

    @property
    def loss(self) -> float:
        """Last measured training loss without penalties, relative to the baseline."""
        losses = self.losses("data_loss")
        return float(losses[-1]) if len(losses) else self.start_loss

    @property
    def start_loss(self) -> float:
        """The same, before the first step."""
        return float(self._relative(self.facts.start["data_loss"]))

    def _relative(self, losses: Any) -> Any:
        """Rescale losses so that the best loss is 0 and the baseline is 1."""
        losses = (losses - self.facts.best_loss) / self.baseline
        return np.where(np.isfinite(losses), losses, math.inf)

    def _layers(self) -> range:
        return range(1, self.depth + 1)
