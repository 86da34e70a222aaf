"""The model of scaling: what it is fitted to, and what it then predicts."""

from __future__ import annotations

import json

import pytest

from benchmarks.scaling_model import N_WEIGHTS, fitted, gpu_step, report, sum_time

FIXED, COMPUTE, WAIT, BANDWIDTH, LATENCY = 2e-3, 10e-3, 1e-4, 2e9, 3e-6


def times(size):
    """Return the measured times of a machine of 2 cores that is as the model says."""
    total = sum_time(size, 4 * N_WEIGHTS, BANDWIDTH, LATENCY)
    part, wait = FIXED + COMPUTE / size, WAIT * (size > 1)
    step = part + wait + max(1, size / 2) * total
    return {
        "step": step, "large step": step + 3 * COMPUTE / size, "halves": part, "wait": wait,
        "sum": total, "small sum": 2 * LATENCY,
    }  # fmt: skip


MEASURED = {"cores": 2} | {str(size): times(size) for size in (1, 2, 4)}


def test_the_model_predicts_a_machine_that_is_like_it():
    predict = fitted(MEASURED)
    for size in (1, 2, 4):
        assert predict(size) == pytest.approx(times(size)["step"])


def test_a_sum_moves_twice_the_bytes_at_most():
    assert sum_time(1, 1e6, 1e9, 1e-6) == 0.0
    assert sum_time(2, 1e6, 1e9, 1e-6) == pytest.approx(1e-3 + 2e-6)
    assert sum_time(1024, 1e6, 1e9, 1e-6) == pytest.approx(2e-3 * 1023 / 1024 + 20e-6)


def test_more_gpus_are_faster_until_the_sum_takes_longest():
    alone, parts = gpu_step(1, N_WEIGHTS, 65_536)
    assert alone == pytest.approx(sum(parts.values()))
    assert parts["NVLink"] == parts["InfiniBand"] == 0.0
    seconds = [gpu_step(2**k, N_WEIGHTS, 65_536)[0] for k in range(11)]
    assert seconds[0] > seconds[3] > seconds[6] > min(seconds)


def test_the_report_and_its_picture(tmp_path):
    path = tmp_path / "measured.json"
    rounds = {name: {k: [t, t] for k, t in MEASURED[name].items()} for name in "124"}
    path.write_text(json.dumps(rounds | {"cores": 2}))
    report(path, tmp_path)
    text = (tmp_path / "scaling_model.txt").read_text()
    assert text.count("+0%") + text.count("-0%") == 3
    assert (tmp_path / "scaling_model.png").stat().st_size > 10_000
