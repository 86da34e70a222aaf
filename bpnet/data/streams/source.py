"""What a source is: blocks of examples that are read by their numbers, in any order."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from bpnet.common.checks import check_flag, check_integer, check_sequence
from bpnet.data.streams.blocks import Blocks

# Bytes of a block, if nothing else determines its rows. From 2**22 to 2**25 an epoch takes as
# long.
BLOCK = 2**24
# The default of `buffer_blocks`.
BUFFER = 4


class Source(Blocks):
    """Examples in blocks of rows, each of which can be read by its number.

    ``fit`` reads blocks in a background thread, and checks each like X and y. It holds up to
    ``2 * buffer_blocks + 2`` of them in memory: those whose rows are being shuffled together,
    as many that wait for the steps, and those being read and trained on; and at least five
    blocks and three batches.

    A subclass passes the numbers below to ``super().__init__``, and defines :meth:`read`.

    Parameters
    ----------
    sizes : iterable of int
        Rows of each block.
    n_inputs : int
        Number of features.
    labeled : bool, default True
        Whether the blocks have targets. Those without can only be predicted.
    weighted : bool, default False
        Whether the blocks have sample weights.
    buffer_blocks : int, default 4
        Blocks whose rows are shuffled together; more shuffle better and take more memory.

    Attributes
    ----------
    sizes : tuple of int
        As above.
    n_rows, n_inputs, buffer_blocks : int
        Numbers of all rows and of features, and as above.
    labeled, weighted : bool
        As above.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.

    Examples
    --------
    Files of 100 rows each, here computed:

    >>> import bpnet
    >>> import numpy as np
    >>> class Files(bpnet.streams.Source):
    ...     def __init__(self, count):
    ...         super().__init__(sizes=[100] * count, n_inputs=2)
    ...     def read(self, block):
    ...         X = np.random.default_rng(block).normal(size=(100, 2))
    ...         return X, X.sum(axis=1), None
    >>> net = bpnet.Network([bpnet.Dense(1)], loss="mean_squared_error", seed=0)
    >>> history = net.fit(Files(5), optimizer=bpnet.SGD(0.1), batch_size=20, epochs=5)
    >>> history["loss"][-1] < 0.01 * history["loss"][0]
    True
    """

    def __init__(
        self,
        sizes: Iterable[int],
        n_inputs: int,
        *,
        labeled: bool = True,
        weighted: bool = False,
        buffer_blocks: int = BUFFER,
    ) -> None:
        checked = check_sequence("sizes", sizes, lambda name, n: check_integer(name, n, 1))
        self.sizes = tuple(checked)
        self.n_inputs = check_integer("n_inputs", n_inputs, 1)
        self.labeled = check_flag("labeled", labeled)
        self.weighted = check_flag("weighted", weighted)
        self.buffer_blocks = check_integer("buffer_blocks", buffer_blocks, 1)

    @abstractmethod
    def read(self, block: int) -> tuple[Any, Any, Any]:
        """Return features, targets and weights of a block, None for what there is not.

        Called in a background thread, one call at a time. X is an array or a data frame, as
        those that ``fit`` accepts, and the same in each call.

        Parameters
        ----------
        block : int
            From 0 to ``len(sizes) - 1``.
        """

    def weights(self, block: int) -> Any:
        """Return the weights of a block; by default they are read with all else."""
        return self.read(block)[2]

    def read_blocks(self, numbers: Iterable[int]) -> Iterator[tuple[Any, Any, Any]]:
        """Yield blocks by their numbers; by default, each is read when it is asked for.

        A source that can read several at once may begin with those that follow.

        Parameters
        ----------
        numbers : iterable of int
            Which blocks, in which order.
        """
        return map(self.read, numbers)

    def first(self, block: int) -> int:
        """Return the number of the first row of a block."""
        return sum(self.sizes[:block])

    def where(self, block: int) -> str:
        """Return how errors name a block."""
        start = self.first(block)
        return f"block {block} (rows {start} to {start + self.sizes[block] - 1})"

    def failure(self, block: int, error: Exception) -> Exception:
        """Return the error to raise if a block cannot be read."""
        return OSError(f"{self.where(block)} cannot be read: {type(error).__name__}: {error}")

    def _in_order(self) -> Iterator[tuple[Any, Any, Any]]:
        return self._numbered(range(len(self.sizes)))

    def _numbered(self, numbers: Iterable[int]) -> Iterator[tuple[Any, Any, Any]]:
        """Yield blocks by their numbers; errors name the block."""
        raw = self.read_blocks(numbers)
        for number in numbers:
            with self._reading(number):
                block = [next(raw)]
            yield block.pop()  # kept in no variable, which would hold its memory

    def _weights_in_order(self) -> Iterator[Any]:
        for number in range(len(self.sizes)):
            with self._reading(number):
                w = self.weights(number)
            yield w

    @property
    def _identifying(self) -> tuple[int, ...]:
        return 0, len(self.sizes) - 1

    def _due_rows(self, block: int) -> int | None:
        return self.sizes[block]

    @contextlib.contextmanager
    def _reading(self, block: int) -> Iterator[None]:
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            raise self.failure(block, error) from error


def default_rows(bytes_per_row: int, multiple: int = 1) -> int:
    """Return the rows of a block of about `BLOCK` bytes, of which memory has a multiple."""
    return multiple * max(1, BLOCK // (bytes_per_row * multiple))


def even_sizes(rows: int, block_rows: int) -> list[int]:
    """Return the sizes of blocks of so many rows, the last of which may have fewer."""
    return [min(block_rows, rows - start) for start in range(0, rows, block_rows)]
