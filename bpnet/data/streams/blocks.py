"""What all streams are: examples in blocks of rows, which can be read one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any


class Blocks(ABC):
    """Examples in blocks of rows, which are read in their order.

    Attributes
    ----------
    sizes : tuple of int
        Rows of each block.
    n_inputs : int
        Number of features.
    labeled, weighted : bool
        Whether the blocks have targets, and weights.
    buffer_blocks : int
        Blocks whose rows are shuffled together.
    """

    sizes: tuple[int, ...]
    n_inputs: int
    labeled: bool
    weighted: bool
    buffer_blocks: int

    @property
    def n_rows(self) -> int:
        """Number of all rows."""
        return sum(self.sizes)

    @abstractmethod
    def where(self, block: int) -> str:
        """Return how errors name a block."""

    @abstractmethod
    def first(self, block: int) -> int:
        """Return the number of the first row of a block, for errors."""

    @abstractmethod
    def _in_order(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield features, targets and weights of all blocks; errors name the block."""

    def _weights_in_order(self) -> Iterator[Any]:
        """Yield the weights of all blocks; errors name the block."""
        return (w for _, _, w in self._in_order())

    @property
    def _identifying(self) -> tuple[int, ...]:
        """The blocks whose values tell these examples from others, if any can be read again."""
        return ()

    def _due_rows(self, block: int) -> int | None:
        """Return the rows that a block must have, if that is known before it is read."""
        return None
