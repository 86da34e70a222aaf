"""Each example runs as a user would run it and prints the expected output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bpnet

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name):
    """Run an example; return its exit status, stdout and stderr."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def percentages(out):
    return [float(number) for number in re.findall(r"([\d.]+) %", out)]


def test_train_cpu():
    status, out, err = run("train_cpu.py")
    assert (status, err) == (0, "")
    assert percentages(out)[-1] >= 99.0
    assert float(re.search(r"error of the gradients: (\S+)", out)[1]) < 1e-6


def test_train_gpu_trains_on_the_gpu_or_reports_why_not():
    gpu = bpnet.available_backends()["cupy"]
    status, out, err = run("train_gpu.py")
    if gpu.available:
        assert (status, err) == (0, "")
        assert "trained on cupy:" in out
        assert "the weights are cupy arrays" in out
        assert percentages(out)[-1] >= 95.0
    else:
        assert status == 2
        assert out == ""
        assert err.startswith(gpu.reason)
        assert len(err.splitlines()) == 1


def test_swap_backends():
    status, out, err = run("swap_backends.py")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "all backends agree"
    for name, info in bpnet.available_backends().items():
        for device in info.devices:
            (row,) = re.findall(rf"^{re.escape(f'{name}:{device}')} .*$", out, re.MULTILINE)
            assert float(row.split()[-1]) < 1e-9


@pytest.mark.full
def test_real_data():
    status, out, err = run("real_data.py")
    assert (status, err) == (0, "")
    assert re.findall(r"^\w+", out, re.MULTILINE) == ["breast_cancer", "digits"]
    breast_cancer, digits = percentages(out)
    assert breast_cancer >= 96.0
    assert digits >= 97.0


@pytest.mark.full
def test_search_on_a_cluster():
    pytest.importorskip("distributed")
    pytest.importorskip("sklearn")
    status, out, err = run("search_on_a_cluster.py")
    assert (status, err) == (0, "")
    assert "6 settings, each fitted to 3 parts" in out
    assert percentages(out)[-1] >= 93.0


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_documents_its_command_and_is_tested(path):
    assert f"Run with: python examples/{path.name}" in path.read_text()
    assert f'run("{path.name}")' in Path(__file__).read_text()
