"""What all processes must have in common, and what they share before they train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bpnet.distributed.base import Communicator


def check_agreement(communicator: Communicator, settings: Mapping[str, Any]) -> None:
    """Refuse, in all processes, settings that differ between them.

    Raises
    ------
    ValueError
        It names the first that differs, and a process that differs from process 0.
    """
    every = communicator.all_gather(dict(settings))
    for name, value in every[0].items():
        for rank, theirs in enumerate(every):
            if theirs[name] != value:
                raise ValueError(
                    f"all processes must pass the same {name} to fit; process 0 has "
                    f"{_short(value)}, process {rank} has {_short(theirs[name])}. For examples "
                    f"of its own in each process pass "
                    f"communicator=bpnet.distributed.MPI(shards=True); to train a network in "
                    f"each process alone, communicator=None"
                )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
