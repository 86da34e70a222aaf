"""The notebook runs from top to bottom, and its stored outputs are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bpnet

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = Path(__file__).parents[2] / "examples" / "backpropagation_from_scratch.ipynb"
RENEW = f"execute it again: jupyter execute --inplace examples/{NOTEBOOK.name}"
EXECUTE = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Execute a copy in an empty directory, as a reader would."""
    directory = tmp_path_factory.mktemp("notebook")
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOK), "executed.ipynb"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in directory.iterdir()] == ["executed.ipynb"]
    return nbformat.read(directory / "executed.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook):
    """Return everything the cells print, as one string."""
    outputs = [out for cell in code_cells(notebook) for out in cell.outputs]
    return "\n".join(out.text for out in outputs if out.output_type == "stream")


def outputs_of(notebook, mime):
    """Return all outputs of one MIME type, such as image/png."""
    outputs = [out for cell in code_cells(notebook) for out in cell.outputs]
    return [out.data[mime] for out in outputs if mime in out.get("data", {})]


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, pattern
    return float(found[1])


def assert_key_numbers(text):
    assert number(r"largest slope of the sigmoid: (\S+)", text) == 0.25
    assert number(r"agree: largest relative error ([\d.e-]+),", text) < 1e-6
    assert number(r"finite differences; the largest difference is ([\d.e-]+)\.", text) < 1e-9
    assert number(r"loss [\d.]+, accuracy ([\d.]+)%", text) >= 98.0
    assert "diagnosis: healthy" in text
    assert number(r"32 hidden layers of sigmoid.* is about 10\^(\d+) times smaller", text) > 15
    assert re.search(r"and most for relu with N\(0, 1\)", text)
    assert re.search(r"stalls at rates up to \S+, learns best at \S+, .* and diverges", text)
    assert number(r"of [\d.]+ on others, a gap of ([\d.]+);", text) > 1.0
    assert number(r"lies almost in a plane, by (\d+) % or more", text) >= 95
    assert number(r"largest of all: (\S+)", text) < 1e-9


@pytest.mark.full
def test_it_runs_and_prints_the_key_numbers(executed):
    text = printed(executed)
    assert_key_numbers(text)
    for cell in code_cells(executed):
        assert all(out.output_type != "error" for out in cell.outputs)
        assert all(out.get("name") != "stderr" for out in cell.outputs), cell.outputs


@pytest.mark.full
def test_every_backend_has_a_line(executed):
    text = printed(executed)
    for name, info in bpnet.available_backends().items():
        for device in info.devices:
            assert f"{name}:{device} " in text
        if not info.available:
            assert re.search(rf"^{name} +not here$", text, re.MULTILINE)


@pytest.mark.full
def test_gradients_match_pytorch(executed):
    pytest.importorskip("torch")
    assert number(r"difference from PyTorch's gradients: (\S+)", printed(executed)) < 1e-12


def test_the_stored_outputs_are_complete(stored):
    assert NOTEBOOK.stat().st_size < 4_000_000
    counts = [cell.execution_count for cell in code_cells(stored)]
    assert counts == list(range(1, len(counts) + 1))
    without_output = [cell for cell in code_cells(stored)[1:] if not cell.outputs]
    assert not without_output
    assert_key_numbers(printed(stored))
    assert len(outputs_of(stored, "image/png")) >= 14
    assert len(outputs_of(stored, "image/svg+xml")) == 1
    assert len(outputs_of(stored, "image/gif")) == 1


@pytest.mark.full
def test_the_stored_code_matches_the_library(stored, executed):
    def shown(notebook):
        return "\n".join(outputs_of(notebook, "text/markdown"))

    assert "xp.matmul(a_previous.T, delta)" in shown(executed)
    assert shown(stored) == shown(executed), RENEW


def test_it_reveals_nothing_of_the_machine_that_ran_it():
    text = NOTEBOOK.read_text()
    assert not re.search(r"/(tmp|home|root|Users|usr|opt|work)/", text)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"execution"} for cell in notebook.cells)
