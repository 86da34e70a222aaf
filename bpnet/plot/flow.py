"""One example on its way through a network and back, drawn as SVG; needs no matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_integer, check_path
from bpnet.common.keywords import suggests_keywords
from bpnet.layers import Dense, Layer
from bpnet.model.trace import Trace
from bpnet.network import Network, check_network
from bpnet.plot.flow_svg import Column, Panel, drawing, number


class ExampleFlow(NamedTuple):
    """The result of :func:`example_flow`; a notebook shows it as a picture.

    Attributes
    ----------
    svg : str
        The picture, an SVG document.
    trace : bpnet.model.trace.Trace
        The numbers that it shows.
    """

    svg: str
    trace: Trace

    def _repr_svg_(self) -> str:
        """Return the picture for a notebook."""
        return self.svg

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, by convention ending in ".svg".

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        Path(check_path("path", path)).write_text(self.svg, encoding="utf-8")

    def __repr__(self) -> str:
        return f"ExampleFlow({', '.join(self.trace)})"


@suggests_keywords
def example_flow(net: Network, x: Any, y: Any, *, max_units: int = 8) -> ExampleFlow:
    """Draw one example on its way through the network, and its error on the way back.

    Above, forward: each circle is a unit, colored by its activation a, and each line a weight,
    colored by what it adds to the next unit, a W. Below, backward: each circle is colored by
    its delta = dL/dz (dL/da for layers without z), and each line by the gradient of its weight,
    the activation on its left times the delta on its right. The picture has a title and a
    description for screen readers, tells each number when the mouse rests on it, and follows
    the light or dark mode of the reader.

    Parameters
    ----------
    net : Network
        The network, built or not; it is not changed.
    x : array (n_0,) or (1, n_0)
        Features of one example.
    y : number, or array (n_L,); with x (1, n_0) also (1,) or (1, n_L)
        Its target.
    max_units : int, default 8
        Units drawn of each layer, >= 2: of more, the first and the last.

    Returns
    -------
    ExampleFlow
        Shown by a notebook; ``save("flow.svg")`` writes it.

    Raises
    ------
    ValueError, TypeError
        If `net` is no network, or the example does not suit it.

    Examples
    --------
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0).build(2)
    >>> flow = bpnet.plot.example_flow(net, [0.5, -1.0], 1)
    >>> flow.svg.startswith("<svg"), float(flow.trace["p"][0, 0]).__round__(2)
    (True, 0.47)
    """
    limit = check_integer("max_units", max_units, 2)
    features = _numbers(x)
    if features.ndim == 2 and len(features) == 1:  # as X[:1], y[:1]
        features, y = features[0], y[0] if _numbers(y).ndim else y
    if features.ndim != 1:
        raise ValueError(
            f"x must be one example, of shape (n_0,) or (1, n_0), got {features.shape}; take "
            "one: X[0], y[0]"
        )
    trace = check_network(net).trace(features, y)
    forward, backward = [_column("x", features, limit)], [_column("x", None, limit, features)]
    added, gradients = [], []
    for k, (layer, parameters) in enumerate(
        zip(net.layers, net.placement.parameters, strict=True), start=1
    ):
        inputs, a = forward[-1].values, _of_one(trace, f"a{k}")
        error = f"delta{k}" if f"delta{k}" in trace else f"dL/da{k}"
        is_dense = isinstance(layer, Dense) and layer.keeps_z
        W = np.asarray(net.backend.to_numpy(parameters["W"])) if is_dense else None
        added.append(None if W is None else inputs[:, None] * W * _scale(layer, W))
        gradients.append(np.asarray(trace[f"dW{k}"]) if is_dense else None)
        forward.append(_column(f"a{k}", a, limit))
        backward.append(_column(error, _of_one(trace, error), limit))
    forward[-1] = forward[-1]._replace(notes=_notes(net, trace, y, forward[-1].shown))
    loss = f"{float(np.asarray(trace['loss'])):.3g}"
    panels = (
        Panel(f"Forward: activations a, and what each weight adds, a W. Loss {loss}",
              forward, added),
        Panel("Backward: deltas, and the gradient of each weight, dW = a delta",
              backward, gradients),
    )  # fmt: skip
    title = f"One example on its way through {len(net.layers)} layers, and its error back"
    return ExampleFlow(drawing(panels, title, _description(backward, loss)), trace)


def _numbers(x: Any) -> Any:
    """Return the features of an example on the host."""
    try:
        return np.asarray(to_host(x), dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"x must be numbers, got {x!r}") from error


def _column(name: str, values: Any, limit: int, like: Any = None) -> Column:
    """Return a column of as many units as the values, or as `like` if there are none."""
    n = len(like if values is None else values)
    if n <= limit:
        return Column(name, values, tuple(range(n)))
    head = (limit + 1) // 2
    tail = limit - head
    return Column(name, values, (*range(head), None, *range(n - tail, n)))


def _of_one(trace: Trace, name: str) -> Any:
    """Return a quantity of the only example, shape (n,)."""
    return np.asarray(trace[name], dtype=float)[0]


def _scale(layer: Layer, W: Any) -> float:
    """Return the factor of W in the neural tangent parametrization."""
    is_ntk = isinstance(layer, Dense) and layer.parametrization == "ntk"
    return 1.0 / math.sqrt(W.shape[0]) if is_ntk else 1.0


def _notes(net: Network, trace: Trace, y: Any, shown: Sequence[int | None]) -> tuple[str, ...]:
    """Return the prediction and the target beside each output."""
    n = net.n_outputs
    predicted = _of_one(trace, "p") if "p" in trace else _of_one(trace, f"a{len(net.layers)}")
    target = np.asarray(to_host(y), dtype=float).ravel()
    if len(target) < n:  # the number of a class
        target = np.eye(n)[int(target[0])]
    symbol = "p" if "p" in trace else "a"
    return tuple(
        "" if k is None else f"{symbol} = {number(predicted[k], 3)}, y = {number(target[k], 3)}"
        for k in shown
    )


def _description(columns: Sequence[Column], loss: str) -> str:
    """Return in words what a reader sees: where the deltas are large."""
    sizes = [
        f"{column.name} {float(np.abs(column.values).max()):.2g}"
        for column in columns
        if column.values is not None
    ]
    return (
        f"Two drawings of the network, with a circle for each unit and a line for each weight. "
        f"The first is colored by activations, the second by deltas and gradients. The loss is "
        f"{loss}. The largest size of the deltas of each layer: {', '.join(sizes)}."
    )
