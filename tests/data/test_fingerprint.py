"""The fingerprint of examples: all of them, the same on every backend."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpnet
from bpnet.data import dataset
from bpnet.data.dataset import Dataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(700, 3)).astype("float32")
LABELS = RNG.integers(0, 2, 700)
W = RNG.uniform(size=700).astype("float32")


def examples(X=X, y=LABELS, w=W):
    return Dataset(X, y, w, None, str(X.dtype))


def test_the_hash_is_blake2b_of_all_values():
    digest = hashlib.blake2b(digest_size=32)
    for array in (X, LABELS):
        digest.update(f"{array.shape}\0".encode() + array.tobytes())
    digest.update(b"none\0")
    assert examples(w=None).fingerprint() == [700, 3, f"blake2b:{digest.hexdigest()}"]


def test_the_hash_is_the_same_on_every_backend(backend):
    for data in (examples(), examples(y=X[:, :1], w=None)):
        assert data.to_device(backend).fingerprint() == data.fingerprint()


@pytest.mark.parametrize("nbytes", [1, 100, 9999])
def test_the_size_of_the_blocks_does_not_matter(monkeypatch, nbytes):
    expected = examples().fingerprint()
    monkeypatch.setattr(dataset, "_BLOCK", nbytes)
    assert examples().fingerprint() == expected


def test_sparse_features_are_hashed_as_dense_ones():
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.where(X > 1.0, X, np.float32(0.0))
    assert examples(sparse.csr_array(dense)).fingerprint() == examples(dense).fingerprint()


@given(st.sampled_from("Xyw"), st.integers(0, 699), st.integers(0, 2))
def test_any_changed_value_changes_it(which, row, column):
    X_, y, w = X.copy(), LABELS.copy(), W.copy()
    if which == "X":
        X_[row, column] = np.nextafter(X_[row, column], np.float32(9.0))
    elif which == "y":
        y[row] = 1 - y[row]
    else:
        w[row] += np.float32(0.5)
    assert examples(X_, y, w).fingerprint() != examples().fingerprint()


def test_no_weights_are_not_weights_of_one():
    ones = np.ones_like(W)
    assert examples(w=None).fingerprint() != examples(w=ones).fingerprint()


def test_it_is_computed_once_in_a_run_and_only_for_files(tmp_path, monkeypatch):
    counted = []
    original = Dataset.fingerprint
    monkeypatch.setattr(
        Dataset, "fingerprint", lambda self: counted.append(self.n_rows) or original(self)
    )

    def fit(epochs, callbacks, **given):
        net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
        net.fit(X, LABELS, epochs=epochs, callbacks=callbacks, **given)

    fit(1, [])
    assert counted == []
    fit(1, [bpnet.Checkpoint(tmp_path / "a"), bpnet.Checkpoint(tmp_path / "b")])
    assert counted == [700]
    counted.clear()
    fit(2, [bpnet.Checkpoint(tmp_path / "a")], resume_from=tmp_path / "a")
    assert counted == [700]
