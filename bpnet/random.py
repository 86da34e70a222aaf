"""Random numbers that are identical on every backend.

The Array API standard has none. Initial weights and shuffles come from NumPy generators on the
host, one stream per purpose. Dropout masks are computed on the device by a stateless
counter-based hash in standard integer operations, with the same bits on any device.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_choice, check_integer

_LOW_32 = 0xFFFFFFFF
_PURPOSES = ("weights", "shuffle", "mask", "split", "sample")


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return a NumPy generator for one purpose, independent of those for all others.

    Parameters
    ----------
    seed : int
        The seed of the network, >= 0.
    purpose : {"weights", "shuffle", "mask", "split", "sample"}
        What the numbers are for.
    *counters : int
        Index within the purpose, such as the layer or the epoch.

    Examples
    --------
    >>> a = generator(0, "shuffle", 3).permutation(5)
    >>> b = generator(0, "shuffle", 3).permutation(5)
    >>> bool((a == b).all())
    True
    """
    index = _PURPOSES.index(check_choice("purpose", purpose, _PURPOSES))
    key = (index, *(check_integer("counters", counter, 0) for counter in counters))
    entropy = check_integer("seed", seed, 0)
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=key))


def mask_key(seed: int, layer: int) -> int:
    """Return the 32-bit key from which a layer's masks are hashed."""
    return int(generator(seed, "mask", check_integer("layer", layer, 0)).integers(2**32))


def nested_key(key: int | Array, position: int) -> Any:
    """Return the 32-bit key of the masks of a layer nested in another, at a position from 0.

    Different for each position and each key of the layer around it, which is an int or a 0-d
    array of int64.
    """
    return _mix((key + (position + 1) * 0x9E3779B9) & _LOW_32)


def fresh_seed() -> int:
    """Draw a seed from the operating system, for a network without one."""
    return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])


def uniform_bits(
    xp: Namespace, shape: tuple[int, int], key: int | Array, step: Array,
    first_row: int | None = None,
) -> Array:  # fmt: skip
    """Hash the counters (key, step, row, column) to 32 uniform bits each.

    Parameters
    ----------
    xp : namespace
        Array API namespace.
    shape : (int, int)
        Rows and columns.
    key : int or 0-d array of int64
        32-bit key of the stream.
    step : 0-d integer array
        Training step; the result is on its device.
    first_row : int or None, default None
        The number of the first row, if the rows are part of a larger batch; None is 0.

    Returns
    -------
    array of int32, shape `shape`
        The hashes minus 2**31, so in [-2**31, 2**31), as torch has no uint32 arithmetic.
    """
    # Hashing rows and columns separately leaves one round of mixing for the full matrix.
    where = device(step)
    start = first_row or 0
    rows = xp.arange(start, start + shape[0], dtype=xp.int64, device=where)
    columns = xp.arange(shape[1], dtype=xp.int64, device=where)
    stream = _mix(xp.astype(xp.reshape(step, (1,)), xp.int64) ^ key)
    rows = _as_int32(xp, _mix(_mix(rows) ^ stream))
    columns = _as_int32(xp, _mix((columns + 0x9E3779B9) & _LOW_32))
    return _mix_int32(rows[:, None] ^ columns[None, :]) ^ -(2**31)


def _mix(x: Any) -> Any:
    """Mix 32 bits: `lowbias32` of Chris Wellons, "Prospecting for hash functions", 2018.

    The second multiplier is the negative number congruent to 0x846CA68B modulo 2**32, so that
    products of 32-bit numbers fit into int64.
    """
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _LOW_32
    x = ((x ^ (x >> 15)) * (0x846CA68B - 2**32)) & _LOW_32
    return x ^ (x >> 16)


def _mix_int32(x: Array) -> Array:
    """Mix the bits of int32 as `_mix` does, in a third of the time.

    Products wrap around, which the standard leaves open and all libraries here do; shifts
    repeat the sign, which is masked.
    """
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D
    x = (x ^ ((x >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)


def _as_int32(xp: Namespace, x: Array) -> Array:
    """Return the int32 with the same low 32 bits as an int64 in [0, 2**32)."""
    return xp.astype((x ^ 2**31) - 2**31, xp.int32)
