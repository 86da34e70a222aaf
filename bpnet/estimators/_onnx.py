"""ONNX files of fitted estimators."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from bpnet.backend.graph import Graph
from bpnet.backend.typing import Array
from bpnet.common.checks import check_path
from bpnet.serialization import onnx_file

# Where an ONNX file holds the class labels, and their types.
_LABELS = "biufUT"


class OnnxEstimator:
    """An estimator whose predictions can be written to an ONNX file."""

    @abstractmethod
    def _onnx_outputs(self, graph: Graph) -> dict[str, Array]:
        """Record what the fitted estimator predicts, by the names of the outputs."""

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write what the fitted estimator predicts to an ONNX file, to run without bpnet.

        MLPClassifier and MLPRegressor have one input "X", (batch, n_features), in the dtype of
        the computations: the parameter `dtype`, by default that of the X fitted to. The tabular
        estimators have an input (batch,) for each column, of its name, or "x0", "x1", ... of a
        table without names. Numbers are float64, and NaN where one is missing. Categories are
        strings, int64, float64 or bools, like the levels in training; any other value, such as
        "", counts as missing. All of the preprocessing is part of the file.

        The outputs are those of `predict` and `predict_proba`, to rounding:

        - of a classifier "label", (batch,), in the types of `classes_`, and "probabilities",
          (batch, n_classes); of multilabel targets both are (batch, n_labels);
        - of a regressor "prediction", (batch,) or (batch, n_outputs).

        The metadata holds the version of bpnet, the classes and the names of the features, as
        JSON. The file is in opset 21, which ONNX Runtime reads from 1.18 on, and is written
        atomically. Requires ndonnx: ``pip install "bpnet-array-api[onnx]"``.

        Parameters
        ----------
        path : path
            Output file; by convention it ends in ".onnx".

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ImportError
            If ndonnx is not installed.
        ValueError
            If a column is named like an output.
        TypeError
            If the class labels, or the levels of a column of categories, are of types that ONNX
            does not have.
        OSError
            If the file cannot be written.

        See Also
        --------
        bpnet.Network.to_onnx : That of a network.
        """
        path = check_path("path", path)
        check_is_fitted(self)
        graph = onnx_file.onnx_graph()
        names, classes = (
            getattr(self, "feature_names_in_", None),
            getattr(self, "classes_", None),
        )
        described = {
            "kind": type(self).__name__,
            "feature_names": None if names is None else [str(name) for name in names],
            "classes": None if classes is None else _labels(classes).tolist(),
        }
        onnx_file.write(path, graph, self._onnx_outputs(graph), described)


def label_of(graph: Graph, classes: Any, codes: Array) -> Array:
    """Record the class label of each code."""
    return graph.xp.take(graph.constant(_labels(classes)), codes, axis=0)


def _labels(classes: Any) -> Any:
    """Return class labels on the host, as numbers, bools or text."""
    classes = np.asarray(classes)
    if classes.dtype.kind == "O" and all(isinstance(label, str) for label in classes):
        classes = classes.astype(str)
    if classes.dtype.kind not in _LABELS:
        raise TypeError(
            f"an ONNX file holds class labels that are numbers, bools or text; got classes_ of "
            f"dtype {classes.dtype}: {classes.tolist()[:5]}. Fit to y.astype(str)"
        )
    return classes
