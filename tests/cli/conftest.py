"""A small table in a file, and a model trained on it, shared by the tests of the commands."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

QUICK = ("--preset", "td-s", "--epochs", "2", "--time-limit", "0")


def table(n=90, seed=0):
    """Return the lines of a CSV: numbers, gaps, categories, an id, a date and a constant."""
    rng = np.random.default_rng(seed)
    lines = ["key,age,city,paid,since,unit,buys,spent"]
    for k in range(n):
        age = "" if k % 9 == 0 else f"{rng.uniform(18, 80):.1f}"
        city = "NA" if k % 11 == 0 else rng.choice(["Rom", "Bonn", "Köln"])
        paid = rng.choice(["True", "False"])
        buys = "yes" if (age and float(age) > 45) or paid == "True" else "no"
        spent = rng.normal(50, 9)
        day = f"2024-{1 + k % 12:02d}-{1 + k % 28:02d}"
        lines.append(f"u{k:03d},{age},{city},{paid},{day},kg,{buys},{spent:.2f}")
    return lines


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a CSV "people.csv" and of the model and report in "model"."""
    from bpnet.cli.main import main

    folder = tmp_path_factory.mktemp("trained")
    (folder / "people.csv").write_text("\n".join(table()) + "\n", encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        argv = ["train", str(folder / "people.csv"), "--target", "buys", "--drop", "spent"]
        status = main([*argv, "--out", str(folder / "model"), *QUICK])
    assert status == 0, err.getvalue()
    (folder / "out").write_text(out.getvalue(), encoding="utf-8")
    (folder / "err").write_text(err.getvalue(), encoding="utf-8")
    return Path(folder)


@pytest.fixture
def model(trained):
    """The path of the model file, as a string."""
    return str(trained / "model" / "model.safetensors")


@pytest.fixture
def people(trained):
    """The path of the CSV, as a string."""
    return str(trained / "people.csv")
