"""Architecture: how width and depth affect the gap between training and test loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bpnet import datasets
from bpnet.common.checks import check_integer, check_sequence
from bpnet.common.keywords import suggests_keywords
from bpnet.common.plurals import number_of
from bpnet.layers import Dense
from bpnet.learn._arguments import at_least
from bpnet.learn.lesson import Lesson
from bpnet.network import Network
from bpnet.optimizers import Adam
from bpnet.training.interrupt import uninterrupted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRAINING, _TEST, _NOISE = 60, 1000, 0.3


class Fit(NamedTuple):
    """The accuracy and loss of one size of network, averaged over several networks."""

    n_parameters: int
    training: float  # accuracy, as is `test`
    test: float
    training_loss: float  # mean per example
    test_loss: float

    @property
    def gap(self) -> float:
        """Test loss minus training loss."""
        return self.test_loss - self.training_loss


@suggests_keywords
def architecture(
    *,
    widths: Sequence[int] = (1, 2, 4, 16, 64),
    depths: Sequence[int] = (1, 2, 3),
    networks: int = 3,
    epochs: int = 400,
    seed: int = 0,
) -> Lesson:
    """Train networks of many sizes on few noisy examples, and test them on many others.

    The data are moons with a noise of 0.3: 60 examples for training, 1000 for testing. Hidden
    layers use tanh; training is full-batch Adam(0.01), on the current backend.

    Parameters
    ----------
    widths, depths : sequence of int
        Units per hidden layer, and numbers of hidden layers; every combination is trained.
    networks : int, default 3
        Number of networks to average over, with different weights and examples.
    epochs : int, default 400
        Number of steps.
    seed : int, default 0
        Seed of the data and of the first network.

    Returns
    -------
    Lesson
        Its numbers: "fits", {(depth, width): Fit}.
    """
    widths = check_sequence("widths", widths, at_least(1))
    depths = check_sequence("depths", depths, at_least(1))
    networks = check_integer("networks", networks, 1)
    epochs = check_integer("epochs", epochs, 1)
    seed = check_integer("seed", seed, 0)
    fits = {
        (depth, width): _fit(depth, width, networks, epochs, seed)
        for depth in depths
        for width in widths
    }
    head = ("hidden layers", "units", "parameters", "training", "test", "training loss",
            "test loss", "gap")  # fmt: skip
    rows = [
        (str(depth), str(width), f"{fit.n_parameters:,}", f"{100.0 * fit.training:.1f} %",
         f"{100.0 * fit.test:.1f} %", f"{fit.training_loss:.3f}", f"{fit.test_loss:.3f}",
         f"{fit.gap:.3f}")
        for (depth, width), fit in fits.items()
    ]  # fmt: skip
    return Lesson(
        f"Width and depth: {_TRAINING} noisy examples to learn from, {_TEST} to test with "
        f"(mean of {networks} networks)",
        [head, *rows],
        _reading(fits),
        {"fits": fits},
        lambda figure: _paint(figure, fits),
    )


def _fit(depth: int, width: int, networks: int, epochs: int, seed: int) -> Fit:
    measured = []
    for k in range(networks):
        X, y = datasets.make_moons(_TRAINING + _TEST, noise=_NOISE, seed=seed + k)
        training, test = (X[:_TRAINING], y[:_TRAINING]), (X[_TRAINING:], y[_TRAINING:])
        layers = [*(Dense(width, "tanh") for _ in range(depth)), Dense(1)]
        net = Network(layers, "binary_crossentropy", seed=seed + k)
        uninterrupted(net.fit(*training, optimizer=Adam(0.01), epochs=epochs, batch_size=None))
        seen, unseen = net.evaluate(*training), net.evaluate(*test)
        measured.append((seen["accuracy"], unseen["accuracy"], seen["loss"], unseen["loss"]))
    return Fit(net.n_parameters, *map(float, np.mean(measured, axis=0)))


def _reading(fits: Mapping[tuple[int, int], Fit]) -> str:
    """Compare the smallest, the best and the largest network."""
    smallest = min(fits.values(), key=lambda fit: fit.n_parameters)
    largest = max(fits.values(), key=lambda fit: fit.n_parameters)
    depth, width = min(fits, key=lambda key: fits[key].test_loss)
    best = fits[depth, width]
    return (
        f"The largest network, of {largest.n_parameters:,} parameters, has a loss of "
        f"{largest.training_loss:.3f} on its training examples and of {largest.test_loss:.3f} "
        f"on others, a gap of {largest.gap:.3f}; the smallest, of {smallest.n_parameters:,}, "
        f"has a gap of {smallest.gap:.3f}. The lowest test loss is {best.test_loss:.3f}, with "
        f"{number_of(depth, 'hidden layer')} of {number_of(width, 'unit')}."
    )


def _paint(figure: Figure, fits: Mapping[tuple[int, int], Fit]) -> None:
    from bpnet.plot.style import look

    left, right = figure.subplots(1, 2)
    for k, depth in enumerate(dict.fromkeys(depth for depth, _ in fits)):
        chosen = {width: fit for (d, width), fit in fits.items() if d == depth}
        label = number_of(depth, "hidden layer")
        style = look(k)
        left.plot(list(chosen), [f.test_loss for f in chosen.values()], **style,
                  label=f"{label}, test")  # fmt: skip
        left.plot(list(chosen), [f.training_loss for f in chosen.values()], **style,
                  markerfacecolor="white", alpha=0.7, label=f"{label}, training")  # fmt: skip
        right.plot(list(chosen), [f.gap for f in chosen.values()], **style, label=label)
    left.set(ylabel="loss (mean per example)", title="Filled: test, hollow: training")
    right.set(ylabel="gap (test loss - training loss)", title="The gap between the two")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="units of each hidden layer")
        ax.set_xticks(widths := sorted({width for _, width in fits}), map(str, widths))
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend()
