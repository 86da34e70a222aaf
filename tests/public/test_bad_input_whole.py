"""The table of bad inputs is complete: every public callable and parameter has a row."""

from __future__ import annotations

import fnmatch

import entries_sklearn
import entries_tabular
import public_names
import pytest
import test_bad_input
import test_bad_input_devices
import test_bad_input_sklearn

ROWS = {name: set(entry.bad) for name, entry in test_bad_input.TABLE.items()}
ROWS |= {name: set(entry.bad) for name, entry in entries_sklearn.METHODS.items()}
ROWS |= {name: set(entries_sklearn.PARAMETERS) for name in test_bad_input_sklearn.OWNERS}
ROWS |= {name: set(entry.bad) for name, entry in entries_tabular.METHODS.items()}
ROWS |= {name: set(entries_tabular.PARAMETERS) for name in entries_tabular.OWNERS}

# The name of the value in errors, which only bpnet itself passes.
ITS_OWN = {"argument"}


@pytest.mark.parametrize("name", public_names.parameters())
def test_every_parameter_has_a_row(name):
    asked = set(public_names.parameters()[name]) - ITS_OWN
    assert asked <= ROWS.get(name, set())
    assert name in ROWS or not asked


def test_there_is_no_row_without_its_callable():
    extra = {"Network.fit, validation", "Network.fit, loader"}
    assert ROWS.keys() - extra <= public_names.parameters().keys()


def test_there_is_no_exemption_without_its_callable():
    everything = public_names.parameters(exempt=True)
    for patterns in public_names.EXEMPT.values():
        for pattern in patterns:
            assert any(fnmatch.fnmatch(name, pattern) for name in everything), pattern


def test_the_table_is_large():
    tables = test_bad_input, test_bad_input_devices, test_bad_input_sklearn
    assert len(test_bad_input_sklearn.PARAMETERS) > 200
    assert all(len(table.CASES) > 100 for table in tables)
    assert len(test_bad_input.CASES) > 2000
    for name, rows in ROWS.items():
        entry = test_bad_input.TABLE.get(name)
        assert entry is None or all(entry.bad[row] for row in rows), name
