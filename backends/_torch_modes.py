"""Modes of PyTorch that a program may have entered for its own code, not for bpnet's.

A default device, ``torch.autocast``, ``torch.inference_mode``, fake tensors, and all others
that intercept operations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import _pop_mode, _push_mode
from torch.utils._python_dispatch import _disable_current_modes

_n_function_modes = torch._C._len_torch_function_stack
_n_dispatch_modes = torch._C._len_torch_dispatch_stack


def without_modes(device_type: str) -> AbstractContextManager[Any]:
    """Return a context outside of all modes of this thread; a no-op if there are none."""
    # A default device is a function mode, too.
    is_set = (
        _n_function_modes()
        or _n_dispatch_modes()
        or torch.is_inference_mode_enabled()
        or torch.is_autocast_enabled(device_type)
    )
    return _outside(device_type) if is_set else contextlib.nullcontext()


@contextlib.contextmanager
def _outside(device_type: str) -> Iterator[None]:
    with (
        _without_function_modes(),
        _disable_current_modes(),
        torch.inference_mode(False),
        torch.autocast(device_type, enabled=False),
    ):
        yield


@contextlib.contextmanager
def _without_function_modes() -> Iterator[None]:
    modes = [_pop_mode() for _ in range(_n_function_modes())]
    try:
        yield
    finally:
        for mode in reversed(modes):
            _push_mode(mode)
