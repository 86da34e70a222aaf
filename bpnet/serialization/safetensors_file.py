"""A model file: tensors and a JSON document in one safetensors file, whole or not there.

The format is that of https://github.com/huggingface/safetensors: 8 bytes with the length of
a JSON header, the header, the tensors. Its metadata has two entries: "bpnet", the document,
and "sha256", which is taken over the document and all tensors. Nothing in it is ever executed.
Numbers in the document are as Python's json writes them, NaN and Infinity among them.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bpnet.errors import ModelFileError

VERSION = 1
# A header has about 100 bytes for a tensor. Parsed, it takes up to 30 times its size.
HEADER_LIMIT = 4 * 2**20
# A killed writer leaves its temporary file; nobody writes for so many seconds without pause.
_ABANDONED = 3600.0
_DTYPES = {"F32": "<f4", "F64": "<f8"}

Tensors = dict[str, Any]


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "model files need safetensors; install it with: pip install safetensors"
        ) from error
    return safetensors


# --- writing ------------------------------------------------------------------------------


def encode(document: Mapping[str, Any], tensors: Tensors) -> bytes:
    """Give the bytes of a model file.

    Parameters
    ----------
    document : dict
        What JSON can hold.
    tensors : dict of str to numpy.ndarray
        Arrays of float32 or float64.
    """
    tensors = {name: np.asarray(t, order="C") for name, t in tensors.items()}
    text = json.dumps({"version": VERSION, **document})
    metadata = {"bpnet": text, "sha256": _checksum(text, tensors)}
    content: bytes = _safetensors().numpy.save(tensors, metadata)
    if int.from_bytes(content[:8], "little") > HEADER_LIMIT:
        raise ValueError(
            f"the network's description and list of tensors take more than "
            f"{HEADER_LIMIT} bytes, the most that a model file may have; save fewer layers"
        )
    return content


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Put a file in place of the one before: at every moment there is one of the two, whole.

    The bytes go to a temporary file in the same folder and to the disk, and only then get
    the name. A symbolic link is followed: it stays, and its target is replaced.

    Raises
    ------
    OSError
        If it cannot be written; the file before is then as it was.
    """
    target = Path(os.path.realpath(os.fsdecode(path)))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if target.is_symlink():
            raise OSError(errno.ELOOP, "its symbolic links lead in a circle")
        _sweep(target)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        reason = f"{error.strerror}; nothing was written, and a file before is as it was"
        raise OSError(error.errno, reason, os.fsdecode(path)) from error


def _sync_folder(folder: Path) -> None:
    """Get the new name to the disk, too, where the system can open a folder."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(target: Path) -> None:
    """Remove what killed writers of this file have left."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):  # another writer may have swept it
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


# --- reading ------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Tensors]:
    """Give the document and the tensors of a model file, after all checks.

    Memory is bounded by about twice the size of the file.

    Raises
    ------
    ModelFileError
        If it is no whole model file, or one of a newer bpnet.
    OSError
        If it cannot be read.
    """
    safetensors, path = _safetensors(), os.fsdecode(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        _refuse(path, "is a folder or a device, not a file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if not 2 <= length <= min(size - 8, HEADER_LIMIT):
            _refuse(
                path,
                f"is no model file, or only the beginning of one: it has {size} bytes, and "
                f"its header should have {length} (at most {HEADER_LIMIT})",
            )
        header = file.read(length)
        document, text, checksum = _document(path, header, size - 8 - length)
        file.seek(0)
        try:
            entries = safetensors.deserialize(file.read(size))
        except safetensors.SafetensorError as error:
            _refuse(path, f"is damaged: {str(error)[:200]}")
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            _refuse(path, f"has a tensor of dtype {entry['dtype']}; bpnet writes F32 and F64")
        flat = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"]).astype(flat.dtype.newbyteorder("="))
    if _checksum(text, tensors) != checksum:
        _refuse(path, "is damaged: its contents do not have the checksum that was written")
    return document, tensors


def _document(path: str, header: bytes, n_bytes: int) -> tuple[dict[str, Any], str, str]:
    """Give the document as dict and as text, and the checksum."""
    try:
        entries = json.loads(header)
        metadata = entries.pop("__metadata__")
        text, checksum = metadata["bpnet"], metadata["sha256"]
        ends = [entry["data_offsets"][1] for entry in entries.values()]
        document = json.loads(text)
        text.encode()
        version = document["version"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        _refuse(path, f"has no header that bpnet has written, or a damaged one ({reason})")
    if not isinstance(version, int) or version < 1:
        _refuse(path, "is damaged: its format has no version")
    if version > VERSION:
        _refuse(
            path,
            f"has version {version} of the format, and this bpnet reads up to {VERSION}; "
            f"install a newer bpnet",
        )
    if not all(isinstance(end, int) for end in ends) or max(ends, default=0) != n_bytes:
        _refuse(path, f"is damaged: {n_bytes} bytes of tensors do not match its header")
    return document, text, checksum


def _refuse(path: str, reason: str) -> NoReturn:
    raise ModelFileError(f"{path} {reason}")


def _checksum(text: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype.name}\0{tensor.shape}\0".encode())
        digest.update(np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
