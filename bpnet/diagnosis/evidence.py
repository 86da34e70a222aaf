"""The figures of a training, brought into units in which trainings can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.diagnosis.data_profile import DataProfile


class Finding(NamedTuple):
    """One illness, and what to do.

    Attributes
    ----------
    name : str
        The illness, one of :data:`bpnet.diagnosis.ILLNESSES`.
    layer : int or None
        The layer that shows it most, from 1 among those with weights; None if it is no
        matter of one layer.
    evidence : str
        The measured numbers, beside what they should be.
    remedy : str
        What to try, the likeliest first.
    """

    name: str
    layer: int | None
    evidence: str
    remedy: str


class Evidence:
    """The figures of a training, in the units in which they are judged.

    Parameters
    ----------
    figures : mapping of str to sequence of float
        The history so far.
    facts : Facts
        What was noted before the first step.
    ended : bool
        Whether training is over.
    """

    def __init__(
        self, figures: Mapping[str, Sequence[float]], facts: DataProfile, ended: bool
    ) -> None:
        self.figures, self.facts, self.ended = figures, facts, ended
        self.depth = len(facts.activations)
        self.epochs = len(figures.get("loss", ()))
        # One target only makes the best constant perfect; chance is then that of logits 0.
        zero, chance = (x - facts.best_loss for x in (facts.zero_loss, facts.chance_loss))
        self.chance = (chance if chance > 1e-6 * zero else zero) or 1.0
        self.zero = max(zero, self.chance)

    def start(self, name: str) -> Any:
        """Give a figure of each layer before the first step."""
        return np.array([self.facts.start[f"{name}/{k}"] for k in self._layers()])

    def end(self, name: str) -> Any:
        """Give a figure of each layer as last measured; that of the start before it."""
        if not self.epochs:
            return self.start(name)
        return np.array([self.figures[f"{name}/{k}"][-1] for k in self._layers()])

    def course(self, name: str) -> Any:
        """Give a figure over epochs and layers."""
        return np.array([self.figures[f"{name}/{k}"] for k in self._layers()]).T

    def travel(self) -> Any:
        """Give for each layer the sum of all steps, relative to its weights."""
        return np.sum(self.course("update_ratio"), axis=0) * self.facts.n_batches

    def pull(self, when: Callable[[str], Any]) -> Any:
        """Give each layer's norm of dL/dW times norm of W, in units of chance."""
        return when("gradient_norm") * when("weight_norm") / self.zero

    def losses(self, name: str) -> Any:
        """Give a loss over the epochs in units of chance; what is not finite is infinite."""
        return self._relative(np.array(self.figures.get(name, ()), float))

    @property
    def loss(self) -> float:
        """The training loss without penalties, as last measured, in units of chance."""
        losses = self.losses("data_loss")
        return float(losses[-1]) if len(losses) else self.start_loss

    @property
    def start_loss(self) -> float:
        """The same before the first step."""
        return float(self._relative(self.facts.start["data_loss"]))

    def _relative(self, losses: Any) -> Any:
        """Give losses in units in which perfection is 0 and chance is 1."""
        losses = (losses - self.facts.best_loss) / self.chance
        return np.where(np.isfinite(losses), losses, math.inf)

    def _layers(self) -> range:
        return range(1, self.depth + 1)
