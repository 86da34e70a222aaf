"""The examples that are drawn in a plane: of a network, or of an estimator."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.data.frames import as_numbers, column_names, is_frame
from bpnet.network import Network, check_network


class Examples(NamedTuple):
    """Points (m, 2), the codes of their classes (m,), and the names of classes and axes."""

    points: Any
    codes: Any
    classes: tuple[str, ...]
    axes: tuple[str, ...]


def examples_in_plane(net: Network | Any, X: Any, y: Any) -> Examples:
    """Return the examples on the host, if the classifier and they can be drawn."""
    if hasattr(net, "get_params"):
        return _of_estimator(net, X, y)
    points, codes = check_examples(net, X, y)
    return Examples(points, codes, tuple(map(str, range(max(2, net.n_outputs)))), _axes(X))


def check_examples(net: Network, X: Any, y: Any) -> tuple[Any, Any]:
    """Return points (m, 2) and classes (m,) on the host, if the network can be drawn."""
    if not check_network(net).is_built:
        raise ValueError("the network has no parameters yet; fit it first")
    if not net.is_classifier:
        raise ValueError(
            f"decision_boundary needs a classifier; this network's loss is {net.loss.name!r}"
        )
    if net.loss.targets == "probabilities" and net.n_outputs > 1:
        raise ValueError(
            f"decision_boundary needs mutually exclusive classes; this network predicts "
            f"{net.n_outputs} labels independently"
        )
    data = net.check_data(X, y, None).to_host()
    if data.X.shape[1] != 2:
        raise ValueError(
            f"X must have shape (m, 2) to be drawn in a plane, got {data.X.shape}; "
            f"train a network on two of the features"
        )
    if data.y.ndim == 1:
        return data.X, data.y
    return data.X, data.y[:, 0] > 0.5 if net.n_outputs == 1 else data.y.argmax(axis=1)


def _of_estimator(net: Any, X: Any, y: Any) -> Examples:
    """Check by what scikit-learn's classifiers have: `predict_proba` and `classes_`."""
    name = type(net).__name__
    classes = getattr(net, "classes_", None)
    if classes is None or not hasattr(net, "predict_proba"):
        raise ValueError(
            f"decision_boundary needs a fitted classifier with predict_proba; this {name} is "
            f"not fitted yet, or predicts no probabilities"
        )
    points = as_numbers("X", X) if is_frame(X) else np.asarray(to_host(X), dtype=float)
    labels, known = np.asarray(to_host(y)), np.asarray(to_host(classes))
    if labels.ndim != 1 or known.ndim != 1:
        raise ValueError(
            f"decision_boundary needs one class per example; got y of shape {labels.shape}"
        )
    if points.shape != (len(labels), 2):
        raise ValueError(
            f"X must have shape ({len(labels)}, 2) to be drawn in a plane, got {points.shape}; "
            f"fit the classifier to two of the features"
        )
    codes = {label: code for code, label in enumerate(known.tolist())}
    if strange := {label for label in labels.tolist() if label not in codes}:
        raise ValueError(
            f"y must hold classes that the {name} was fitted to, {known.tolist()}; got "
            f"{sorted(strange, key=str)}"
        )
    numbers = np.array([codes[label] for label in labels.tolist()])
    return Examples(points, numbers, tuple(map(str, codes)), _axes(X))


def _axes(X: Any) -> tuple[str, ...]:
    return column_names(X) or ("feature 1", "feature 2")


def like(X: Any, points: Any) -> Any:
    """Return points (n, 2) in a frame with the columns of X, if that is a frame with names."""
    names = column_names(X)
    if names is None or not is_frame(X):
        return points
    make = getattr(type(X), "from_pydict", type(X))  # PyArrow's; pandas and polars take a dict
    return make(dict(zip(names, points.T, strict=True)))
