"""The networks to measure, their data, and the minimum work that they need."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

ITEMSIZE = 4  # float32


class Case(NamedTuple):
    """A float32 classifier and its training settings."""

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
        """Draw features and labels, one batch by default."""
        rng = np.random.default_rng(0)
        m = rows or self.batch
        X = rng.standard_normal((m, self.sizes[0]), dtype=np.float32)
        return X, rng.integers(0, self.sizes[-1], m)

    def weights(self, seed: int = 1) -> list[tuple[Any, Any]]:
        """Draw W and b of each layer (He et al. 2015), for peers that take initial weights."""
        rng = np.random.default_rng(seed)
        return [
            (
                rng.standard_normal((n_in, n_out), dtype=np.float32)
                * np.float32((2 / n_in) ** 0.5),
                np.zeros(n_out, np.float32),
            )
            for n_in, n_out in itertools.pairwise(self.sizes)
        ]

    # --- lower bounds on operations, memory traffic and memory --------------------------------

    @property
    def step_flops(self) -> float:
        """Floating-point operations of the matrix products of a step."""
        products = [n_in * n_out for n_in, n_out in itertools.pairwise(self.sizes)]
        return 2.0 * self.batch * (3 * sum(products) - products[0])  # no gradient of X

    @property
    def inference_flops(self) -> float:
        """Floating-point operations of the matrix products of the forward pass."""
        return 2.0 * self.batch * sum(a * b for a, b in itertools.pairwise(self.sizes))

    @property
    def step_bytes(self) -> float:
        """Bytes to read X and to read and write weights, optimizer state and activations."""
        activations = self.batch * (self.sizes[0] + 2 * sum(self.sizes[1:]))
        return float(ITEMSIZE * (2 * self._kept + activations))

    @property
    def inference_bytes(self) -> float:
        """Bytes to read the weights and X and to write the probabilities."""
        moved = self.batch * (self.sizes[0] + self.sizes[-1])
        return float(ITEMSIZE * (self._parameters + moved))

    @property
    def memory(self) -> float:
        """Bytes of weights, optimizer state and activations, including X."""
        return float(ITEMSIZE * (self._kept + self.batch * sum(self.sizes)))

    @property
    def _parameters(self) -> int:
        return sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(self.sizes))

    @property
    def _kept(self) -> int:
        return self._parameters * (3 if self.optimizer == "Adam" else 1)


LEARNING_RATE = 1e-3

GROUPS = {
    "tiny": (Case((4, 8, 3), 8),),  # a smoke test that takes seconds
    "small": (Case((2, 64, 64, 2), 256), Case((64, 128, 10), 64)),
    "middle": (Case((784, 512, 512, 10), 256),),
    "large": (
        Case((1024, 2048, 2048, 2048, 10), 256),
        Case((1024, 2048, 2048, 2048, 10), 2048),
    ),
}


def variants(case: Case) -> list[Case]:
    """Return a network with each optimizer; the small ones with two activations each."""
    activations = ("relu", "tanh") if case in GROUPS["small"] else ("relu",)
    return [
        case._replace(activation=activation, optimizer=optimizer)
        for activation in activations
        for optimizer in ("SGD", "Adam")
    ]
