"""A stream holds as many blocks in memory as its documentation says, however many there are."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import bpnet

ROWS, FEATURES = 4_000, 16
BLOCK = 4 * ROWS * (FEATURES + 1)  # bytes of float32 features and targets


class Blocks(bpnet.streams.Source):
    """Many blocks, made when they are read."""

    def __init__(self, count, buffer_blocks):
        super().__init__([ROWS] * count, FEATURES, buffer_blocks=buffer_blocks)

    def read(self, block):
        X = np.full((ROWS, FEATURES), block, np.float32)
        return X, X[:, 0].copy(), None


def peak_blocks(count, buffer_blocks, shuffle):
    """Return the peak of one epoch, in blocks."""
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    given = {"epochs": 1, "batch_size": 200, "shuffle": shuffle, "backend": "numpy"}
    net.fit(Blocks(2, buffer_blocks), optimizer=bpnet.SGD(1e-6), **given)  # imports, recording
    tracemalloc.start()
    try:
        net.fit(Blocks(count, buffer_blocks), optimizer=bpnet.SGD(1e-6), **given)
        return tracemalloc.get_traced_memory()[1] / BLOCK
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("buffer_blocks", [1, 4])
def test_memory_is_bounded_by_a_number_of_blocks(buffer_blocks, shuffle):
    most = max(2 * buffer_blocks + 2, 5) + 2  # the order of rows, and all that is no block
    assert peak_blocks(100, buffer_blocks, shuffle) < most
