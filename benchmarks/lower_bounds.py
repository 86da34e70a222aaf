"""Lower bounds ("floor"): only the matrix products of a step, in each library itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import bpnet
from benchmarks.cases import Case
from benchmarks.timing import Turn, wait


def step(case: Case, backend: bpnet.Backend) -> Turn:
    """Only the matrix products of the forward pass, the gradients and the errors."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return backend.asarray(rng.standard_normal(shape, dtype=np.float32))

    with backend.activate():
        W = [draw(n_in, n_out) for n_in, n_out in itertools.pairwise(case.sizes)]
        a = [draw(case.batch, n) for n in case.sizes]
    products = backend.compile_pure(_products)

    def turn(steps: int) -> None:
        with backend.activate():
            for _ in range(steps):
                found = products(W, a)
            wait(backend, found)

    return turn


def inference(case: Case, backend: bpnet.Backend) -> Turn:
    """Only the matrix products of the forward pass."""
    X, _ = case.examples()
    with backend.activate():
        W = [backend.asarray(W) for W, _ in case.weights()]
    forward = backend.compile_pure(_forward)

    def turn(calls: int) -> None:
        with backend.activate():
            for _ in range(calls):
                backend.to_numpy(forward(W, backend.asarray(X)))

    return turn


def _products(W: list[Any], a: list[Any]) -> list[Any]:
    forward = [x @ w for x, w in zip(a, W, strict=False)]
    gradients = [x.T @ delta for x, delta in itertools.pairwise(a)]
    errors = [delta @ w.T for delta, w in zip(a[2:], W[1:], strict=True)]
    return [*forward, *gradients, *errors]


def _forward(W: list[Any], x: Any) -> Any:
    for w in W:
        x = x @ w
    return x
