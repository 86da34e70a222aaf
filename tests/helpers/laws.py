"""The network for property tests of the loss and gradients."""

from __future__ import annotations

import functools

import numpy as np

import bpnet


@functools.cache
def law_network():
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(2)]
    return bpnet.Network(layers, "huber", seed=0, dtype="float64").build(3)


def gradients(backend, X, Y, w):
    """Return the loss and all gradients as one vector."""
    loss, layers = law_network().loss_and_gradients(X, Y, w, backend=backend)
    return np.concatenate([[loss], *(g.ravel() for layer in layers for g in layer.values())])
