"""A second network with the same weights, to try things on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpnet.network import Network


def twin(net: Network) -> Network:
    """Give a network of the same layers, loss, seed and weights; unbuilt if `net` is.

    Parameters are shared until one of the two trains, which copies before it writes.
    """
    from bpnet.network import Network

    other = Network(net.layers, net.loss, net.seed, net.dtype)
    if net.n_inputs is not None:
        other.build(net.n_inputs, net.backend)
        other.adopt(*net.placement)
    return other
