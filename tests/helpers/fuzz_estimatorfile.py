"""Fuzzing of estimator files, for tests/estimators/test_estimators_files.py and longer runs.

    python tests/helpers/fuzz_estimatorfile.py 10000

tries this many, like fuzz_modelfile.py: each must be rejected with ModelFileError, or be an
estimator that predicts, and can be fitted further, even if its numbers make training diverge.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import warnings

import fuzz_modelfile
import numpy as np

import bpnet
from bpnet import schedules
from bpnet.estimators import _files

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 2))
Y = np.array(["a", "b", "c"])[np.arange(20) % 3]


@functools.cache
def genuine(name):
    """Return the document and the tensors of an estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "classifier":
            schedule = schedules.WarmUp(schedules.ReduceOnPlateau(0.05, "val_loss"), 1)
            model = bpnet.MLPClassifier(
                (3,), dropout=0.1, early_stopping=True, warm_start=True, schedule=schedule,
                class_weight={"a": 2.0, "b": 1.0, "c": 1.0}, max_iter=3, batch_size=7,
                validation_fraction=0.3, random_state=0,
            ).fit(X, Y)  # fmt: skip
        else:
            model = bpnet.MLPRegressor(
                "poisson", (3, 2), activation=["elu", "tanh"], solver="sgd", max_iter=3,
                learning_rate="invscaling", random_state=np.random.RandomState(1), init="zeros",
            ).fit(X, X**2)  # fmt: skip
    return _files.contents(model)


def changed_files(name):
    """Return strategies of files: with changed bytes, and with changed contents."""
    return (
        fuzz_modelfile.changed_bytes(lambda: fuzz_modelfile.sign(*genuine(name))),
        fuzz_modelfile.changed_contents(lambda: genuine(name)),
    )


def check(content, path):
    """Load a file, predict and train; return the outcome, which must be an allowed one."""
    path.write_bytes(content)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = bpnet.load(path)
        except bpnet.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error).encode()) < 1000  # noqa: PT017
            return "refused"
        some = np.ones((20, model.n_features_in_))
        y = model.predict(some)
        y = np.resize(model.classes_, 20) if hasattr(model, "classes_") else y
        model.set_params(max_iter=2)
        try:
            if hasattr(model, "partial_fit") and not model.early_stopping:
                model.partial_fit(some, y)
            model.fit(some, y)
        except (ValueError, TypeError, MemoryError):
            return "not trained"
    return "trained"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name in ("classifier", "regressor"):
            for contents in changed_files(name):
                count = int(sys.argv[1]) // 4
                print(fuzz_modelfile.fuzz(contents, count, folder, check), flush=True)
