"""The order of a stream's rows is a function of seed, epoch and blocks, and shuffles well."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import bpnet

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(SIZES, st.integers(0, 5), st.integers(0, 5), st.integers(1, 5))
def test_order_takes_each_row_once_and_windows_of_blocks_together(sizes, seed, epoch, buffer):
    order = bpnet.streams.row_order(sizes, seed, epoch, buffer)
    assert sorted(order) == list(range(sum(sizes)))
    block_of = np.repeat(np.arange(len(sizes)), sizes)[order]
    start = 0
    while start < len(order):
        rows = 0
        blocks = {block_of[start]}
        while rows != (rows := sum(sizes[b] for b in blocks)):
            blocks |= set(block_of[start : start + rows].tolist())
        assert len(blocks) <= buffer
        start += rows


def test_order_depends_on_seed_and_epoch_alone():
    sizes = [10] * 10
    same = [bpnet.streams.row_order(sizes, 1, 2).tolist() for _ in range(2)]
    assert same[0] == same[1]
    others = [(2, 2), (1, 3)]
    assert all(bpnet.streams.row_order(sizes, *o).tolist() != same[0] for o in others)
