"""Whether a table fits into memory, before it is read: no system kills the command then."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from bpnet.cli.data_files import Source
from bpnet.cli.failures import UserError
from bpnet.cli.plan import Plan

# Bytes of memory for each byte of a file, by its kind. Training on a CSV of 200,000 flights
# with 20 columns took 12; other files are denser.
_GROWTH = {"CSV": 12.0, "Parquet": 30.0, "npy": 8.0, "npz": 8.0, "libsvm": 12.0}
# What a compressed file takes more.
_COMPRESSION = 5.0
# Bytes of the columns of categories.
_MOST_ONE_HOT = 1e9
_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"


def shortage(source: Source) -> str | None:
    """Return why a file does not fit into memory with what training needs; None if it does.

    None also where it is unknown how much memory is free.
    """
    free, size = available(), os.path.getsize(source.path)
    need = size * _GROWTH[source.kind]
    need *= _COMPRESSION if source.path.lower().endswith((".gz", ".zst")) else 1.0
    if free is None or need <= free:
        return None
    return (
        f"training on all of {source.path!r} ({_gigabytes(size)}) at once needs some "
        f"{_gigabytes(need)} of memory, and {_gigabytes(free)} are free"
    )


def check_categories(plan: Plan, preset: str) -> None:
    """Refuse categories of so many levels that a column for each makes the table huge.

    Raises
    ------
    UserError
        If `preset` adds a column for each level, and the table has more than a gigabyte.
    """
    texts = [column for column in plan.features if column.kind == "text"]
    size = 8 * len(plan.y) * sum(column.n_distinct for column in texts)
    if preset != "td" and size > _MOST_ONE_HOT:
        most = max(texts, key=lambda column: column.n_distinct)
        raise UserError(
            f"column {most.name!r} has {most.n_distinct:,} categories; with a column for each, "
            f"as of --preset {preset}, the table has {_gigabytes(size)}; pass --preset td, "
            f"which learns vectors, or --drop {shlex.quote(most.name)}"
        )


def available() -> float | None:
    """Return the bytes of memory that are free, or None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        entries = dict(line.split(":") for line in lines)
        free = 1024.0 * int(entries["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return None
    try:  # a container may have less
        most, used = (float(Path(name).read_text(encoding="ascii")) for name in _LIMITS)
    except (OSError, ValueError):  # no container, or "max"
        return free
    return min(free, most - used)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
