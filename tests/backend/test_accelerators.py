"""PyTorch's and JAX's backends on accelerators, with stand-ins for their runtimes."""

from __future__ import annotations

import types

import numpy as np
import pytest

import bpnet


@pytest.fixture
def torch(monkeypatch):
    """PyTorch with two GPUs of 1000 free bytes and Apple's MPS; `waited` lists its waits."""
    torch = pytest.importorskip("torch")
    waited = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    return types.SimpleNamespace(torch=torch, waited=waited)


@pytest.fixture
def backend_of_torch(torch):
    from bpnet_backends.torch import TorchBackend

    return TorchBackend


def test_torch_lists_accelerators_first(backend_of_torch):
    assert backend_of_torch.devices() == ("cuda:0", "cuda:1", "mps", "cpu")


def test_cuda_is_the_gpu_that_is_current_in_torch(backend_of_torch, torch, monkeypatch):
    assert backend_of_torch.canonical_device("cuda") == "cuda:1"
    monkeypatch.setattr(torch.torch.cuda, "is_available", lambda: False)
    assert backend_of_torch.canonical_device("cuda") == "cuda:0"


def test_mps_refuses_float64(backend_of_torch):
    with pytest.raises(TypeError, match="MPS has no float64; use dtype='float32'"):
        backend_of_torch("mps").asarray(np.ones(2), "float64")


def test_torch_leaves_half_of_a_gpus_free_memory(backend_of_torch):
    gpu = backend_of_torch("cuda:1")
    assert gpu.fits(500)
    assert not gpu.fits(501)
    assert backend_of_torch("mps").fits(10**12)


def test_torch_waits_for_its_accelerator(backend_of_torch, torch):
    for device in ("cuda:1", "mps", "cpu"):
        backend_of_torch(device).synchronize()
    assert torch.waited == ["cuda:1", "mps"]


@pytest.fixture
def devices(monkeypatch):
    """Make JAX find these devices by platform; None is an error, as for a disabled one."""
    jax = pytest.importorskip("jax")

    def install(**numbers):
        def find(platform=None):
            count = numbers.get(platform or next(iter(numbers)))
            if count is None:
                raise RuntimeError("Unable to initialize backend")
            name = platform or next(iter(numbers))
            return [types.SimpleNamespace(platform=name, id=i) for i in range(count)]

        monkeypatch.setattr(jax, "devices", find)

    return install


def test_jax_lists_accelerators_first(devices):
    from bpnet_backends.jax import JaxBackend

    devices(gpu=2, cpu=1)
    assert JaxBackend.devices() == ("gpu:0", "gpu:1", "cpu:0")
    devices(gpu=1)
    assert JaxBackend.devices() == ("gpu:0",)
    devices(cpu=1)
    assert JaxBackend.devices() == ("cpu:0",)


def test_jax_without_a_device_is_an_error(devices):
    from bpnet_backends.jax import JaxBackend

    devices(gpu=None)
    with pytest.raises(bpnet.NoDeviceError, match="JAX is installed, but found no device"):
        JaxBackend.devices()
