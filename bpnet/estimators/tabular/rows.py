"""The rows to train on as a network takes them, in memory or read block by block."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.data.array_loaders import loader_for
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader, Shuffled
from bpnet.data.streams.loader import StreamLoader
from bpnet.data.streams.scattered import Scattered
from bpnet.model.blockwise import examples_stream
from bpnet.network import Network
from bpnet.random import generator


class InMemory(NamedTuple):
    """Rows in memory.

    Attributes
    ----------
    sample : Dataset
        All of them.
    """

    sample: Dataset

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.sample.n_rows

    @property
    def n_inputs(self) -> int:
        """Number of features."""
        return self.sample.n_inputs

    def part(self, share: float, seed: int) -> InMemory:
        """Return a random share of the rows."""
        return InMemory(part_of(self.sample, share, seed))

    def loader(self, network: Network, backend: Backend, batch_size: int, seed: int) -> Loader:
        """Return the loader to train a network with."""
        order = Shuffled(seed)
        return loader_for(self.sample, backend, batch_size, order, seed, drop_last=True)


class Streamed(NamedTuple):
    """Rows that are read block by block, with the methods of :class:`InMemory`.

    Attributes
    ----------
    rows : Scattered
        All of them.
    sample : Dataset
        Some of them in memory, in a random order.
    """

    rows: Scattered
    sample: Dataset

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.rows.n_rows

    @property
    def n_inputs(self) -> int:
        """Number of features."""
        return self.rows.n_inputs

    def part(self, share: float, seed: int) -> Streamed:
        """Return a random share of the rows, drawn by the seed of the stream."""
        return self._replace(rows=self.rows.part(share))

    def loader(self, network: Network, backend: Backend, batch_size: int, seed: int) -> Loader:
        """Return the loader to train a network with."""
        return StreamLoader(examples_stream(network, self.rows), batch_size, seed)


def part_of(data: Dataset, share: float, seed: int) -> Dataset:
    """Return a random share of some examples, at least one, in their order."""
    n = max(1, int(share * data.n_rows))
    rows = generator(seed, "sample").permutation(data.n_rows)[:n]
    return data.take(np.sort(rows))
