"""The device of each process: by default, one GPU for each."""

from __future__ import annotations

import os

from bpnet.backend import Backend
from bpnet.backend.registry import VARIABLE, current_block, get_backend


def local_backend(
    spec: str | Backend | None, local_rank: int, is_chosen: bool = False
) -> str | Backend | None:
    """Return the backend of one of several processes on a machine.

    A name without the number of a device, such as "cupy" or "torch:cuda", is the GPU of the
    process' local rank; if there are fewer, they take turns. What has a number stays.

    Parameters
    ----------
    spec : str, Backend or None
        As the argument of ``fit``; None also stands for the environment variable, unless the
        backend is chosen otherwise (`is_chosen`, or by a ``use_backend`` block).
    local_rank : int
        The number of the process among those on the machine.
    """
    if spec is None and not is_chosen and current_block() is None:
        spec = os.environ.get(VARIABLE, "").strip() or None
    if not isinstance(spec, str) or spec[-1:].isdigit():
        return spec
    found = get_backend(spec)
    kind = found.device.rstrip("0123456789")
    alike = [d for d in type(found).devices() if d.rstrip("0123456789") == kind]
    if kind.startswith("cpu") or len(alike) < 2:
        return found
    return get_backend(f"{found.name}:{alike[local_rank % len(alike)]}")
