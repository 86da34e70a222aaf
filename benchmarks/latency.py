"""Predictions for one row, whose time is that of checks and calls, not of products."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bpnet
from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.runner import SKLEARN, Column, Options, Row, has, number, peers, race, ratio
from benchmarks.timing import calls_of

NUMPY = "NumPy by hand"
CLASSIFIER = "bpnet MLPClassifier"
ONNX = "ONNX Runtime"

COLUMNS: dict[str, Column] = {
    "/ NumPy": ratio(lambda contestant: NUMPY),
    "/ scikit-learn": ratio(lambda contestant: SKLEARN),
    "us": number("seconds", 1e6, 1),
}

Predict = Callable[[Any], Any]


def measure(options: Options) -> Iterator[list[Row]]:
    """Race the prediction of a row: float32, and float64 as scikit-learn's users pass it."""
    for case in {case.sizes: case for case in options.cases}.values():
        for dtype in ("float32", "float64"):
            X = case.examples(1)[0].astype(dtype)
            turns = {
                name: calls_of(predict, X)
                for name, predict in predictors(case, options, dtype).items()
            }
            yield race("latency", f"{case.network}, {dtype} row", turns, options.rounds)


def predictors(case: Case, options: Options, dtype: str = "float32") -> dict[str, Predict]:
    """Return functions of host rows that return probabilities.

    The networks are float32, the estimators of the dtype of the examples, as is their way.
    """
    found: dict[str, Predict] = {NUMPY: by_hand(case)}
    for label, backend in options.backends.items():
        found[f"bpnet {label}"] = ours.network(case, backend).predict_proba
    for name, make in peers("predictor").items():
        given = (dtype,) if name == SKLEARN else ()
        found[name] = make(case, options.device(name), *given)
    if has("onnxruntime") and has("ndonnx"):
        found[ONNX] = exported(case)
    if SKLEARN in found:
        found[CLASSIFIER] = classifier(case, dtype)
    return found


def by_hand(case: Case) -> Predict:
    """Return what a user of NumPy writes."""
    *hidden, (W, b) = case.weights()
    f = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}[case.activation]

    def predict(X: Any) -> Any:
        a = X.astype(np.float32, copy=False)
        for V, c in hidden:
            a = f(a @ V + c)
        z = a @ W + b
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return predict


def exported(case: Case) -> Predict:
    """Return the prediction of the network's ONNX file."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        ours.network(case, "numpy").to_onnx(path)
        session = onnxruntime.InferenceSession(path)

    def predict(X: Any) -> Any:
        return session.run(["probabilities"], {"X": X.astype(np.float32, copy=False)})[0]

    return predict


def classifier(case: Case, dtype: str) -> Predict:
    """Return the prediction of an estimator of the size of scikit-learn's."""
    X, y = case.examples()
    fitted = bpnet.MLPClassifier(case.sizes[1:-1], case.activation, random_state=0)
    fitted.partial_fit(X.astype(dtype), y, classes=np.arange(case.sizes[-1]))
    return fitted.predict_proba  # type: ignore[no-any-return]
