"""Bad input to the estimators is rejected by name and leaves them unchanged."""

from __future__ import annotations

import copy
import inspect
import re

import entries_sklearn as table
import pytest
from refusals import Unchanged

import bpnet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OWNERS = ("MLPClassifier", "MLPRegressor")
PARAMETERS = [
    (owner, parameter, case)
    for owner in OWNERS
    for parameter in inspect.signature(getattr(bpnet, owner)).parameters
    for case in table.PARAMETERS[parameter]
    # Both estimators check shared parameters in the same way.
    if owner == OWNERS[0] or parameter == "loss"
]
CASES = {
    f"{name}: {parameter}: {case}": (name, entry, parameter, bad)
    for name, entry in table.METHODS.items()
    for parameter, cases in entry.bad.items()
    for case, bad in cases.items()
}


def named(message, parameter):
    return message.replace("{name}", re.escape(parameter))


@pytest.mark.parametrize(("owner", "parameter", "case"), PARAMETERS)
def test_bad_parameters_are_refused(owner, parameter, case):
    bad = table.PARAMETERS[parameter][case]
    for fitted in (True, False):
        model = copy.deepcopy(table.estimator(owner, fitted))
        model.set_params(**{parameter: bad.value})
        state = Unchanged(model)
        y = table.TARGETS[owner]
        message = named(bad.message, parameter)
        state.refuses(lambda m=model, y=y: m.fit(table.X, y), bad.error, message)


@pytest.mark.parametrize("case", CASES)
def test_bad_arrays_are_refused(case):
    name, entry, parameter, bad = CASES[case]
    trains = name.endswith("fit")
    for fitted in (True, False) if trains else (True,):
        if not fitted and case.rpartition(": ")[2] in (*table.WIDTHS, "missing", "others"):
            continue  # allowed in the first call
        model = copy.deepcopy(table.estimator(name.partition(".")[0], fitted))
        given = entry.good | {parameter: bad.value}
        Unchanged(model, given).refuses(
            lambda m=model, g=given: entry.call(m, **g),
            bad.error,
            named(bad.message, parameter),
        )
