"""Bad input at every public entry point is rejected by name and changes nothing."""

from __future__ import annotations

import contextlib
import os
import re

import entries
import entries_other
import pytest
from refusals import Unchanged

TABLE = entries_other.DESCRIPTIONS | entries.NETWORKS | entries_other.REST
CASES = {
    f"{name}: {parameter}: {case}": (entry, parameter, bad)
    for name, entry in TABLE.items()
    for parameter, cases in entry.bad.items()
    for case, bad in cases.items()
}


def nets(name):
    """Return the networks to try an entry with: a new one and a trained one."""
    if name in entries.NETWORKS:
        only_trained = name.startswith(("plot.dec", "plot.ani", "plot.loss")) or name in (
            "Network.to", "Network.save", "Network.parameters",
        )  # fmt: skip
        return [entries.trained()] if only_trained else [entries.network(), entries.trained()]
    return []


@pytest.fixture(scope="module", autouse=True)
def empty_folder(tmp_path_factory):
    """The working directory, in which nothing may be written."""
    with contextlib.chdir(tmp_path_factory.mktemp("empty")):
        yield
        assert not os.listdir()


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(case):
    entry, parameter, bad = CASES[case]
    name = case.partition(":")[0]
    message = bad.message.replace("{name}", re.escape(parameter))
    for net in nets(name) or [None]:
        given = {} if net is None else {"net": net}
        given |= entry.good | {parameter.removesuffix(" of validation_data"): bad.value}
        Unchanged(net, given, entry.good).refuses(
            lambda given=given: entry.call(**given), bad.error, message
        )
