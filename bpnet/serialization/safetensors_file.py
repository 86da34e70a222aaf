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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bpnet.errors import ModelFileError

VERSION = 3
# A header takes about 100 bytes per tensor. Parsing it takes up to 30 times its size in memory.
HEADER_LIMIT = 4 * 2**20
# Seconds after which a temporary file is taken to be left by a killed writer.
_ABANDONED = 3600.0
# Bytes of a name beyond which its hash stands for it in the names of temporary files.
_LONG_NAME = 200
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
        If the file cannot be written, or something else than a file is there; it is left
        unchanged.
    """
    with _nothing_written(path):
        target = _target(path)
        _remove_abandoned(target)
        with _temporary(target) as temporary:
            with open(temporary, "xb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        _sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError of :func:`write` if a file cannot be written; creates nothing."""
    with _nothing_written(path):
        target = _target(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
        with _temporary(target) as temporary:
            open(temporary, "xb").close()


@contextlib.contextmanager
def _nothing_written(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let the error of a file that was not written say so."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}; nothing was written, and any existing file is unchanged"
        raise OSError(error.errno, reason, os.fsdecode(path)) from error


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the file that a path stands for, which must be one or not exist yet."""
    text = os.fsdecode(path)
    if not text or text.endswith(os.sep):
        raise IsADirectoryError(errno.EISDIR, "it names a folder, not a file")
    target = Path(os.path.realpath(text))
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(target).st_mode  # raises ENAMETOOLONG, too
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "its symbolic links form a loop")
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, "it is a device, pipe or socket, not a file")
    return target


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Yield the path of a new file beside a target, which is removed if it is still there."""
    path = target.with_name(f"{_prefix(target.name)}{secrets.token_hex(8)}.tmp")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _prefix(name: str) -> str:
    """Return how the names of a file's temporary files begin: none is too long."""
    encoded = os.fsencode(name)
    if len(encoded) <= _LONG_NAME:
        return f".{name}."
    return f".{hashlib.blake2b(encoded, digest_size=16).hexdigest()}."


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
    for left in target.parent.glob(f"{glob.escape(_prefix(target.name))}*.tmp"):
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
        try:
            shaped = flat.reshape(entry["shape"])
        except (ValueError, OverflowError) as error:  # of no size, so that any shape is claimed
            _refuse(path, f"is damaged: a tensor has no possible shape ({str(error)[:100]})")
        tensors[name] = shaped.astype(flat.dtype.newbyteorder("="))
    if _checksum(text, tensors) != checksum:
        _refuse(path, "is damaged: its contents do not match their checksum")
    return document, tensors


def _document(path: str, header: bytes, n_bytes: int) -> tuple[dict[str, Any], str, str]:
    """Return the document as dict and as text, and the checksum."""
    try:
        entries = json.loads(header, object_pairs_hook=_unique)
        metadata = entries.pop("__metadata__")
        text, checksum = metadata["bpnet"], metadata["sha256"]
        ends = [entry["data_offsets"][1] for entry in entries.values()]
        document = json.loads(text, object_pairs_hook=_unique)
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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, whose keys must differ: readers take different ones of two."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in an object")
    return found


def _refuse(path: str, reason: str) -> NoReturn:
    raise ModelFileError(f"{path} {reason}")


def _checksum(text: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype.name}\0{tensor.shape}\0".encode())
        digest.update(np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
