"""Bad input to the tabular estimators is rejected by name and leaves them unchanged."""

from __future__ import annotations

import copy
import inspect
import re

import entries_tabular as table
import pytest

import bpnet

PARAMETERS = [
    (owner, parameter, case)
    for owner in table.OWNERS
    for parameter in inspect.signature(getattr(bpnet, owner)).parameters
    for case in table.PARAMETERS[parameter]
    # Both estimators check shared parameters in the same way.
    if owner == table.OWNERS[0] or parameter == "clip_output"
]
CASES = {
    f"{name}: {parameter}: {case}": (name, entry, parameter, bad)
    for name, entry in table.METHODS.items()
    for parameter, cases in entry.bad.items()
    for case, bad in cases.items()
}


def refuses(model, use, bad, parameter):
    """Assert that a call raises, and that the estimator is as before."""
    before = dict(vars(model))
    with pytest.raises(bad.error, match=bad.message.replace("{name}", re.escape(parameter))):
        use(model)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


@pytest.mark.parametrize(("owner", "parameter", "case"), PARAMETERS)
def test_bad_parameters_are_refused(owner, parameter, case):
    bad = table.PARAMETERS[parameter][case]
    for fitted in (True, False):
        model = copy.copy(table.estimator(owner, fitted))
        model.set_params(**{parameter: bad.value})
        refuses(model, lambda m: m.fit(table.X, table.TARGETS[owner]), bad, parameter)


@pytest.mark.parametrize("case", CASES)
def test_bad_arrays_are_refused(case):
    name, entry, parameter, bad = CASES[case]
    model = copy.copy(table.estimator(name.partition(".")[0]))
    given = entry.good | {parameter: bad.value}
    refuses(model, lambda m: entry.call(m, **given), bad, parameter)
