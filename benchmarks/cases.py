"""The networks that are measured, and their examples."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """A classifier, float32, and how it is trained."""

    sizes: tuple[int, ...]
    batch: int
    activation: str = "relu"
    optimizer: str = "SGD"

    @property
    def network(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def name(self) -> str:
        return f"{self.network} ({self.batch}), {self.activation}, {self.optimizer}"

    def examples(self, rows: int | None = None) -> tuple[Any, Any]:
        """Draw features and labels, one batch of them unless told otherwise."""
        rng = np.random.default_rng(0)
        m = rows or self.batch
        X = rng.standard_normal((m, self.sizes[0]), dtype=np.float32)
        return X, rng.integers(0, self.sizes[-1], m)

    def weights(self) -> list[tuple[Any, Any]]:
        """Draw W and b of each layer, for the peers that take them."""
        rng = np.random.default_rng(1)
        return [
            (
                rng.normal(0.0, (2.0 / n_in) ** 0.5, (n_in, n_out)).astype(np.float32),
                np.zeros(n_out, np.float32),
            )
            for n_in, n_out in itertools.pairwise(self.sizes)
        ]

    @property
    def flops(self) -> float:
        """Floating-point operations of the matrix products of a step."""
        products = [n_in * n_out for n_in, n_out in itertools.pairwise(self.sizes)]
        return 2.0 * self.batch * (3 * sum(products) - products[0])  # no error goes to X


LEARNING_RATE = 1e-3

SMALL = (Case((2, 64, 64, 2), 256), Case((64, 128, 10), 64))
MIDDLE = (Case((784, 512, 512, 10), 256),)
LARGE = (Case((1024, 2048, 2048, 2048, 10), 256), Case((1024, 2048, 2048, 2048, 10), 2048))


def variants(case: Case) -> list[Case]:
    """Give a network with each optimiser; the small ones with two activations."""
    activations = ("relu", "tanh") if case in SMALL else ("relu",)
    return [
        case._replace(activation=activation, optimizer=optimizer)
        for activation in activations
        for optimizer in ("SGD", "Adam")
    ]
