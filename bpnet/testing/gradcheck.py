"""Check backpropagation against finite differences, by the rules of CS231n's "Gradient checks".

Central differences in float64; relative errors with their scale; kinks detected and reported;
the regularizer on or off; fixed dropout masks; elements of every parameter. Left to the caller:
few examples suffice (and hit fewer kinks), and a check is more meaningful after some training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet import backprop
from bpnet.backend import Backend
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec
from bpnet.common.checks import check_flag, check_integer
from bpnet.common.keywords import explains_keywords
from bpnet.common.tables import align
from bpnet.data.streams.recognize import refuse_streams
from bpnet.layers import Context
from bpnet.losses import mean_loss, sum_of_weights
from bpnet.network import Network, check_network
from bpnet.random import generator

_EPSILON = float(np.finfo(np.float64).eps)
# The error of central differences, h^2 f'''/6 + eps f/h, is smallest near h = eps^(1/3).
_STEP = _EPSILON ** (1.0 / 3.0)
_TOLERANCE = 1e-6
# Divisors of the step: a kink within one step lies outside the next.
_SHRINKS = (1.0, 16.0, 256.0)
# Change of slope over one step, relative to the largest gradient, that may be a kink.
_JUMP = 1e-3


class GradientReport(NamedTuple):
    """Result of :func:`check_gradients`; prints as a table.

    Attributes
    ----------
    max_relative_error : float
        The largest entry of `per_parameter`.
    per_parameter : dict of str to float
        For each parameter, such as "layer 1 W", the largest difference between the two
        gradients, relative to its entry in `scales`.
    n_checked : dict of str to int
        For each parameter, the number of elements compared.
    kinks : dict of str to int
        For each parameter, the number of elements with a kink of the loss (relu at 0, l1 at 0)
        within the step. They were compared using a smaller step or, if the kink is exactly at
        the point, with the slopes on both sides.
    scales : dict of str to float
        For each parameter, the larger of its largest gradient and the resolution of finite
        differences.
    tolerance : float
        The largest error that passes.
    regularizer : bool
        Whether penalties were included in loss and gradients.
    """

    max_relative_error: float
    per_parameter: Mapping[str, float]
    n_checked: Mapping[str, int]
    kinks: Mapping[str, int]
    scales: Mapping[str, float]
    tolerance: float
    regularizer: bool

    @property
    def passed(self) -> bool:
        """Whether no error exceeds the tolerance."""
        return self.max_relative_error <= self.tolerance

    def __str__(self) -> str:
        rows = [("parameter", "elements", "kinks", "scale", "relative error", "")]
        for name, error in self.per_parameter.items():
            verdict = "ok" if error <= self.tolerance else "WRONG"
            numbers = (str(self.n_checked[name]), str(self.kinks[name]))
            rows.append((name, *numbers, f"{self.scales[name]:.1e}", f"{error:.1e}", verdict))
        verdict = "agree" if self.passed else "DISAGREE"
        return "\n".join(
            [
                *align(rows),
                *self._advice(),
                f"backpropagation and finite differences {verdict}: largest relative error "
                f"{self.max_relative_error:.1e}, allowed {self.tolerance:.0e}, "
                f"regularizer {'on' if self.regularizer else 'off'}",
            ]
        )

    def _advice(self) -> Iterator[str]:
        """Yield where to look, as an error on the way back makes all that follows wrong."""
        wrong = [name for name, e in self.per_parameter.items() if not e <= self.tolerance]
        if not wrong:
            return
        layer = wrong[-1].rpartition(" ")[0]
        first = [name for name in wrong if name.rpartition(" ")[0] == layer]
        reached = list(self.per_parameter)[: list(self.per_parameter).index(wrong[-1])]
        if right := [name for name in reached if name not in wrong]:
            advice = f"as {right[-1]} is right, look at how that gradient alone is computed"
        else:
            advice = (
                "look at the backward of that layer, the derivative of its activation, and the "
                "error that the next layer (or the loss) returns"
            )
        go = "go" if first[1:] else "goes"
        yield f"On the way back, {' and '.join(first)} {go} wrong first: {advice}."


@explains_keywords
def check_gradients(
    net: Network,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    samples: int | None = None,
    seed: int = 0,
    regularizer: bool = True,
    backend: str | Backend | None = None,
) -> GradientReport:
    """Compare backpropagation with central differences of the loss, in float64.

    For each element p, ``(L(p + h) - L(p - h)) / 2h`` with ``h = eps^(1/3) max(1, abs(p))``.
    Differences are relative to the larger of the largest gradient of the array and the
    resolution of finite differences. Dropout layers are active, with the masks of one training
    step. An element that disagrees is retried with smaller steps, as h may have crossed a kink
    (relu at 0). If it still disagrees and its one-sided slopes differ, it is at a kink, where
    any gradient between the two slopes is correct. Both cases count as `kinks` in the report.

    Parameters
    ----------
    net : Network
        The network, built if necessary and otherwise not changed: the check runs on a float64
        copy of its parameters.
    X, y, sample_weight : arrays
        As for ``Network.loss_and_gradients``; a few examples are enough. Of a loader, pass
        some: ``X, y = loader.sample(32)``.
    samples : int or None, default None
        Number of elements of each parameter to compare, drawn at random; None compares all.
    seed : int, default 0
        Seed of that draw.
    regularizer : bool, default True
        Whether to include the penalties of the layers. If they are strong, also check with
        False: a penalty can hide a wrong gradient of the data loss.
    backend : str, Backend or None
        The backend to compute on.

    Returns
    -------
    GradientReport
        ``print`` it for a table.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(20)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> bpnet.check_gradients(net, X, y).max_relative_error < 1e-6
    True
    """
    check_network(net)
    limit = None if samples is None else check_integer("samples", samples, 1)
    rng = generator(check_integer("seed", seed, 0), "sample")
    on = check_flag("regularizer", regularizer)
    exact_of, loss_of = WITH_PENALTIES if on else WITHOUT_PENALTIES
    refuse_streams(X, y)
    data = net.check_data(X, y, sample_weight, dtype="float64")
    backend = net.choose_backend(backend, data.owner)
    parameters = _float64(net.parameters_on(backend, data.X), backend)
    with backend.activate():
        arguments = (*data.arrays_on(backend), net.contexts(backend, 1, "float64"))
        loss, gradients = net.compiled(backend, exact_of)(parameters, *arguments)
        measure = _Perturbed(
            net.compiled(backend, loss_of), parameters, arguments, backend, float(loss)
        )
        resolution = _EPSILON * max(1.0, abs(float(loss))) / _STEP
        errors, counts, kinks, scales = {}, {}, {}, {}
        for number, layer in enumerate(gradients):
            for name, gradient in layer.items():
                exact = backend.to_numpy(gradient).ravel()
                chosen = _choose(rng, exact.size, limit)
                scale = max(float(np.max(np.abs(exact))), resolution / _TOLERANCE)
                found = [
                    measure.error(number, name, index, float(exact[index]), scale)
                    for index in chosen
                ]
                label = f"layer {number + 1} {name}"
                errors[label] = float(np.max([error for error, _ in found])) / scale
                counts[label], scales[label] = len(found), scale
                kinks[label] = sum(kinked for _, kinked in found)
    largest = float(np.max(list(errors.values())))  # NaN if any is
    return GradientReport(largest, errors, counts, kinks, scales, _TOLERANCE, on)


def data_loss(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None,
    contexts: Sequence[Context],
) -> Array:
    """Return the loss without penalties, with the dropout masks of a training step."""
    z, _ = backprop.forward(xp, model, parameters, X, contexts)
    return mean_loss(xp, model.loss.value(xp, y, z), w)


def training_loss(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None,
    contexts: Sequence[Context],
) -> Array:
    """Return the loss with penalties, with the dropout masks of a training step."""
    loss = data_loss(xp, model, parameters, X, y, w, contexts)
    return loss + backprop.penalty(xp, model, parameters, sum_of_weights(xp, X, w))


WITH_PENALTIES = (backprop.loss_and_gradients, training_loss)
WITHOUT_PENALTIES = (backprop.data_loss_and_gradients, data_loss)


class _Perturbed:
    """The loss as a function of one element of one parameter."""

    def __init__(
        self,
        compute: Callable[..., Any],
        parameters: Parameters,
        arguments: Any,
        backend: Backend,
        unperturbed: float,
    ) -> None:
        self.compute, self.arguments, self.backend = compute, arguments, backend
        self.parameters, self.unperturbed = parameters, unperturbed
        self.host = [
            {name: np.array(backend.to_numpy(p)) for name, p in layer.items()}
            for layer in parameters
        ]

    def error(
        self, number: int, name: str, index: int, exact: float, scale: float
    ) -> tuple[float, bool]:
        """Return the absolute difference, and whether there was a kink."""
        least = np.inf
        for shrink in _SHRINKS:
            left, right, noise = self.slopes(number, name, index, shrink)
            least = min(least, abs(0.5 * (left + right) - exact))
            if least <= _TOLERANCE * scale:
                kinked = shrink > 1.0 or (
                    abs(right - left) > max(_JUMP * scale, noise)
                    and self.has_kink(number, name, index, abs(right - left))
                )
                return least, kinked
        if abs(right - left) <= max(_TOLERANCE * scale, noise):
            return least, False
        outside = max(min(left, right) - exact, exact - max(left, right), 0.0)
        return min(least, outside), True

    def has_kink(self, number: int, name: str, index: int, jump: float) -> bool:
        """Tell a kink from curvature, whose change of slope is proportional to h."""
        left, right, _ = self.slopes(number, name, index, _SHRINKS[1])
        return not 0.5 < abs(right - left) * _SHRINKS[1] / jump < 2.0

    def slopes(
        self, number: int, name: str, index: int, shrink: float
    ) -> tuple[float, float, float]:
        """Return the left and right slopes over a step h, and their rounding error."""
        value = float(self.host[number][name].flat[index])
        h = _STEP * max(1.0, abs(value)) / shrink
        high, low = value + h, value - h
        left = (self.unperturbed - self.loss(number, name, index, low)) / (value - low)
        right = (self.loss(number, name, index, high) - self.unperturbed) / (high - value)
        return left, right, 8.0 * _EPSILON * max(1.0, abs(self.unperturbed)) / h

    def loss(self, number: int, name: str, index: int, value: float) -> float:
        """Return the loss with one element replaced; the standard has no item assignment."""
        array = self.host[number][name].copy()
        array.flat[index] = value
        changed = list(self.parameters)
        changed[number] = changed[number] | {name: self.backend.asarray(array)}
        return float(self.compute(changed, *self.arguments))


def _float64(parameters: Parameters, backend: Backend) -> Parameters:
    with backend.activate():
        return [
            {
                name: backend.asarray(backend.to_numpy(p).astype(np.float64))
                for name, p in layer.items()
            }
            for layer in parameters
        ]


def _choose(rng: np.random.Generator, size: int, limit: int | None) -> Any:
    if limit is None or limit >= size:
        return range(size)
    return rng.choice(size, limit, replace=False)
