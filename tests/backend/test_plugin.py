"""A backend in a separate distribution, installed by pip and used without changes to bpnet."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pip")

SOURCE = Path(__file__).parent / "plugin"
SCRIPT = """
import json
import sys

import numpy as np

import bpnet

X, y = bpnet.datasets.make_spiral(60, seed=0)


def trained(backend):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.1), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    history = net.fit(X, y, epochs=4, validation_split=0.2, backend=backend)
    proba = net.predict_proba(X)
    assert isinstance(proba, np.ndarray)
    return net.backend.spec, dict(history), proba.tolist()


assert "bpnet_plain_numpy" not in sys.modules
known = bpnet.available_backends()
with bpnet.use_backend("plain_numpy:cpu"):
    in_block = trained(None)[0]
print(json.dumps({
    "info": known["plain_numpy"],
    "names": list(known),
    "class": type(bpnet.get_backend("plain_numpy")).__module__,
    "default": bpnet.get_backend().spec,
    "in_block": in_block,
    "argument": trained("plain_numpy"),
    "numpy": trained("numpy"),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install from a copy, as building leaves folders in the source tree."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (
        "-m pip --isolated --disable-pip-version-check install --quiet --no-index --no-deps "
        "--no-build-isolation --target"
    )
    command = [sys.executable, *pip.split(), str(folder / "target"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "target"


def run(installed, *arguments, **variables):
    """Run Python with the plug-in installed; return status, stdout and stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BPNET_", "PYTHON"))}
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=installed.parent,
        env=kept | {"PYTHONPATH": str(installed)} | variables,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_is_used_like_one_of_ours(installed):
    status, out, err = run(installed, "-c", SCRIPT)
    assert (status, err) == (0, "")
    said = json.loads(out)
    available, devices, reason, version = said["info"]
    assert (available, devices, reason) == (True, ["cpu"], None)
    assert version.split(".")[0].isdigit()
    assert said["names"][0] == "numpy"
    assert said["class"] == "bpnet_plain_numpy"
    assert said["in_block"] == said["argument"][0] == "plain_numpy:cpu"
    assert said["default"] == said["numpy"][0] == "numpy:cpu"
    assert said["argument"][1:] == said["numpy"][1:]  # it is NumPy, so to the last bit
    assert len(said["numpy"][1]["val_loss"]) == 4


def test_the_environment_chooses_it(installed):
    demo = "-m bpnet demo --epochs 2 --hidden 3 --samples 20"
    status, out, err = run(installed, *demo.split(), BPNET_BACKEND="plain_numpy")
    assert (status, err) == (0, "")
    assert out.splitlines()[0].split() == ["backend", "plain_numpy"]


def test_it_is_a_model_of_brevity_and_leaves_nothing_behind(installed):
    """The README shows it, so it has what is needed and no more."""
    files = {p.name for p in SOURCE.iterdir()} - {"__pycache__"}
    assert files == {"pyproject.toml", "bpnet_plain_numpy.py"}
    lines = (SOURCE / "bpnet_plain_numpy.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
