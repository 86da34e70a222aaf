"""Small toy datasets with a nonlinear decision boundary, generated with NumPy.

Each function returns ``X`` (n_samples, 2) as float64 and ``y`` (n_samples,) as int64,
already shuffled and reproducible for a given seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bpnet.backend.memory import check_room
from bpnet.common.checks import check_integer, check_number
from bpnet.common.keywords import explains_keywords

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTES = 64  # per sample, at the peak of drawing and shuffling

DataSet: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.int64]]"


@explains_keywords
def make_spiral(
    n_samples: int = 400, classes: int = 2, noise: float = 0.2, seed: int = 0
) -> DataSet:
    """Draw interleaved spiral arms, one per class.

    Arm k has the angle ``4 r + 2 pi k / classes`` for radii r from 0 to 1, with Gaussian noise
    on the angle, as in CS231n (Karpathy, Li and Johnson, 2015).

    Parameters
    ----------
    n_samples : int, default 400
        Total number of points, at least one per class; split evenly between the classes.
    classes : int, default 2
        Number of arms, >= 2.
    noise : float, default 0.2
        Standard deviation of the angle, in radians.
    seed : int, default 0
        Seed >= 0.

    Examples
    --------
    >>> X, y = make_spiral(400, classes=2)
    >>> X.shape, [int(n) for n in np.bincount(y)]
    ((400, 2), [200, 200])
    """
    classes = check_integer("classes", classes, 2)
    counts = _shares(n_samples, classes)
    check_number("noise", noise, 0.0)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    arms = []
    for k, count in enumerate(counts):
        radius = np.linspace(0.0, 1.0, count)
        angle = 4.0 * radius + 2.0 * math.pi * k / classes + rng.normal(0.0, noise, count)
        arms.append(np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]))
    return _shuffled(arms, rng)


@explains_keywords
def make_moons(n_samples: int = 400, noise: float = 0.1, seed: int = 0) -> DataSet:
    """Draw two interleaving half circles with Gaussian noise.

    Parameters
    ----------
    n_samples : int, default 400
        Number of points, >= 2.
    noise : float, default 0.1
        Standard deviation of both coordinates; the radius is 1.
    seed : int, default 0
        Seed >= 0.

    Examples
    --------
    >>> make_moons(100)[0].shape
    (100, 2)
    """
    upper, lower = _shares(n_samples, 2)
    rng = _noisy_generator(noise, seed)
    t, u = np.linspace(0.0, math.pi, upper), np.linspace(0.0, math.pi, lower)
    arcs = [
        np.column_stack([np.cos(t), np.sin(t)]),
        np.column_stack([1.0 - np.cos(u), 0.5 - np.sin(u)]),
    ]
    return _shuffled([arc + rng.normal(0.0, noise, arc.shape) for arc in arcs], rng)


@explains_keywords
def make_circles(
    n_samples: int = 400, noise: float = 0.1, factor: float = 0.5, seed: int = 0
) -> DataSet:
    """Draw two concentric circles with Gaussian noise; the inner one is class 1.

    Parameters
    ----------
    n_samples : int, default 400
        Number of points, >= 2.
    noise : float, default 0.1
        Standard deviation of both coordinates; the outer radius is 1.
    factor : float, default 0.5
        Radius of the inner circle, 0 < factor < 1.
    seed : int, default 0
        Seed >= 0.

    Examples
    --------
    >>> make_circles(100)[0].shape
    (100, 2)
    """
    counts = _shares(n_samples, 2)
    check_number("factor", factor, 0.0, 1.0, above=True, below=True)
    rng = _noisy_generator(noise, seed)
    rings = []
    for radius, count in zip((1.0, factor), counts, strict=True):
        angle = np.linspace(0.0, 2.0 * math.pi, count, endpoint=False)
        ring = radius * np.column_stack([np.cos(angle), np.sin(angle)])
        rings.append(ring + rng.normal(0.0, noise, ring.shape))
    return _shuffled(rings, rng)


@explains_keywords
def make_xor(n_samples: int = 400, noise: float = 0.2, seed: int = 0) -> DataSet:
    """Draw Gaussian clouds around (0, 0), (1, 1), (0, 1), (1, 0), labeled by exclusive or.

    Parameters
    ----------
    n_samples : int, default 400
        Number of points, >= 4.
    noise : float, default 0.2
        Standard deviation of both coordinates; with 0, all points lie on the corners.
    seed : int, default 0
        Seed >= 0.

    Examples
    --------
    >>> make_xor(100)[0].shape
    (100, 2)
    """
    counts = _shares(n_samples, 4)
    rng = _noisy_generator(noise, seed)
    clouds = [
        np.array(corner) + rng.normal(0.0, noise, (count, 2))
        for corner, count in zip([(0, 0), (0, 1), (1, 1), (1, 0)], counts, strict=True)
    ]
    X, corners = _shuffled(clouds, rng)
    return X, corners % 2


def _noisy_generator(noise: Any, seed: Any) -> np.random.Generator:
    check_number("noise", noise, 0.0)
    return np.random.default_rng(check_integer("seed", seed, 0))


def _shares(n_samples: Any, parts: int) -> list[int]:
    """Check the number of samples, and split it as evenly as possible."""
    n_samples = check_integer("n_samples", n_samples, parts)
    check_room("n_samples", n_samples, _BYTES * n_samples)
    return [n_samples // parts + (k < n_samples % parts) for k in range(parts)]


def _shuffled(groups: list[NDArray[np.float64]], rng: np.random.Generator) -> DataSet:
    X = np.concatenate(groups)
    y = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = rng.permutation(len(X))
    return X[order], y[order]
