"""A loader of the user's own, with every batch checked and moved to the backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.common.checks import kind_of
from bpnet.data.dataset import Dataset
from bpnet.data.frames import check_names, column_names
from bpnet.data.loader import Loader, Piece
from bpnet.data.target_form import TargetForm
from bpnet.errors import ComponentError

# check(X, y, w, suffix=...) returns validated examples.
Check = Callable[..., Dataset]
# The sum of weights may be rounded in float32.
_TOLERANCE = 1e-3


class CheckedLoader(Loader):
    """Yields what a loader yields, checked against its numbers, on the backend.

    Parameters
    ----------
    loader : Loader
        The loader to check.
    check : callable
        ``check(X, y, w, suffix=...)`` returns a validated Dataset; errors append the suffix to
        the names of the arrays.
    feature_names : tuple of str or None
        Names that the features of frames must have; None takes those of the first frame.

    Raises
    ------
    ComponentError
        If the loader is incomplete; later if its batches are invalid, or not those announced.
    """

    def __init__(
        self, loader: Loader, check: Check, feature_names: tuple[str, ...] | None = None
    ) -> None:
        self.loader, self.check, self.feature_names = loader, check, feature_names
        self.name = loader._described
        kind = type(loader)
        if kind.batches is Loader.batches and kind.pieces is Loader.pieces:
            raise ComponentError(f"{self.name} must define batches(epoch)")
        if "n_batches" not in vars(loader):
            raise ComponentError(
                f"{self.name} has no numbers; call super().__init__(n_rows, n_inputs, "
                f"batch_size) in its __init__"
            )
        super().__init__(
            loader.n_rows, loader.n_inputs, loader.batch_size,
            total_weight=loader.total_weight if loader.weighted else None,
            sizes=loader.sizes, n_batches=loader.n_batches,
        )  # fmt: skip
        self._targets = TargetForm("batches")
        self._orders: dict[int, Array] = {}

    def begin_epoch(self, epoch: int) -> None:
        """Begin the epoch of the loader."""
        super().begin_epoch(epoch)
        self.loader.begin_epoch(epoch)

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield the pieces of the loader, checked and on the backend."""
        batches = rows = 0
        weight = 0.0
        pieces = iter(self.loader.pieces(backend))
        while (given := self._next(pieces, batches)) is not None:
            data = self._checked(given, batches)
            sizes = given.sizes or [data.n_rows]
            self._check_sizes(sizes, data.n_rows, batches)
            batches, rows = batches + len(sizes), rows + data.n_rows
            weight += data.total_weight
            if batches > self.n_batches or rows > self.n_rows:
                self._refuse_numbers(f"{batches} batches with {rows} examples, or more")
            X, y, w = data.arrays_on(backend)
            order = self._order_on(backend, data.n_rows)
            yield Piece({"X": X, "y": y, "w": w, "order": order}, sizes)
        if (batches, rows) != (self.n_batches, self.n_rows):
            self._refuse_numbers(f"{batches} batches with {rows} examples")
        if abs(weight - self.total_weight) > _TOLERANCE * self.total_weight:
            raise ComponentError(
                f"{self.name} must yield weights with the sum total_weight="
                f"{self.total_weight:g} in each epoch; got {weight:g} in epoch {self._epoch}"
            )

    def place(self) -> dict[str, Any]:
        """Return the place of the loader."""
        place = self.loader.place()
        if not isinstance(place, dict):
            raise ComponentError(
                f"place() of {self.name} must return a dict, got {kind_of(place)}"
            )
        return dict(self._kept_by_json("place", place))

    def seek(self, place: Mapping[str, Any]) -> None:
        """Let the loader continue from a place."""
        self.loader.seek(place)

    def sample(self, rows: int) -> Dataset:
        """Return the sample of the loader, checked."""
        given = self.loader.sample(rows)
        if not isinstance(given, tuple | list) or len(given) < 2:
            raise ComponentError(
                f"sample({rows}) of {self.name} must return (X, y) or (X, y, weights), got "
                f"{kind_of(given)}"
            )
        return self._validated(given[0], given[1], given[2] if len(given) > 2 else None,
                               f" of sample({rows}) of {self.name}")  # fmt: skip

    def fingerprint(self) -> list[Any]:
        """Return the fingerprint of the loader."""
        return list(self._kept_by_json("fingerprint", self.loader.fingerprint()))

    def _end_reading(self) -> None:
        """Let the loader end what reads ahead."""
        self.loader._end_reading()

    def _next(self, pieces: Iterator[Piece], batches: int) -> Piece | None:
        """Return the next piece, None after the last; name the batch if its form is wrong."""
        piece = next(pieces, None)
        if piece is None or (
            isinstance(piece, Piece) and {"X", "y"} <= piece.arrays.keys() <= {"X", "y", "w"}
        ):
            return piece
        raise ComponentError(
            f"pieces of {self.name} must be a Piece of the arrays X, y and perhaps w; got "
            f"{kind_of(piece)}{self._where(batches)}"
        )

    def _checked(self, piece: Piece, batches: int) -> Dataset:
        """Check arrays, which must have the same form in every batch."""
        where = self._where(batches)
        X, y, w = (piece.arrays.get(name) for name in "Xyw")
        data = self._validated(X, y, w, where)
        if (data.w is not None) != self.weighted:
            must, got = "have weights" if self.weighted else "have no weights", type(w).__name__
            raise ComponentError(
                f"batches must {must}, as total_weight in __init__ is "
                f"{'given' if self.weighted else 'None'}; got {got}{where}"
            )
        try:
            self._targets.check(data.y, f"y{where}")
        except ValueError as error:
            raise ComponentError(str(error)) from error
        return data

    def _validated(self, X: Any, y: Any, w: Any, suffix: str) -> Dataset:
        try:
            check_names(f"X{suffix}", X, self.feature_names)
            data = self.check(X, y, w, suffix=suffix)
        except (TypeError, ValueError) as error:
            raise ComponentError(str(error)) from error
        self.feature_names = self.feature_names or column_names(X)
        return data

    def _check_sizes(self, sizes: list[int], rows: int, batches: int) -> None:
        if unknown := set(sizes) - self.sizes:
            raise ComponentError(
                f"{self.name} must yield batches of the sizes {sorted(self.sizes)}, as given "
                f"in __init__; got {min(unknown)}{self._where(batches)}"
            )
        if sum(sizes) != rows or set(sizes[:-1]) - {self.batch_size}:
            raise ComponentError(
                f"the sizes of a piece must sum to its {rows} rows, all but the last "
                f"{self.batch_size}; got {sizes}{self._where(batches)}"
            )

    def _refuse_numbers(self, got: str) -> None:
        raise ComponentError(
            f"{self.name} must yield {self.n_batches} batches with {self.n_rows} examples in "
            f"each epoch, {self.loader._announced}; got {got} in epoch {self._epoch}"
        )

    def _order_on(self, backend: Backend, rows: int) -> Array | None:
        """Return the order of rows that are in order; a single batch takes them as they are.

        The step gathers them as it gathers those of arrays, which gives the same bits.
        """
        if self.n_batches == 1:
            return None
        if rows not in self._orders:
            self._orders[rows] = backend.asarray(np.arange(rows, dtype=np.int64))
        return self._orders[rows]

    def _where(self, batches: int) -> str:
        return f" of batch {batches} in epoch {self._epoch} (both from 0) of {self.name}"

    def _kept_by_json(self, method: str, value: Any) -> Any:
        """Return a value that JSON keeps as it is."""
        try:
            kept = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            kept, reason = None, str(error)
        else:
            reason = "it would change (JSON has lists, no tuples, and keys are strings)"
        if kept != value:
            raise ComponentError(
                f"{method}() of {self.name} must return what JSON can store, such as "
                f"{{'position': 3}}; got {value!r}: {reason}"
            )
        return kept
