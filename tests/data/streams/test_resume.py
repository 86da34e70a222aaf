"""A run that is killed in the middle of a stream resumes to the same bits."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import bpnet

M, N = 600, 4
KILLED = """
    import os, signal, sys
    sys.path.insert(0, {helpers!r})
    import test_resume as case

    class Kill(case.bpnet.Callback):
        def on_batch_end(self, training):
            if training.epoch == 2 and training.runner._next == 7:
                os.kill(os.getpid(), signal.SIGKILL)

    case.train({folder!r}, [case.bpnet.Checkpoint({folder!r} + "/run.safetensors"), Kill()])
"""


def stream(folder):
    X = np.load(f"{folder}/X.npy", mmap_mode="r")
    return bpnet.streams.Arrays(X, np.load(f"{folder}/y.npy"), block_rows=70, buffer_blocks=2)


def train(folder, callbacks=(), **settings):
    layers = [bpnet.Dense(8, "tanh"), bpnet.Dropout(0.3), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=3)
    net.fit(stream(folder), epochs=5, batch_size=32, callbacks=callbacks, **settings)
    return net


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    pytest.importorskip("safetensors")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((M, N)).astype("float32")
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", (X[:, 0] * X[:, 1] > 0).astype(int))
    folder = str(tmp_path)
    program = textwrap.dedent(KILLED).format(folder=folder, helpers=__file__.rpartition("/")[0])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = train(folder, resume_from=f"{folder}/run.safetensors")
    due = train(folder)
    assert resumed.epochs_taken == due.epochs_taken == 5
    for a, b in zip(resumed.get_weights(), due.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_blocks_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    X = np.random.default_rng(0).standard_normal((M, N)).astype("float32")
    y = X.sum(axis=1)
    net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0)
    path = tmp_path / "run.safetensors"
    net.fit(
        bpnet.streams.Arrays(X, y, block_rows=100), epochs=1, callbacks=bpnet.Checkpoint(path)
    )
    other = bpnet.streams.Arrays(X, y, block_rows=60)
    with pytest.raises(ValueError, match="the training examples must be the same"):
        net.fit(other, epochs=2, resume_from=path)
