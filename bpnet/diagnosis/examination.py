"""Which rules apply when, what does no harm, and which findings exclude each other.

`RULES` lists causes before consequences, so the first finding is the one to fix: unscaled
inputs, for example, may make training diverge. What need not do harm is a finding only if the
network learned less than simple models predict of new examples; otherwise it is a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from bpnet.diagnosis import rules
from bpnet.diagnosis.evidence import Evidence, Finding


def always(e: Evidence) -> bool:
    """Whether a finding is one for sure: its rule has looked at all there is."""
    return True


class Rule(NamedTuple):
    """A check for one failure, when it does harm, and the stage from which it applies.

    `is_told` is whether it becomes a note where it does no harm.
    """

    look: Callable[[Evidence], Finding | None]
    harms: Callable[[Evidence], bool]
    since: str  # "start", "epoch" or "end"
    is_told: bool = False


_POOR, _HARMED = Evidence.is_poor, Evidence.is_harmed
RULES = (
    Rule(rules.one_class, always, "start"),
    Rule(rules.shuffled_labels, always, "end"),
    Rule(rules.unscaled_inputs, rules.scale_is_harmful, "epoch", is_told=True),
    Rule(rules.useless_features, rules.useless_features_dominate, "epoch", is_told=True),
    Rule(rules.unscaled_targets, _HARMED, "epoch", is_told=True),
    Rule(rules.symmetric_initialisation, rules.copies_are_too_few, "start", is_told=True),
    Rule(rules.dead_from_the_start, _HARMED, "epoch", is_told=True),
    Rule(rules.saturated_from_the_start, _HARMED, "epoch", is_told=True),
    Rule(rules.exploding_gradients, _HARMED, "epoch"),
    Rule(rules.vanishing_gradients, _HARMED, "epoch"),
    Rule(rules.learning_rate_too_high, always, "epoch"),
    Rule(rules.dead_units, _POOR, "epoch", is_told=True),
    Rule(rules.saturated_units, _POOR, "epoch"),
    Rule(rules.learning_rate_too_low, _POOR, "end"),
    Rule(rules.class_imbalance, rules.rare_class_is_missed, "end", is_told=True),
    Rule(rules.overfitting, always, "epoch"),
    Rule(rules.underfitting, _POOR, "end"),
)

# What each remedy asks for, as far as another may ask for the opposite: a higher or lower
# learning rate, larger or smaller weights at the start, longer training, a larger network.
REQUESTS: dict[str, dict[str, int]] = {
    "exploding gradients": {"rate": -1, "weights": -1},
    "vanishing gradients": {"weights": +1},
    "dead ReLUs": {"rate": -1},
    "saturated units": {"rate": -1, "weights": -1},
    "learning rate too high": {"rate": -1},
    "learning rate too low": {"rate": +1, "epochs": +1},
    "overfitting": {"epochs": -1, "capacity": -1},
    "underfitting": {"epochs": +1, "capacity": +1},
}


# Failures that are only another sight of these: their remedies bring nothing new.
CONSEQUENCES = {
    "dead ReLUs": ("vanishing gradients",),
    "saturated units": ("vanishing gradients",),
    "symmetric initialisation": ("vanishing gradients",),
}


def rules_out(found: str, other: str) -> bool:
    """Whether one failure that was found explains another, or asks for the opposite."""
    return other in CONSEQUENCES.get(found, ()) or contradict(found, other)


def contradict(one: str, other: str) -> bool:
    """Whether the remedies of two failures ask for opposite things."""
    mine, theirs = REQUESTS.get(one, {}), REQUESTS.get(other, {})
    return any(sign == -theirs.get(what, 0) for what, sign in mine.items())


@np.errstate(over="ignore", invalid="ignore")  # a diverged run is measured in infinities
def examine(
    e: Evidence, *since: str, known: Iterable[str] = ()
) -> tuple[list[Finding], list[str]]:
    """Apply the rules of these stages; return the findings, and notes of what does no harm.

    Each failure is reported once, by its first rule, and not if an earlier finding, or one
    `known`, explains it or asks for the opposite. Underfitting is reported only if nothing
    explains it.
    """
    found: dict[str, Finding] = {}
    notes: dict[str, str] = {}
    for rule in RULES:
        if rule.since not in since or (rule.look is rules.underfitting and found):
            continue
        finding = rule.look(e)
        if finding is None or finding.name in found:
            continue
        if not rule.harms(e):
            if rule.is_told:
                notes.setdefault(finding.name, _note(finding))
        elif not any(rules_out(name, finding.name) for name in (*found, *known)):
            found[finding.name] = finding
    return list(found.values()), [note for name, note in notes.items() if name not in found]


def _note(finding: Finding) -> str:
    where = "" if finding.layer is None else f", layer {finding.layer}"
    return f"{finding.name}{where}: {finding.evidence}; this did no visible harm"
