"""The file that a command writes: whether it can, checked before the command computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpnet.cli.failures import UserError
from bpnet.serialization import safetensors_file


def new_file(option: str, name: str, endings: Sequence[str], force: bool) -> Path:
    """Return the path of a file to write, which exists only if `force` lets it be replaced.

    Raises
    ------
    UserError
        If it has another ending, is a folder or exists, or its folder cannot be written.
    """
    path = Path(name)
    if path.suffix.lower() not in endings:
        raise UserError(f"argument {option}: must end in {' or '.join(endings)}, got {name!r}")
    if path.is_dir():
        raise UserError(f"argument {option}: {name!r} is a folder")
    if path.exists() and not force:
        raise UserError(f"{name!r} exists already; pass --force to replace it")
    if not path.parent.is_dir():
        raise UserError(f"argument {option}: there is no folder {str(path.parent)!r}")
    try:
        safetensors_file.check_writable(path)
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = (getattr(error, "strerror", None) or str(error)).partition(";")[0]
        raise UserError(f"argument {option}: cannot write {name!r}: {reason}") from None
    return path
