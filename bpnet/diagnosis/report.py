"""Diagnosis of a training run: failures, with their evidence, layer and remedy.

:func:`diagnose` reads a history recorded by :class:`bpnet.GradientFlow` or :class:`Doctor`.
Every threshold is in :data:`THRESHOLDS`, with its reason and source;
``benchmarks/diagnosis.py`` measures the accuracy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bpnet.callbacks.early_stopping import EarlyStopping
from bpnet.common.history import check_history
from bpnet.common.keywords import explains_keywords
from bpnet.diagnosis.data_profile import DataProfile
from bpnet.diagnosis.evidence import Evidence, Finding
from bpnet.diagnosis.examination import examine
from bpnet.diagnosis.gradient_flow import METRICS, GradientFlow
from bpnet.diagnosis.rules import why_unknown_if_shuffled
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
    "vanishing gradients", "exploding gradients", "dead ReLUs", "saturated units",
    "learning rate too high", "learning rate too low", "symmetric initialisation",
    "overfitting", "underfitting", "unscaled inputs", "unscaled targets",
    "constant or duplicate features", "shuffled labels", "one class", "class imbalance",
)  # fmt: skip


class TrainingWarning(UserWarning):
    """The category of the warnings of :class:`Doctor`."""


class Diagnosis(NamedTuple):
    """Result of :func:`diagnose`; prints as a report.

    Attributes
    ----------
    findings : tuple of Finding
        The failures, causes before consequences: fix the first, then diagnose again.
    checks : tuple of bpnet.sanity.Check
        The sanity checks that need only a history: initial loss and update-to-weight ratio.
    not_examined : dict of str to str
        Failures that could not be checked for, and why.
    notes : tuple of str
        What is unusual, such as constant features, but did no visible harm.
    """

    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    not_examined: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether no failure was found."""
        return not self.findings

    @property
    def name(self) -> str:
        """Name of the first failure, the one to fix; "healthy" if there is none."""
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
        lines += [f"note: {note}" for note in self.notes]
        lines += map(str, self.checks)
        lines += [f"not checked: {name}: {why}" for name, why in self.not_examined.items()]
        return "\n".join(lines)


@explains_keywords
def diagnose(history: Mapping[str, Sequence[float]] | Any) -> Diagnosis:
    """Diagnose a training run from its recorded metrics.

    Parameters
    ----------
    history : History or fitted estimator
        Returned by ``fit`` with :class:`bpnet.GradientFlow` or :class:`Doctor` among its
        callbacks; or an estimator with one of them among its `callbacks`, whose ``history_`` is
        read.

    Returns
    -------
    Diagnosis
        ``print`` it for a report.

    Raises
    ------
    TypeError
        If `history` is not a mapping, nor an estimator.
    ValueError
        If it has no epoch, or gradient flow was not recorded.

    Notes
    -----
    Metrics are compared in units that do not depend on the size of layers or losses: losses and
    weight-gradient products relative to the baseline loss, that of the best constant prediction
    (see :mod:`bpnet.diagnosis.thresholds`), and steps relative to weights. Whether the targets
    can be learned, and whether the network has learned enough, is judged by what ridge
    regression and nearest neighbors predict of examples that they have not seen. Where the fit
    is as good, what is unusual of data and network is a note.

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
    history = check_history(history)
    facts = _check(history)
    kept = getattr(history, "best_epoch", None)
    evidence = Evidence(history, facts, ended=True, kept=kept)
    findings, notes = examine(evidence, "start", "epoch", "end")
    return Diagnosis(
        tuple(findings),
        (initial_loss(facts), update_ratio(history)),
        _not_examined(evidence),
        tuple(notes),
    )


class Doctor(GradientFlow):
    """Record what :class:`bpnet.GradientFlow` records, and warn as soon as a failure shows.

    Issues one :class:`TrainingWarning` per failure, as early as it can be detected: those of
    data and initial weights before the first step, others after measured epochs, and some only
    at the end of training.

    Parameters
    ----------
    rows, every
        As for :class:`bpnet.GradientFlow`.

    Attributes
    ----------
    findings : list of Finding
        The failures warned about in the last training run.

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

    adds = GradientFlow.adds

    @explains_keywords
    def __init__(self, rows: int = 128, every: int | None = None) -> None:
        super().__init__(rows, every)
        self.findings: list[Finding] = []

    def on_train_begin(self, training: Training) -> None:
        """Check data and initial weights."""
        super().on_train_begin(training)
        self.findings = []
        if not training.epoch:  # a resumed run has been checked before
            self._examine(training, {}, "start")

    def state(self) -> dict[str, Any]:
        """Return the metrics and the findings so far."""
        return super().state() | {"findings": [list(finding) for finding in self.findings]}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Restore metrics and findings, so that no warning is repeated."""
        super().restore(training, state)
        self.findings = [Finding(*finding) for finding in state["findings"]]

    def on_epoch_end(self, training: Training) -> None:
        """Check the run so far, if this epoch was measured."""
        super().on_epoch_end(training)
        if self.due(training):
            self._examine(training, _so_far(training), "epoch")

    def on_train_end(self, training: Training) -> None:
        """Check the whole run."""
        super().on_train_end(training)
        if training.history.epochs:
            self._examine(training, training.history, "start", "epoch", "end")

    def _examine(
        self, training: Training, metrics: Mapping[str, Sequence[float]], *since: str
    ) -> None:
        facts, ended = training.history.facts, "end" in since
        assert facts is not None
        evidence = Evidence(metrics, facts, ended, _kept(training, metrics))
        known = {finding.name for finding in self.findings}
        for finding in examine(evidence, *since, known=known)[0]:
            if finding.name not in known:
                self.findings.append(finding)
                where = "" if finding.layer is None else f" (layer {finding.layer})"
                warnings.warn(
                    f"{finding.name}{where}: {finding.evidence}. Remedy: {finding.remedy}",
                    TrainingWarning,
                    stacklevel=2,
                )


def _kept(training: Training, metrics: Mapping[str, Sequence[float]]) -> int | None:
    """Return the epoch that early stopping has restored or would restore; else None.

    A callback that comes later in the list has not seen this epoch.
    """
    stops = (c for c in training.callbacks if isinstance(c, EarlyStopping) and c.restore_best)
    if (stop := next(stops, None)) is None or training.history.best_epoch is not None:
        return training.history.best_epoch
    if stop.monitor == "val_loss" and (losses := metrics.get("val_loss")):
        return list(losses).index(min(losses)) + 1
    return stop.best_epoch


def _so_far(training: Training) -> Mapping[str, Sequence[float]]:
    """Return all values of losses, rates and steps, and the last ones of other metrics."""
    history = training.history.history
    return {
        name: [value] if _is_of_layer(name) else [*history.get(name, ()), value]
        for name, value in training.logs.items()
    }


def _is_of_layer(name: str) -> bool:
    return "/" in name and not name.startswith("update_ratio/")


def _check(history: Mapping[str, Sequence[float]]) -> DataProfile:
    """Return the data profile of a history that can be diagnosed."""
    if not history.get("loss"):
        raise ValueError(
            "history has no epoch to diagnose: its 'loss' is empty or missing; pass what fit "
            "returned after at least one epoch"
        )
    facts: DataProfile | None = getattr(history, "facts", None)
    missing = [name for name in METRICS if f"{name}/1" not in history]
    if facts is None or missing or "data_loss" not in history:
        raise ValueError(
            "history has no gradient flow to diagnose; add bpnet.GradientFlow() or "
            "bpnet.Doctor() to the callbacks of fit, and pass the History that it returns. Of "
            "an estimator: MLPClassifier(callbacks=[bpnet.GradientFlow()]), then fit it again"
        )
    return facts


def _not_examined(e: Evidence) -> Mapping[str, str]:
    facts, reasons = e.facts, {}
    few = f"fewer than {limit('few_rows'):.0f} examples"
    if not len(e.held_out):
        reasons["overfitting"] = "no validation data; pass validation_data to fit"
    if math.isnan(facts.neighbor_signal):
        reason = "only one target" if facts.one_target else few
        reasons["shuffled labels"] = reasons["underfitting"] = reason
    elif (why := why_unknown_if_shuffled(e)) is not None:
        reasons["shuffled labels"] = why
    if facts.is_multilabel:
        reasons["class imbalance"] = "the targets are not mutually exclusive classes"
    return reasons
