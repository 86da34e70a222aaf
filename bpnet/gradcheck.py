"""Finite differences against backpropagation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bpnet import backprop
from bpnet._checks import check_integer
from bpnet._placement import bring_all
from bpnet._summary import align
from bpnet.losses import mean_loss, sum_of_weights
from bpnet.network import Network
from bpnet.random import generator

if TYPE_CHECKING:
    from bpnet._typing import Array, Namespace, Parameters
    from bpnet.backend import Backend
    from bpnet.backprop import Model

_EPSILON = float(np.finfo(np.float64).eps)
# Central differences err by h^2 f'''/6 + eps f/h: least for h near eps^(1/3).
_STEP = _EPSILON ** (1.0 / 3.0)
_TOLERANCE = 1e-6


class GradientReport(NamedTuple):
    """What :func:`check_gradients` has found; prints as a table.

    Attributes
    ----------
    max_relative_error : float
        The largest entry of `per_parameter`.
    per_parameter : dict of str to float
        For each parameter, such as "layer 1 W", the largest difference between the two
        gradients relative to the largest gradient in that array.
    n_checked : dict of str to int
        For each parameter, how many of its elements were compared.
    tolerance : float
        What an error may be.
    """

    max_relative_error: float
    per_parameter: Mapping[str, float]
    n_checked: Mapping[str, int]
    tolerance: float = _TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether no error is above the tolerance."""
        return self.max_relative_error <= self.tolerance

    def __str__(self) -> str:
        rows = [("parameter", "elements", "relative error", "")]
        for name, error in self.per_parameter.items():
            verdict = "ok" if error <= self.tolerance else "WRONG"
            rows.append((name, str(self.n_checked[name]), f"{error:.1e}", verdict))
        verdict = "agree" if self.passed else "DISAGREE"
        return "\n".join(
            [
                *align(rows),
                f"backpropagation and finite differences {verdict}: largest relative error "
                f"{self.max_relative_error:.1e}, allowed {self.tolerance:.0e}",
            ]
        )


def check_gradients(
    net: Network,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    samples: int | None = None,
    seed: int = 0,
    backend: str | Backend | None = None,
) -> GradientReport:
    """Compare backpropagation with central differences of the loss, in float64.

    For each element p, ``(L(p + h) - L(p - h)) / 2h`` with ``h = eps^(1/3) max(1, abs(p))``.
    A difference is seen relative to the largest gradient of its array, or to what finite
    differences can resolve of the loss, whichever is more. Dropout layers are active, with
    the masks of one training step. An element that disagrees is tried again with smaller
    steps, as h may have crossed a kink (relu at 0), and from either side alone, as it may sit
    on one: there the slope of any side is right.

    Parameters
    ----------
    net : Network
        It is built if it was not, and else not changed; the check runs on a float64 copy
        of its parameters.
    X, y, sample_weight : arrays
        As for ``Network.loss_and_gradients``; a few examples are enough.
    samples : int or None, default None
        How many elements of each parameter to compare, drawn at random; None takes all.
    seed : int, default 0
        Seed of that draw.
    backend : str, Backend or None
        Where to compute.

    Returns
    -------
    GradientReport
        ``print`` it.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(20)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> bpnet.check_gradients(net, X, y).max_relative_error < 1e-6
    True
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a bpnet Network, got {type(net).__name__}")
    limit = None if samples is None else check_integer("samples", samples, 1)
    rng = generator(check_integer("seed", seed, 0), "sample")
    data = net.check_data(X, y, sample_weight, dtype="float64")
    place = net.choose_backend(backend, data.owner)
    parameters = _float64(net.parameters_on(place, data.X), place)
    with place.activate():
        arguments = (*bring_all(data, place), place.asarray(1, "int64"))
        loss, gradients = net.compiled(place, backprop.loss_and_gradients)(
            parameters, *arguments
        )
        compute = net.compiled(place, training_loss)
        measure = _Perturbed(compute, parameters, arguments, place)
        resolution = _EPSILON * max(1.0, abs(float(loss))) / _STEP
        errors, counts = {}, {}
        for number, layer in enumerate(gradients):
            for name, gradient in layer.items():
                exact = place.to_numpy(gradient).ravel()
                chosen = _choose(rng, exact.size, limit)
                scale = max(float(np.max(np.abs(exact))), resolution / _TOLERANCE)
                worst = max(
                    measure.error(number, name, index, exact[index], scale) for index in chosen
                )
                label = f"layer {number + 1} {name}"
                errors[label], counts[label] = worst / scale, len(chosen)
    largest = float(np.max(list(errors.values())))  # NaN, if any is
    return GradientReport(largest, errors, counts)


def training_loss(
    xp: Namespace,
    model: Model,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None,
    step: Array,
) -> Array:
    """Compute the loss with the masks of a training step."""
    z, _ = backprop.forward(xp, model, parameters, X, step)
    total = sum_of_weights(xp, z, w)
    return mean_loss(xp, model.loss, y, z, w) + backprop.penalty(xp, model, parameters, total)


class _Perturbed:
    """The loss as a function of one element of one parameter."""

    def __init__(
        self,
        compute: Callable[..., Any],
        parameters: Parameters,
        arguments: Any,
        place: Backend,
    ) -> None:
        self.compute, self.arguments, self.place = compute, arguments, place
        self.parameters = parameters
        self.host = [
            {name: np.array(place.to_numpy(p)) for name, p in layer.items()}
            for layer in parameters
        ]

    def error(self, number: int, name: str, index: int, exact: float, scale: float) -> float:
        """Give the absolute difference, the least of up to five estimates."""
        p = float(self.host[number][name].flat[index])
        f = functools.partial(self.loss, number, name, index)
        h = _STEP * max(1.0, abs(p))
        tries = [(_central, h), (_central, h / 16.0), (_central, h / 256.0)]
        tries += [(_one_sided, h), (_one_sided, -h)]
        least = np.inf
        for slope, step in tries:
            least = min(least, abs(slope(f, p, step) - float(exact)))
            if least <= _TOLERANCE * scale:
                break
        return float(least)

    def loss(self, number: int, name: str, index: int, value: float) -> float:
        """Compute the loss with one element replaced; the standard has no item assignment."""
        array = self.host[number][name].copy()
        array.flat[index] = value
        changed = list(self.parameters)
        changed[number] = changed[number] | {name: self.place.asarray(array)}
        return float(self.compute(changed, *self.arguments))


def _central(f: Callable[[float], float], p: float, h: float) -> float:
    high, low = p + h, p - h
    return (f(high) - f(low)) / (high - low)


def _one_sided(f: Callable[[float], float], p: float, h: float) -> float:
    """Compute (4 f(p+h) - f(p+2h) - 3 f(p)) / 2h: on the side of h alone, to second order."""
    near, far = p + h, p + 2.0 * h
    return (4.0 * f(near) - f(far) - 3.0 * f(p)) / (far - p)


def _float64(parameters: Parameters, place: Backend) -> Parameters:
    with place.activate():
        return [
            {
                name: place.asarray(place.to_numpy(p).astype(np.float64))
                for name, p in layer.items()
            }
            for layer in parameters
        ]


def _choose(rng: np.random.Generator, size: int, limit: int | None) -> Any:
    if limit is None or limit >= size:
        return range(size)
    return rng.choice(size, limit, replace=False)
