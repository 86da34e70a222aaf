"""What ails a training: the illness, its evidence in numbers, the layer and the remedy.

:func:`diagnose` reads the history of a training that :class:`bpnet.GradientFlow` or
:class:`Doctor` has watched. Every limit stands in :data:`THRESHOLDS`, with its reason and
source; how often it is right is measured by ``benchmarks/diagnosis.py``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bpnet.common.history import check_history
from bpnet.diagnosis.data_profile import DataProfile
from bpnet.diagnosis.evidence import Evidence, Finding
from bpnet.diagnosis.gradient_flow import FIGURES, GradientFlow
from bpnet.diagnosis.rules import examine
from bpnet.diagnosis.sanity import Check, initial_loss, update_ratio
from bpnet.diagnosis.thresholds import THRESHOLDS, limit
from bpnet.training.loop import Training

__all__ = [
    "ILLNESSES",
    "THRESHOLDS",
    "Diagnosis",
    "Doctor",
    "Finding",
    "TrainingWarning",
    "diagnose",
]

ILLNESSES = (
    "vanishing gradients",
    "exploding gradients",
    "dead ReLUs",
    "saturated units",
    "learning rate too high",
    "learning rate too low",
    "symmetric initialisation",
    "overfitting",
    "underfitting",
    "unscaled inputs",
    "unscaled targets",
    "constant or duplicate features",
    "shuffled labels",
    "one class",
    "class imbalance",
)


class TrainingWarning(UserWarning):
    """What :class:`Doctor` warns with."""


class Diagnosis(NamedTuple):
    """What :func:`diagnose` has found; prints as a report.

    Attributes
    ----------
    findings : tuple of Finding
        The illnesses, causes before their consequences: treat the first, and look again.
    checks : tuple of bpnet.sanity.Check
        The sanity checks that a history allows: loss at chance before training, and
        update-to-weight ratio.
    not_examined : dict of str to str
        Illnesses that could not be looked for, and why.
    """

    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    not_examined: Mapping[str, str]

    @property
    def healthy(self) -> bool:
        """Whether no illness was found."""
        return not self.findings

    @property
    def name(self) -> str:
        """The first illness, the one to treat; "healthy" if there is none."""
        return self.findings[0].name if self.findings else "healthy"

    def __str__(self) -> str:
        lines = [f"diagnosis: {self.name}"]
        for number, finding in enumerate(self.findings, start=1):
            where = "" if finding.layer is None else f", layer {finding.layer}"
            lines += [
                f"{number}. {finding.name}{where}",
                f"   evidence: {finding.evidence}",
                f"   remedy:   {finding.remedy}",
            ]
        lines += map(str, self.checks)
        lines += [f"not looked for: {name}: {why}" for name, why in self.not_examined.items()]
        return "\n".join(lines)


def diagnose(history: Mapping[str, Sequence[float]]) -> Diagnosis:
    """Name what ails a training, from what was recorded of it.

    Parameters
    ----------
    history : History
        What ``fit`` returned, with :class:`bpnet.GradientFlow` or :class:`Doctor` among its
        callbacks, which note the facts of data and network too.

    Returns
    -------
    Diagnosis
        ``print`` it.

    Raises
    ------
    TypeError
        If `history` is no mapping.
    ValueError
        If it has no epoch, or gradient flow and facts were not recorded.

    Notes
    -----
    Figures are judged in units that do not depend on the size of layers or losses: losses
    relative to chance, that of the best constant prediction; gradients times weights
    relative to chance (see :mod:`bpnet.diagnosis` ``.THRESHOLDS``); steps relative to
    weights. Whether labels were shuffled, and what an underfitting network should have
    learnt, is judged by each example's nearest neighbours.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(300, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(16, "tanh", init="zeros"),
    ...                      bpnet.Dense(1, init="zeros")],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, epochs=5, callbacks=[bpnet.GradientFlow()])
    >>> bpnet.diagnose(history).name
    'symmetric initialisation'
    """
    facts = _check(history)
    evidence = Evidence(history, facts, ended=True)
    return Diagnosis(
        tuple(examine(evidence, "start", "epoch", "end")),
        (initial_loss(facts), update_ratio(history)),
        _not_examined(history, facts),
    )


class Doctor(GradientFlow):
    """Record what :class:`bpnet.GradientFlow` records, and warn as soon as training is ill.

    Each illness is warned of once, as a :class:`TrainingWarning`, when it can first be told:
    those of data and initial weights before the first step, the others after the epochs in
    which the figures are measured, and some only in the end.

    Parameters
    ----------
    rows, every
        As for :class:`bpnet.GradientFlow`.

    Attributes
    ----------
    findings : list of Finding
        What was warned of in the last training.

    Examples
    --------
    >>> import warnings
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(300, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(16, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = net.fit(1000.0 * X, y, epochs=3, callbacks=[bpnet.Doctor()])
    >>> print(caught[0].message)  # doctest: +ELLIPSIS
    unscaled inputs (layer 1): the root mean square of feature 0 is ...
    """

    def __init__(self, rows: int = 128, every: int | None = None) -> None:
        super().__init__(rows, every)
        self.findings: list[Finding] = []

    def on_train_begin(self, training: Training) -> None:
        """Examine data and initial weights."""
        super().on_train_begin(training)
        self.findings = []
        if not training.epoch:  # a training that is resumed has been examined
            self._examine(training, {}, "start")

    def state(self) -> dict[str, Any]:
        """Give the figures, and what was warned of."""
        return super().state() | {"findings": [list(finding) for finding in self.findings]}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Take up the figures, and warn of nothing twice."""
        super().restore(training, state)
        self.findings = [Finding(*finding) for finding in state["findings"]]

    def on_epoch_end(self, training: Training) -> None:
        """Examine the training so far, if this epoch was measured."""
        super().on_epoch_end(training)
        if self.due(training):
            self._examine(training, _so_far(training), "epoch")

    def on_train_end(self, training: Training) -> None:
        """Examine the whole training."""
        if training.history.epochs:
            self._examine(training, training.history, "start", "epoch", "end")

    def _examine(
        self, training: Training, figures: Mapping[str, Sequence[float]], *since: str
    ) -> None:
        facts = training.history.facts
        assert facts is not None
        evidence = Evidence(figures, facts, ended="end" in since)
        known = {finding.name for finding in self.findings}
        for finding in examine(evidence, *since):
            if finding.name not in known:
                self.findings.append(finding)
                where = "" if finding.layer is None else f" (layer {finding.layer})"
                warnings.warn(
                    f"{finding.name}{where}: {finding.evidence}. Remedy: {finding.remedy}",
                    TrainingWarning,
                    stacklevel=2,
                )


def _so_far(training: Training) -> Mapping[str, Sequence[float]]:
    """Give the course of the losses, and of the layers' figures the last alone."""
    history = training.history.history
    return {
        name: [value] if "/" in name else [*history.get(name, ()), value]
        for name, value in training.logs.items()
    }


def _check(history: Mapping[str, Sequence[float]]) -> DataProfile:
    """Give the facts of a history that can be diagnosed."""
    if not check_history(history).get("loss"):
        raise ValueError(
            "history has no epoch to diagnose: its 'loss' is empty or missing; pass what fit "
            "returned after at least one epoch"
        )
    facts: DataProfile | None = getattr(history, "facts", None)
    missing = [name for name in FIGURES if f"{name}/1" not in history]
    if facts is None or missing or "data_loss" not in history:
        raise ValueError(
            "history has no gradient flow to diagnose; add bpnet.GradientFlow() or "
            "bpnet.Doctor() to the callbacks of fit, and pass the History that it returns"
        )
    return facts


def _not_examined(
    history: Mapping[str, Sequence[float]], facts: DataProfile
) -> Mapping[str, str]:
    reasons = {}
    if not history.get("val_loss"):
        reasons["overfitting"] = "no validation data; pass fit validation_data"
    too_few = facts.n_rows < limit("neighbour_rows")
    why = f"fewer than {limit('neighbour_rows'):.0f} examples" if too_few else "one target only"
    if too_few or math.isnan(facts.neighbour_signal):
        reasons["shuffled labels"] = reasons["underfitting"] = why
    elif math.isnan(facts.neighbour_loss):
        reasons["underfitting"] = "several labels at once"
    if not facts.class_shares:
        reasons["class imbalance"] = "the targets are no classes that exclude each other"
    return reasons
