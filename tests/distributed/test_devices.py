"""One GPU for each process, and NCCL between them, on stand-ins."""

from __future__ import annotations

import importlib
import sys
import types

import numpy as np
import pytest
from mpi_jobs import WHY_NOT
from thread_group import run_together

import bpnet
from bpnet.backend import registry
from bpnet.distributed import NCCL
from bpnet.distributed.devices import local_backend


class Gpus(bpnet.Backend):
    """Two GPUs and a CPU, all of them NumPy."""

    name, xp = "gpus", np

    @classmethod
    def devices(cls):
        return ("gpu:0", "gpu:1", "cpu:0")

    @classmethod
    def version(cls):
        return "1"

    def asarray(self, host_array, dtype=None):
        return np.asarray(host_array, dtype)

    def to_numpy(self, array):
        return np.asarray(array)


@pytest.fixture
def _gpus(monkeypatch):
    known = registry._load
    monkeypatch.setattr(registry, "_load", lambda name: Gpus if name == "gpus" else known(name))


@pytest.mark.usefixtures("_gpus")
@pytest.mark.parametrize(
    ("spec", "devices"),
    [
        ("gpus", ["gpu:0", "gpu:1", "gpu:0"]),
        ("gpus:gpu:1", ["gpu:1"] * 3),
        ("gpus:cpu:0", ["cpu:0"] * 3),
        ("numpy", ["cpu"] * 3),
    ],
)
def test_processes_take_gpus_in_turn(spec, devices):
    found = [local_backend(spec, rank) for rank in range(3)]
    assert [bpnet.get_backend(backend).device for backend in found] == devices


@pytest.mark.usefixtures("_gpus")
def test_the_environment_counts_where_nothing_else_chooses(monkeypatch):
    assert local_backend(None, 1) is None
    monkeypatch.setenv("BPNET_BACKEND", "gpus")
    assert local_backend(None, 1).device == "gpu:1"
    assert local_backend(None, 1, is_chosen=True) is None
    assert local_backend(given := Gpus("gpu:0"), 1) is given
    with bpnet.use_backend("numpy"):
        assert local_backend(None, 1) is None


# --- NCCL -------------------------------------------------------------------------------------


class Array(np.ndarray):
    """An array whose memory has an address, as CuPy's has."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self)


@pytest.fixture
def nccl_group(monkeypatch):
    """Return NcclGroup, on a stand-in for CuPy whose processes are threads."""
    groups = {}

    class NcclCommunicator:
        def __init__(self, ndev, commId, rank):
            self.rank, self.group = rank, groups[commId][rank]
            assert (ndev, self.group.size) == (2, 2)

        def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):  # noqa: N802
            assert (count, op, stream) == (sendbuf.size, "sum", 7)
            assert datatype == {4: "f32", 8: "f64"}[sendbuf.itemsize]
            recvbuf[...] = np.sum(self.group.all_gather(sendbuf.copy()), axis=0)

        def bcast(self, buff, count, datatype, root, stream):
            assert (count, root, stream) == (buff.size, 0, 7)
            buff[...] = self.group.all_gather(buff.copy())[root]

    nccl = types.ModuleType("cupy.cuda.nccl")
    nccl.NCCL_FLOAT32, nccl.NCCL_FLOAT64, nccl.NCCL_SUM = "f32", "f64", "sum"
    nccl.get_unique_id, nccl.NcclCommunicator = lambda: (1, 2), NcclCommunicator
    cuda = types.ModuleType("cupy.cuda")
    cuda.nccl, cuda.get_current_stream = nccl, lambda: types.SimpleNamespace(ptr=7)
    cupy = types.ModuleType("cupy")
    cupy.cuda = cuda
    for module in (cupy, cuda, nccl):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "bpnet_backends._nccl", raising=False)
    kind = importlib.import_module("bpnet_backends._nccl").NcclGroup
    yield kind, groups
    del sys.modules["bpnet_backends._nccl"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nccl(nccl_group, dtype):
    kind, groups = nccl_group

    def run(group):
        group.all_gather(groups.setdefault((1, 2), {}).update({group.rank: group}))
        connected = kind(group.rank, group.size, lambda value: group.all_gather(value)[0])
        mine = np.full(5, 1.0 + group.rank, dtype).view(Array)
        return connected.all_reduce(mine).tolist(), connected.broadcast(
            mine + group.rank
        ).tolist()

    assert run_together(2, run) == [([3.0] * 5, [3.0] * 5)] * 2


@pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
def test_nccl_needs_a_backend_that_it_connects():
    nccl = NCCL.__new__(NCCL)
    nccl.rank, nccl.size, nccl._groups = 0, 1, {}
    with pytest.raises(ValueError, match=r"GPUs of CuPy, but the backend is 'numpy:cpu'"):
        nccl.all_reduce(np.ones(2), bpnet.get_backend("numpy"))
