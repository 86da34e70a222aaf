"""Model files: tensors and a JSON document in one safetensors file, written atomically.

The format is that of https://github.com/huggingface/safetensors: 8 bytes with the length of
a JSON header, the header, the tensors. The metadata has two entries: "bpnet", the document,
and "sha256", the checksum of the document and all tensors. Nothing in a file is ever executed.
Numbers in the document are written by Python's json, including NaN and Infinity.
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

VERSION = 3
# A header takes about 100 bytes per tensor. Parsing it takes up to 30 times its size in memory.
HEADER_LIMIT = 4 * 2**20
# Seconds after which a temporary file is taken to be left by a killed writer.
_ABANDONED = 3600.0
_DTYPES = {"F32": "<f4", "F64": "<f8"}

Tensors = dict[str, Any]
# Consecutive parts of a file.
Content = tuple[bytes | memoryview, ...]


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "model files need safetensors; install it with: pip install safetensors"
        ) from error
    return safetensors


# --- writing ------------------------------------------------------------------------------


def encode(document: Mapping[str, Any], tensors: Tensors) -> Content:
    """Return the bytes of a model file, equal for equal contents.

    Parameters
    ----------
    document : dict
        JSON-serializable data.
    tensors : dict of str to numpy.ndarray
        Arrays of float32 or float64.
    """
    tensors = {name: np.asarray(t, order="C") for name, t in tensors.items()}
    text = json.dumps({"version": VERSION, **document})
    metadata = {"bpnet": text, "sha256": _checksum(text, tensors)}
    content: bytes = _safetensors().numpy.save(tensors, metadata)
    length = int.from_bytes(content[:8], "little")
    if length > HEADER_LIMIT:
        raise ValueError(
            f"the description of the network and its tensors exceeds {HEADER_LIMIT} bytes, the "
            f"limit of a model file; save fewer layers"
        )
    return _ordered(content[8 : 8 + length]), memoryview(content)[8 + length :]


def _ordered(header: bytes) -> bytes:
    """Return a header with its length, its metadata in order: safetensors writes it in any."""
    entries = json.loads(header)
    metadata = dict(sorted(entries.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # as safetensors aligns tensors
    return len(text).to_bytes(8, "little") + text


def write(path: str | os.PathLike[str], content: Content) -> None:
    """Write or replace a file atomically.

    The bytes are written and synced to a temporary file in the same folder, which is then
    renamed. A symbolic link is followed: it stays, and its target is replaced.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file is left unchanged.
    """
    target = Path(os.path.realpath(os.fsdecode(path)))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if target.is_symlink():
            raise OSError(errno.ELOOP, "its symbolic links form a loop")
        _remove_abandoned(target)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            with open(temporary, "xb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        reason = f"{error.strerror}; nothing was written, and any existing file is unchanged"
        raise OSError(error.errno, reason, os.fsdecode(path)) from error


def _sync_folder(folder: Path) -> None:
    """Sync the rename to disk, where the system can open a folder."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove temporary files left by killed writers of this file."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):  # another writer may have removed it
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


# --- reading ------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Tensors]:
    """Return the document and the tensors of a model file, fully checked.

    Memory is bounded by about twice the size of the file.

    Raises
    ------
    ModelFileError
        If the file is not an intact model file, or was written by a newer bpnet.
    OSError
        If the file cannot be read.
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
                f"is not a model file, or is truncated: it has {size} bytes, and its header "
                f"should have {length} (at most {HEADER_LIMIT})",
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
        _refuse(path, "is damaged: its contents do not match their checksum")
    return document, tensors


def _document(path: str, header: bytes, n_bytes: int) -> tuple[dict[str, Any], str, str]:
    """Return the document as dict and as text, and the checksum."""
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
        _refuse(path, f"has a header that is damaged or not written by bpnet ({reason})")
    if not isinstance(version, int) or version < 1:
        _refuse(path, "is damaged: its format has no version")
    if version > VERSION:
        _refuse(
            path,
            f"has version {version} of the format, but this bpnet reads versions up to "
            f"{VERSION}; install a newer bpnet",
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
