"""The parity contract: the same seed gives the same training run on every backend and device.

Initial weights, masks and batches are bit-identical everywhere. What is computed from them
agrees up to rounding, as libraries sum products in different orders. :data:`TOLERANCES` bounds
the difference after a whole training run, and :func:`parity` measures it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.compat import device
from bpnet.backend.registry import available_backends, get_backend
from bpnet.common.checks import check_integer
from bpnet.common.keywords import explains_keywords
from bpnet.common.tables import align
from bpnet.data.dataset import Dataset
from bpnet.layers import Context, Dropout
from bpnet.network import Network, check_network
from bpnet.optimizers import Adam, Optimizer
from bpnet.training.examples import examples_in_memory
from bpnet.training.interrupt import uninterrupted
from bpnet.training.loop import Callback, Training
from bpnet.training.step import contexts, gather, values_now

REFERENCE = "numpy:cpu"
EPOCHS = 20
# Examples of a loader or a stream that are compared at most.
_ROWS = 1000
# Largest difference relative to the largest entry of its array; 0.0 means bit-identical. The
# rounding error is 1e-16 in float64 and 6e-8 in float32, and grows from step to step. That of
# TF32 is 5e-4, so products in TF32 violate the tolerance of float32.
TOLERANCES: Mapping[str, Mapping[str, float]] = {
    "float64": {
        "initial weights": 0.0, "masks": 0.0, "batches": 0.0,
        "loss curve": 1e-9, "final weights": 1e-9, "predictions": 1e-9,
    },
    "float32": {
        "initial weights": 0.0, "masks": 0.0, "batches": 0.0,
        "loss curve": 1e-4, "final weights": 1e-4, "predictions": 1e-4,
    },
}  # fmt: skip

Quantities = dict[str, list[Any]]


class Difference(NamedTuple):
    """The difference of one quantity between a backend and the reference.

    Attributes
    ----------
    backend : str
        The backend, such as "torch:cpu".
    quantity : str
        One of those in :data:`TOLERANCES`.
    ulps : int
        Largest distance of two entries in floats of the dtype; near 0, where floats are dense,
        this can be large for a negligible difference.
    relative : float
        Largest difference, relative to the largest entry of the reference array; NaN if only
        one of the two is finite.
    tolerance : float
        Upper bound for `relative`.
    """

    backend: str
    quantity: str
    ulps: int
    relative: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the tolerance is met; 0.0 requires identical bits."""
        return self.ulps == 0 if self.tolerance == 0.0 else self.relative <= self.tolerance


class Parity(NamedTuple):
    """Result of :func:`parity`; prints as a table.

    Attributes
    ----------
    differences : tuple of Difference
        By backend and quantity. The reference is included, trained a second time.
    skipped : dict of str to str
        Devices that do not support the network's dtype, and why.
    dtype : str
        The dtype of the network.
    epochs : int
        The number of epochs trained.
    """

    differences: tuple[Difference, ...]
    skipped: Mapping[str, str]
    dtype: str
    epochs: int

    @property
    def passed(self) -> bool:
        """Whether all tolerances are met."""
        return all(difference.passed for difference in self.differences)

    def __str__(self) -> str:
        rows = [("backend", "quantity", "ulps", "relative", "allowed", "")]
        for d in self.differences:
            allowed = "same bits" if d.tolerance == 0.0 else f"{d.tolerance:.0e}"
            verdict = "ok" if d.passed else "DIFFERS"
            rows.append(
                (d.backend, d.quantity, f"{d.ulps:,}", f"{d.relative:.1e}", allowed, verdict)
            )
        verb = "holds" if self.passed else "is broken"
        return "\n".join(
            [
                *align(rows),
                *(f"{spec} skipped: {reason}" for spec, reason in self.skipped.items()),
                f"parity {verb}: {self.dtype}, {self.epochs} epochs, compared with {REFERENCE}",
            ]
        )


@explains_keywords
def parity(
    net: Network,
    X: Any,
    y: Any = None,
    backends: str | Backend | Iterable[str | Backend] | None = None,
    *,
    optimizer: str | Optimizer | None = None,
    epochs: int = EPOCHS,
    batch_size: int | None = 32,
) -> Parity:
    """Train copies of a network on several backends and compare the results.

    Initial weights, dropout masks and batches are compared bit by bit; the loss curve, the
    final weights and the predictions with the tolerances of :data:`TOLERANCES`, which hold for
    the default number of epochs. Unstable training can amplify rounding errors beyond them.

    Parameters
    ----------
    net : Network
        The network, built or not; it is not changed.
    X, y : arrays, or a loader or stream and None
        Examples as for ``Network.fit``, of any library. Of a loader or stream, up to 1,000 are
        read into memory, without weights: the first of an epoch.
    backends : str, Backend, iterable of them, or None
        The backends to compare with NumPy; None takes every device of every available backend.
    optimizer : str, Optimizer or None
        None is ``Adam(0.001)``.
    epochs : int, default 20
        Passes over the examples.
    batch_size : int or None, default 32
        Examples per step.

    Returns
    -------
    Parity
        ``print`` it for a table, or use ``passed``.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    bpnet.BackendError
        If a requested backend is unavailable.
    bpnet.NonFiniteError
        If training diverges.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(60, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0, dtype="float64")
    >>> print(bpnet.parity(net, X, y, "numpy", epochs=2))  # trained twice
    backend     quantity          ulps   relative   allowed
    numpy:cpu   initial weights   0      0.0e+00    same bits   ok
    numpy:cpu   batches           0      0.0e+00    same bits   ok
    numpy:cpu   loss curve        0      0.0e+00    1e-09       ok
    numpy:cpu   final weights     0      0.0e+00    1e-09       ok
    numpy:cpu   predictions       0      0.0e+00    1e-09       ok
    parity holds: float64, 2 epochs, compared with numpy:cpu
    """
    epochs = check_integer("epochs", epochs, 1)
    data = examples_in_memory(check_network(net), X, y, _ROWS).to_host()
    compared, skipped = _chosen(backends, net.dtype)
    settings = {
        "optimizer": Adam() if optimizer is None else optimizer,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    expected = _quantities(net, data, get_backend(REFERENCE), settings)
    differences = []
    for backend in compared:
        found = _quantities(net, data, backend, settings)
        for quantity, reference in expected.items():
            ulps, relative = _difference(found[quantity], reference)
            tolerance = TOLERANCES[net.dtype][quantity]
            differences.append(Difference(backend.spec, quantity, ulps, relative, tolerance))
    return Parity(tuple(differences), skipped, net.dtype, epochs)


class _Record(Callback):
    """Record the initial weights, and the batches and masks of the first and last epochs."""

    adds: Mapping[str, str | None] = {}

    def __init__(self) -> None:
        self.weights: list[Any] = []
        self.batches: list[Any] = []
        self.masks: list[Any] = []

    def on_train_begin(self, training: Training) -> None:
        """Record the initial weights."""
        self.weights = list(_host_arrays(training.backend, training.parameters))

    def on_epoch_end(self, training: Training) -> None:
        """Recompute the batches and masks of the epoch, as its steps did."""
        if training.epoch not in (1, training.epochs):
            return
        backend = training.backend
        steps_before = training.state.steps_before + training.state.step
        number = steps_before + (training.epoch - 1) * training.runner.loader.n_batches
        for data, sizes, _ in training.runner.passes():
            for batch, rows in enumerate(sizes):
                place = training.runner.scalar(batch)
                given = gather(backend.xp, data, place, training.batch_size, rows)
                self.batches += [_to_host(backend, a) for a in given if a is not None]
                step = training.runner.scalar(number + batch)
                values = values_now(backend.xp, data, place)
                spec, keys = training.network.spec, data["keys"]
                passed = contexts(backend.xp, spec, keys, step, values)
                self.masks += _masks(training, given[0], passed)
            number += len(sizes)


def _masks(training: Training, X: Any, passed: list[Context]) -> Iterator[Any]:
    """Yield the masks of one step: the output of the dropout layers for ones."""
    network, backend = training.network, training.backend
    width, xp = int(X.shape[1]), backend.xp
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Dropout):
            ones = xp.ones((X.shape[0], width), dtype=X.dtype, device=device(X))
            yield _to_host(backend, layer.forward(xp, {}, ones, passed[number])[0])
        width = layer.n_outputs(width)


def _quantities(
    net: Network, data: Dataset, backend: Backend, settings: dict[str, Any]
) -> Quantities:
    """Train a copy on a backend, and return all quantities to compare, on the host."""
    trained, record = copy.deepcopy(net), _Record()
    history = uninterrupted(
        trained.fit(data.X, data.y, callbacks=[record], backend=backend, **settings)
    )
    predict = trained.predict_proba if trained.is_classifier else trained.predict
    quantities = {
        "initial weights": record.weights,
        "masks": record.masks,
        "batches": record.batches,
        "loss curve": [np.asarray(history["loss"], net.dtype)],
        "final weights": list(_host_arrays(backend, trained.parameters)),
        "predictions": [np.asarray(predict(data.X, backend=backend))],
    }
    return {name: arrays for name, arrays in quantities.items() if arrays}


def _chosen(
    backends: str | Backend | Iterable[str | Backend] | None, dtype: str
) -> tuple[list[Backend], dict[str, str]]:
    """Return the backends to compare, and those that do not support the dtype."""
    if backends is None:
        table = available_backends()
        backends = [f"{name}:{device}" for name in table for device in table[name].devices]
    if isinstance(backends, str | Backend):
        backends = [backends]
    if not isinstance(backends, Iterable):
        raise TypeError(f"backends must be spec strings such as 'torch', got {backends!r}")
    compared, skipped = [], {}
    for spec in backends:
        if spec is None:
            raise TypeError(
                "backends must be spec strings such as 'torch', got None among them"
            )
        backend = get_backend(spec)
        try:
            backend.asarray(0.0, dtype)
        except TypeError as error:  # Apple's MPS has no float64
            skipped[backend.spec] = str(error)
        else:
            compared.append(backend)
    if not compared:
        raise ValueError(f"backends must name at least one that supports {dtype}; {skipped}")
    return compared, skipped


def _to_host(backend: Backend, array: Any) -> Any:
    return np.array(backend.to_numpy(array))


def _host_arrays(backend: Backend, parameters: Any) -> Iterator[Any]:
    return (_to_host(backend, p) for layer in parameters for p in layer.values())


def _difference(found: list[Any], expected: list[Any]) -> tuple[int, float]:
    """Return the largest difference between arrays: in ulps, and relative."""
    pairs = list(zip(found, expected, strict=True))
    return (
        max(_ulps(a, b) for a, b in pairs),
        float(np.max([_relative(a, b) for a, b in pairs])),  # NaN stays NaN
    )


def _relative(a: Any, b: Any) -> float:
    """Return the difference relative to the largest entry; non-finite entries must match."""
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("nan")
    largest = float(np.max(np.abs(b[finite]), initial=0.0))
    distance = float(np.max(np.abs(a[finite] - b[finite]), initial=0.0))
    return distance / (largest or 1.0)


def _ulps(a: Any, b: Any) -> int:
    """Return the largest distance of two entries in floats, or the difference of labels."""
    if a.dtype != b.dtype or a.shape != b.shape:
        raise ValueError(f"got {a.dtype} {a.shape} where {b.dtype} {b.shape} was expected")
    p, q = _ordered(a), _ordered(b)
    # The difference can exceed an int64, but fits a uint64.
    apart = np.maximum(p, q).astype(np.uint64) - np.minimum(p, q).astype(np.uint64)
    return int(np.max(apart, initial=np.uint64(0)))


def _ordered(array: Any) -> Any:
    """Map floats to integers of the same order, with 0 for both zeros."""
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    bits = array.view(f"i{array.itemsize}").astype(np.int64)
    lowest = np.iinfo(f"i{array.itemsize}").min
    return np.where(bits < 0, lowest - bits, bits)
