"""The attack finds nothing."""

import pytest
from attack import NEEDS, SEED, SLOW, finding, load_kinds, probes_of
from available import why_not

# Fewer fresh inputs would prove little about a kind.
FEWEST = 20


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=[pytest.mark.full] if k in SLOW else []) for k in load_kinds()],
)
def test_the_attack_finds_nothing(kind):
    for spec in NEEDS[kind]:
        if reason := why_not(spec):
            pytest.skip(f"no {spec}: {reason}")
    probes = probes_of(kind, SEED)
    assert len(probes) >= FEWEST
    assert len({probe.name for probe in probes}) == len(probes)
    assert [text for probe in probes if (text := finding(probe)) is not None] == []
