"""Concurrent training runs give the same bits as alone: in threads, after fork and spawn."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from available import available

import bpnet

SPECS = ("numpy", "torch:cpu", "jax", "array_api_strict:device1")
X, Y = bpnet.datasets.make_spiral(90, seed=0)


def trained(seed, spec=None, wide=False):
    """Return the bytes of the final weights and losses; NumPy steps `wide` layers in place."""
    layers = [
        bpnet.Dense(128 if wide else 12, "tanh"), bpnet.Dropout(0.2),
        bpnet.Dense(128 if wide else 8, "relu"), bpnet.Dense(1),
    ]  # fmt: skip
    net = bpnet.Network(layers, "binary_crossentropy", seed=seed)
    if spec is None:
        history = net.fit(X, Y, optimizer=bpnet.Adam(0.01), epochs=8)
    else:
        with bpnet.use_backend(spec):
            history = net.fit(X, Y, optimizer=bpnet.Adam(0.01), epochs=8)
        assert net.backend == bpnet.get_backend(spec)
    to_numpy = net.backend.to_numpy
    weights = [to_numpy(p).tobytes() for layer in net.parameters for p in layer.values()]
    return b"".join([*weights, np.array(history["loss"]).tobytes()])


def in_threads(jobs):
    """Run all jobs at once; none starts before all are ready."""
    ready = threading.Barrier(len(jobs))

    def run(job):
        ready.wait()
        return trained(*job)

    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def test_two_networks_in_two_threads_of_one_backend(backend):
    jobs = [(seed, backend, wide) for seed, wide in ((0, False), (1, False), (2, True))]
    assert in_threads(jobs) == [trained(*job) for job in jobs]


def test_a_thread_for_each_backend():
    """Each has its own block; a thread does not inherit that of the thread that started it."""
    jobs = [(seed, spec) for seed, spec in enumerate(available(*SPECS) * 2)]
    expected = [trained(*job) for job in jobs]
    with bpnet.use_backend("array_api_strict:device2"):
        assert in_threads(jobs) == expected
    assert len(set(expected)) == len(expected)


def test_one_compiled_step_serves_two_threads_one_after_the_other(backend):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(trained, 0, backend).result() == trained(0, backend)


def test_spawned_processes_give_the_same_bits():
    specs = available(*SPECS)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        results = list(pool.map(trained, [3] * len(specs), specs))
    assert results == [trained(3, spec) for spec in specs]


FORK = """
import os, sys
sys.path[:] = {path!r}
import test_concurrency as tests

spec = {spec!r}
expected = tests.trained(4, spec)  # the parent has trained, and goes on
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(tests.trained(4, spec))
    os._exit(0)
os.close(writer)
again = tests.trained(4, spec)
with os.fdopen(reader, "rb") as pipe:
    assert pipe.read() == expected == again
assert os.waitpid(child, 0)[1] == 0
"""


FORK_AFTER_JAX = """
import os, signal, sys, tempfile, warnings
sys.path[:] = {path!r}
import numpy as np
import bpnet

net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
X, y = np.eye(3), np.arange(3.0)
net.fit(X, y, epochs=2, backend="jax")
warnings.simplefilter("ignore")  # JAX warns that forks will hang
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends it if it hangs
    refused = 0
    for use in (lambda: net.predict(X), lambda: net.fit(X, y, backend="jax")):
        try:
            use()
        except bpnet.errors.NoDeviceError as error:
            refused += "get_context('spawn')" in str(error)
    with tempfile.TemporaryDirectory() as folder:  # none of this needs JAX
        net.save(os.path.join(folder, "net.safetensors"))
    net.fit(X, y, epochs=2, backend="numpy")
    os._exit(refused)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
net.fit(X, y, epochs=2, backend="jax")  # the parent goes on
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_jax_is_refused_in_a_child_forked_after_its_use_where_it_would_hang():
    pytest.importorskip("jax")
    program = FORK_AFTER_JAX.format(path=sys.path)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("spec", ["numpy", "torch:cpu", "array_api_strict:device1"])
def test_a_forked_child_gives_the_same_bits(spec):
    if spec not in available(*SPECS):
        pytest.skip(f"no {spec}")
    program = FORK.format(path=sys.path, spec=spec)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    assert done.returncode == 0
