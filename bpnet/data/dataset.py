"""Validated examples and the backend they are on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend, get_backend
from bpnet.backend.transfer import device_context, is_sparse, to_device
from bpnet.backend.typing import Array
from bpnet.data.deferred import Deferred, is_large, take

# Bytes that are moved to the host and hashed at a time.
_BLOCK = 2**24
# Rows that were hashed of the examples of older files.
_SAMPLED = 256


class Dataset(NamedTuple):
    """Validated examples.

    Attributes
    ----------
    X : array (m, n_0)
        Features; large ones may be a :class:`Deferred`, those of an estimator a SciPy CSR
        matrix, of which rows become an array when they are read.
    y : array (m,) of int64 or (m, n_L)
        Targets.
    w : array (m,) or None
        Sample weights.
    owner : Backend or None
        The backend of the arrays; None for host (NumPy) arrays.
    dtype : str
        Name of the dtype of X.
    """

    X: Array
    y: Array
    w: Array | None
    owner: Backend | None
    dtype: str

    @property
    def n_rows(self) -> int:
        """Number of examples m."""
        return int(self.X.shape[0])

    @property
    def n_inputs(self) -> int:
        """Number of features n_0."""
        return int(self.X.shape[1])

    @property
    def is_sparse(self) -> bool:
        """Whether X is a SciPy sparse matrix."""
        return is_sparse(self.X)

    def is_read_in_parts(self, backend: Backend) -> bool:
        """Whether X stays as it is, large, and rows of it become arrays of the backend."""
        apart = self.is_sparse or (isinstance(self.X, Deferred) and backend.on_host)
        return apart and is_large(self.X.shape, self.dtype)

    def fits(self, backend: Backend) -> bool:
        """Whether to keep all of the arrays on a backend."""
        if self.owner == backend:
            return True
        return not self.is_read_in_parts(backend) and backend.fits(self.nbytes)

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes when dense; labels are int64."""
        itemsize = 4 if self.dtype == "float32" else 8
        floats = sum(math.prod(a.shape) for a in (self.X, self.y, self.w) if a is not None)
        labels = self.n_rows if self.y.ndim == 1 else 0
        return int(itemsize * floats + (8 - itemsize) * labels)

    @property
    def total_weight(self) -> float:
        """Sum of the weights, computed on the host; without weights, the number of examples."""
        if self.w is None:
            return float(self.n_rows)
        w = self.w if self.owner is None else self.owner.to_numpy(self.w)
        return float(w.sum(dtype=float))

    def fingerprint(self) -> list[Any]:
        """Return the numbers of examples and features, and a hash of all examples.

        The hash is BLAKE2b (RFC 7693) of the values in the dtype of the network, the same on
        every backend. Arrays are moved to the host block by block, and sparse ones densified.
        """
        host, digest = get_backend("numpy"), hashlib.blake2b(digest_size=32)
        for array in self[:3]:
            digest.update(b"none\0" if array is None else f"{tuple(array.shape)}\0".encode())
            for rows in self._blocks(array):
                _update(digest, to_device(array, host, rows))
        return [self.n_rows, self.n_inputs, f"blake2b:{digest.hexdigest()}"]

    def sampled_fingerprint(self) -> list[Any]:
        """Return the fingerprint that older files have: a hash of up to 256 examples."""
        rows = np.linspace(0, self.n_rows - 1, min(_SAMPLED, self.n_rows)).astype(np.int64)
        some = self.take(rows).to_host()
        X = some.X.toarray() if some.is_sparse else some.X
        digest = hashlib.sha256()
        for array in (X, some.y, some.w):
            if array is not None:
                _update(digest, array)
        return [self.n_rows, self.n_inputs, digest.hexdigest()]

    def _blocks(self, array: Array | None) -> Iterator[slice]:
        """Yield the rows of an array in blocks of about `_BLOCK` bytes; of None, none."""
        if array is not None:
            step = max(1, _BLOCK // (8 * math.prod(array.shape[1:])))
            for start in range(0, self.n_rows, step):
                yield slice(start, min(start + step, self.n_rows))

    def parts(self, rows: int) -> Generator[Dataset, None, None]:
        """Yield these examples, as a stream yields its own in parts of such a multiple."""
        yield self

    def arrays_on(
        self, backend: Backend, rows: slice | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Return features, targets and weights on a backend, or some rows of them."""
        w = None if self.w is None else to_device(self.w, backend, rows)
        return to_device(self.X, backend, rows), to_device(self.y, backend, rows), w

    def with_moderate_weights(self) -> tuple[Dataset, float]:
        """Return these examples with weights times a power of two, and that factor.

        Products with weights near the ends of the dtype's range would under- or overflow.
        Other weights are left alone.
        """
        total, limit = self.total_weight, math.sqrt(np.finfo(self.dtype).smallest_normal)
        if self.w is None or total == 0.0 or limit < total < 1.0 / limit:
            return self, 1.0
        factor = 2.0 ** -math.floor(math.log2(total))
        with device_context(self.owner):
            return self._replace(w=self.w * factor), factor

    def to_device(self, backend: Backend) -> Dataset:
        """Return the same examples on a backend."""
        return Dataset(*self.arrays_on(backend), backend, self.dtype)

    def to_host(self) -> Dataset:
        """Return the same examples as NumPy arrays."""
        if (owner := self.owner) is None:
            return self
        X, y, w = (None if a is None else owner.to_numpy(a) for a in self[:3])
        return Dataset(X, y, w, None, self.dtype)

    def take(self, indices: Any) -> Dataset:
        """Return the examples at some indices, a host array."""
        if (owner := self.owner) is None:
            w = None if self.w is None else self.w[indices]
            return Dataset(take(self.X, indices), self.y[indices], w, None, self.dtype)
        with owner.activate():
            xp, index = owner.xp, owner.asarray(np.asarray(indices, dtype=np.int64))
            w = None if self.w is None else xp.take(self.w, index)
            X, y = xp.take(self.X, index, axis=0), xp.take(self.y, index, axis=0)
            return Dataset(X, y, w, owner, self.dtype)


def _update(digest: Any, array: Any) -> None:
    """Hash the bytes of a host array, as a little-endian machine has them."""
    digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
