"""Where the batches of training come from.

A :class:`Loader` yields the batches of each epoch. Arrays passed to ``fit`` get one of
:mod:`bpnet.data.array_loaders`; a loader of the user's own is wrapped by
:class:`bpnet.data.checked_loader.CheckedLoader`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_integer, check_number, check_sequence, kind_of
from bpnet.data.dataset import Dataset
from bpnet.data.frames import as_numbers, is_tabular
from bpnet.errors import ComponentError
from bpnet.random import generator

# order(epoch, rows) returns the order of the examples in an epoch, counted from 0 over all
# training runs of the model.
Order = Callable[[int, int], Any]


def in_order(epoch: int, rows: int) -> Any:
    """Return the order of the examples without shuffling."""
    return np.arange(rows)


class Shuffled:
    """Random orders of the examples, each determined by the seed and the epoch alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, epoch: int, rows: int) -> Any:
        """Return the order in an epoch."""
        return generator(self.seed, "shuffle", epoch).permutation(rows)


class Piece(NamedTuple):
    """Consecutive batches of an epoch.

    Attributes
    ----------
    arrays : dict
        The arrays "X", "y", "w" and "order" of :mod:`bpnet.training.step`, the last on the
        host or the backend. A loader of your own yields "X", "y" and perhaps "w", whose rows
        are those of the batches in order.
    sizes : list of int
        The number of examples in each batch, all but the last `batch_size`. [] is one batch of
        all rows.
    """

    arrays: dict[str, Any]
    sizes: list[int]


class Loader:
    """Source of the batches of training, for examples that are not in two arrays.

    Subclass it, pass the numbers below to ``super().__init__``, and define :meth:`batches`.
    ``net.fit(loader)`` checks each batch like X and y, and moves it to the backend. Batches
    that differ from these numbers raise :class:`bpnet.ComponentError`; the network then has the
    weights of the last good epoch.

    Parameters
    ----------
    n_rows : int
        Examples in an epoch.
    n_inputs : int
        Number of features.
    batch_size : int
        Examples in a batch, or in the largest; more than `n_rows` is `n_rows`.
    total_weight : float or None, default None
        Sum of the sample weights in an epoch; None if batches have no weights.
    sizes : iterable of int or None, default None
        The sizes of batches that occur, each of which compiles a step. None is `batch_size` and
        the remainder.
    n_batches : int or None, default None
        Batches in an epoch. None is ``n_rows / batch_size``, rounded up.

    Attributes
    ----------
    n_rows, n_inputs, batch_size, total_weight, sizes, n_batches
        As above; `total_weight` is the number of examples if there are no weights.
    weighted : bool
        Whether batches have weights.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.

    Notes
    -----
    A shard: with several processes, the loader of each yields only its own rows, and all its
    numbers, `total_weight` too, describe these rows alone. `total_weight` only scales the
    epoch's loss, which is thus the mean over the shard; the loss of all shards is the mean of
    theirs, weighted by their `total_weight`. To step together, shards need equal `n_batches`.

    A stream: :meth:`begin_epoch` remembers where the epoch begins, so that its batches can be
    read again; :meth:`place` and :meth:`seek` store and restore the position in checkpoints.

    Examples
    --------
    Examples that are computed, not stored:

    >>> import bpnet
    >>> import numpy as np
    >>> class Sums(bpnet.Loader):
    ...     def __init__(self):
    ...         super().__init__(n_rows=100, n_inputs=2, batch_size=20)
    ...     def batches(self, epoch):
    ...         rng = np.random.default_rng(epoch)
    ...         for _ in range(self.n_batches):
    ...             X = rng.normal(size=(20, 2))
    ...             yield X, X.sum(axis=1)
    >>> net = bpnet.Network([bpnet.Dense(1)], loss="mean_squared_error", seed=0)
    >>> history = net.fit(Sums(), optimizer=bpnet.SGD(0.1), epochs=5)
    >>> history["loss"][-1] < 0.01 * history["loss"][0]
    True
    """

    _epoch = 0
    _announced = "as given in __init__"

    def __init__(
        self,
        n_rows: int,
        n_inputs: int,
        batch_size: int,
        *,
        total_weight: float | None = None,
        sizes: Iterable[int] | None = None,
        n_batches: int | None = None,
    ) -> None:
        self.n_rows = check_integer("n_rows", n_rows, 1)
        self.n_inputs = check_integer("n_inputs", n_inputs, 1)
        self.batch_size = min(check_integer("batch_size", batch_size, 1), self.n_rows)
        self.weighted = total_weight is not None
        self.total_weight = float(self.n_rows)
        if total_weight is not None:
            self.total_weight = check_number("total_weight", total_weight, 0.0, above=True)
        self.sizes = frozenset({self.batch_size, self.n_rows % self.batch_size} - {0})
        if sizes is not None:
            self.sizes = _checked_sizes(sizes, self.batch_size)
        self.n_batches = -(-self.n_rows // self.batch_size)
        if n_batches is not None:
            self.n_batches = check_integer("n_batches", n_batches, 1)
        low, high = (self.n_batches * size for size in (min(self.sizes), max(self.sizes)))
        if not low <= self.n_rows <= high:
            raise ValueError(
                f"n_batches={self.n_batches} batches of sizes {sorted(self.sizes)} hold "
                f"{low} to {high} examples; got n_rows={self.n_rows}"
            )

    def begin_epoch(self, epoch: int) -> None:
        """Prepare an epoch; called once, before its batches. An override calls ``super()``.

        Parameters
        ----------
        epoch : int
            Counted from 0 over all training runs of the network; the next run repeats the
            number of an epoch that was interrupted or failed.
        """
        self._epoch = epoch

    def batches(self, epoch: int) -> Iterable[tuple[Any, ...]]:
        """Yield the batches of an epoch, in order, as (X, y) or (X, y, weights).

        Called again for the same epoch, it must yield the same batches: bpnet repeats an epoch
        to find where a NaN began. Arrays are those that ``fit`` accepts, and stay unchanged
        until the epoch ends.
        """
        raise NotImplementedError(
            f"{self._described} must define batches(epoch), or else both pieces "
            f"and sample, which use it"
        )

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield the batches of the epoch that has begun, some at a time; again if repeated.

        By default each of the :meth:`batches` is a piece. Override it to move several batches
        to the backend at once.
        """
        for batch in self._batches(self._epoch):
            yield Piece(dict(zip("Xyw", batch, strict=False)), [])

    def place(self) -> dict[str, Any]:
        """Return where the next epoch begins, to be stored in checkpoints; called after each.

        A dict that JSON can store; {}, the default, if the number of the epoch is enough.
        """
        return {}

    def seek(self, place: Mapping[str, Any]) -> None:
        """Continue from a :meth:`place` other than {}; called before a resumed run begins."""

    def sample(self, rows: int) -> tuple[Any, ...]:
        """Return some examples, the same in each call, as (X, y) or (X, y, weights).

        :class:`bpnet.GradientFlow` and :class:`bpnet.Doctor` measure on them. By default the
        first of ``batches(0)``.
        """
        parts: list[tuple[Any, ...]] = []
        left = rows
        for batch in self._batches(0):
            parts.append(tuple(on_host(part)[:left] for part in batch if part is not None))
            left -= len(parts[-1][0])
            if left <= 0:
                break
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def fingerprint(self) -> list[Any]:
        """Return what a resumed run must have in common, as a list that JSON can store.

        By default the numbers passed to ``__init__``; override it to identify the examples.
        """
        numbers = [sorted(self.sizes), self.n_batches, self.total_weight, self.weighted]
        digest = hashlib.sha256(json.dumps(numbers).encode()).hexdigest()
        return [self.n_rows, self.n_inputs, digest]

    def _end_reading(self) -> None:
        """End what reads ahead, when training ends: nothing by default."""

    @property
    def _described(self) -> str:
        """How errors name the loader."""
        return f"the loader {type(self).__name__}"

    def _batches(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of an epoch, which must be tuples of two or three."""
        batches = self.batches(epoch)
        if not isinstance(batches, Iterable):
            raise ComponentError(
                f"batches(epoch) of {self._described} must yield batches; got "
                f"{kind_of(batches)}. Is a yield missing?"
            )
        for number, batch in enumerate(batches):
            if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
                parts = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
                raise ComponentError(
                    f"{self._described} must yield (X, y) or (X, y, weights); "
                    f"got {kind_of(batch)}{parts} as batch {number} in epoch {epoch} (both "
                    f"from 0)"
                )
            yield tuple(batch)

    def _sizes_of(self, rows: int) -> list[int]:
        """Return the sizes of the batches of so many consecutive rows."""
        whole, rest = divmod(rows, self.batch_size)
        return [self.batch_size] * whole + ([rest] if rest else [])


class DatasetLoader(Loader):
    """Batches of a :class:`Dataset`; base class of the ways to move it.

    Parameters
    ----------
    data : Dataset
        Validated examples.
    batch_size : int
        Examples per batch.
    order : callable
        ``order(epoch, rows)`` returns the order of the examples in an epoch: `rows` integers.
    seed : int
        Seed of the :meth:`sample`.
    drop_last : bool
        Whether to leave out the last batch of an epoch if it has fewer examples. `n_rows` are
        then those of the other batches, and `total_weight` is still that of all examples.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        order: Order = in_order,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        rest = data.n_rows % batch_size if drop_last and batch_size < data.n_rows else 0
        super().__init__(data.n_rows - rest, data.n_inputs, batch_size)
        self._takes_all = self.n_batches == 1 and not rest
        if data.w is not None:
            self.weighted, self.total_weight = True, data.total_weight
        self.data, self.seed = data, seed
        self._order_of = order
        self._order: Any = None
        self._ahead: tuple[int, Any] = (-1, None)

    def begin_epoch(self, epoch: int) -> None:
        """Draw the order of the examples; a single batch takes all of them as they are."""
        super().begin_epoch(epoch)
        if not self._takes_all:
            ahead, order = self._ahead
            self._order = order if ahead == epoch else self._draw(epoch)

    @property
    def repeats(self) -> bool:
        """Whether each epoch's order depends on its number alone, and can be drawn again."""
        known = isinstance(self._order_of, Shuffled) or self._order_of is in_order
        return self._takes_all or known

    def order_ahead(self, epoch: int) -> Any:
        """Draw the order of an epoch before it begins; None if that could change others."""
        if self._takes_all or not isinstance(self._order_of, Shuffled):
            return None
        self._ahead = (epoch, self._draw(epoch))
        return self._ahead[1]

    def _draw(self, epoch: int) -> Any:
        order = self._order_of(epoch, self.data.n_rows)
        return np.asarray(order, dtype=np.int64)[: self.n_rows]

    def sample(self, rows: int) -> Dataset:
        """Return random examples, the same in each call."""
        chosen = generator(self.seed, "sample").permutation(self.data.n_rows)[:rows]
        return self.data.take(chosen)

    def fingerprint(self) -> list[Any]:
        """Return the fingerprint of the examples."""
        return self.data.fingerprint()


def on_host(part: Any) -> Any:
    """Return an array or a frame as a NumPy array."""
    return as_numbers("a batch", part) if is_tabular(part) else to_host(part)


def _checked_sizes(sizes: Iterable[int], largest: int) -> frozenset[int]:
    """Return sizes of batches, of which `batch_size` is the largest."""
    checked = check_sequence("sizes", sizes, lambda name, size: check_integer(name, size, 1))
    if max(checked) > largest:
        raise ValueError(
            f"sizes must be at most batch_size={largest}, the largest of them; got {checked}"
        )
    return frozenset(checked)
