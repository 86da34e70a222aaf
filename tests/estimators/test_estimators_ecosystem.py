"""The estimators with scikit-learn's own tools."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.fixes import parse_version

import bpnet
from bpnet import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 60}
FAST = SMALL | {"learning_rate_init": 0.05}


def test_in_a_pipeline_and_cross_validated():
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**FAST))
    assert cross_val_score(pipe, X_IRIS, Y_IRIS, cv=3).min() > 0.9
    peer = make_pipeline(StandardScaler(), sklearn.neural_network.MLPClassifier(**FAST))
    assert_array_equal(*(cross_val_score(p, X_IRIS, Y_IRIS, cv=3) for p in (pipe, peer)))


@pytest.mark.full
def test_in_a_grid_search_with_two_processes():
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**FAST))
    grid = {"mlpclassifier__activation": ["tanh", "gelu"], "mlpclassifier__dropout": [0.0, 0.2]}
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X_IRIS, Y_IRIS)
    assert search.best_score_ > 0.9
    assert search.best_estimator_[-1].activation in ("tanh", "gelu")


CALIBRATIONS = ["sigmoid", "isotonic"]
if parse_version(sklearn.__version__) >= parse_version("1.8"):
    CALIBRATIONS.append("temperature")


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibrated(method):
    model = CalibratedClassifierCV(MLPClassifier(**FAST), method=method, cv=2)
    probabilities = model.fit(X_IRIS, Y_IRIS).predict_proba(X_IRIS)
    assert_allclose(probabilities.sum(axis=1), 1.0)
    assert model.score(X_IRIS, Y_IRIS) > 0.9


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_a_checkpoint_of_an_estimator_is_refused_before_training(tmp_path, estimator):
    model = estimator(callbacks=[bpnet.Checkpoint(tmp_path / "net")])
    with pytest.raises(TypeError, match="files cannot represent scikit-learn's losses"):
        model.fit(X_IRIS, Y_IRIS)
    assert list(tmp_path.iterdir()) == []
    assert not hasattr(model, "coefs_")


def test_bagged_and_one_for_each_output():
    bag = BaggingClassifier(MLPClassifier(**FAST), n_estimators=2, random_state=0)
    assert bag.fit(X_IRIS, Y_IRIS).score(X_IRIS, Y_IRIS) > 0.9
    several = MultiOutputClassifier(MLPClassifier(**FAST))
    assert several.fit(X_IRIS, np.c_[Y_IRIS, Y_IRIS == 1]).predict(X_IRIS).shape == (150, 2)


def test_with_a_transformed_target():
    X, y = load_diabetes(return_X_y=True)
    model = TransformedTargetRegressor(MLPRegressor(**FAST), transformer=StandardScaler())
    assert (
        model.fit(StandardScaler().fit_transform(X), y).score(
            StandardScaler().fit_transform(X), y
        )
        > 0.5
    )


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_behind_a_transformer_that_gives_frames(output):
    pytest.importorskip(output, reason=f"{output} is not installed")
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**FAST)).set_output(transform=output)
    X = sklearn.datasets.load_iris(as_frame=True).data if output == "pandas" else X_IRIS
    assert pipe.fit(X, Y_IRIS).score(X, Y_IRIS) > 0.9
    assert len(pipe[-1].feature_names_in_) == 4
    columns = make_column_transformer((StandardScaler(), [0, 1]), remainder="passthrough")
    pipe = make_pipeline(columns, MLPClassifier(**FAST)).set_output(transform=output)
    if output == "pandas":
        assert pipe.fit(X, Y_IRIS).score(X, Y_IRIS) > 0.9


def test_arrays_of_a_device_pass_through_a_pipeline(backend):
    keep = FunctionTransformer(lambda X: X * 0.5, validate=False)
    pipe = make_pipeline(keep, MLPClassifier(**FAST | {"max_iter": 3}))
    X = backend.asarray(X_IRIS, "float32")
    assert type(pipe.fit(X, Y_IRIS).predict_proba(X)) is type(X)


def test_sample_weights_are_routed():
    w = np.where(Y_IRIS == 0, 5.0, 0.1)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(**FAST).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipe.fit(X_IRIS, Y_IRIS, sample_weight=w)
        scaled = StandardScaler().fit_transform(X_IRIS)
        direct = MLPClassifier(**FAST).fit(scaled, Y_IRIS, w)
        assert_array_equal(pipe[-1].coefs_[0], direct.coefs_[0])
        assert pipe.score(X_IRIS, Y_IRIS, sample_weight=w) == direct.score(scaled, Y_IRIS, w)
        assert MLPRegressor().set_partial_fit_request(sample_weight=True)


def test_parameters_tags_and_repr_are_scikit_learns():
    for name in ("MLPClassifier", "MLPRegressor"):
        ours, theirs = (getattr(m, name)() for m in (bpnet, sklearn.neural_network))
        assert theirs.get_params().items() <= ours.get_params().items()
        assert list(ours.get_params()) == sorted(ours.get_params())
        assert get_tags(ours) == get_tags(theirs)
        assert repr(clone(ours).set_params(alpha=0.5)) == f"{name}(alpha=0.5)"
        assert "MLP" in ours._repr_html_()
    assert is_classifier(bpnet.MLPClassifier())
    assert is_regressor(bpnet.MLPRegressor())
    for method in ("fit", "partial_fit", "predict", "predict_proba", "predict_log_proba"):
        assert hasattr(bpnet.MLPClassifier(), method)
    assert not hasattr(bpnet.MLPClassifier(solver="lbfgs"), "partial_fit")


def test_a_subclass_may_have_parameters_of_its_own():
    class Narrow(MLPClassifier):
        def __init__(self, width=3, random_state=None):
            super().__init__((width,), random_state=random_state, max_iter=2)
            self.width = width

    model = clone(Narrow(width=5, random_state=0)).fit(X_IRIS, Y_IRIS)
    assert model.coefs_[0].shape == (4, 5)
    assert model.get_params() == {"width": 5, "random_state": 0}


def test_the_documentation_names_every_parameter():
    for cls in (MLPClassifier, MLPRegressor):
        lines = {
            name.strip()
            for line in cls.__doc__.splitlines()
            if " : " in line
            for name in line.partition(" : ")[0].split(",")
        }
        assert cls().get_params().keys() <= lines
        assert "<" not in cls.__doc__.replace("<=", "").replace("< 1", "").replace("<BL", "")


def run(code, **environment):
    """Run code in a fresh interpreter; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=os.environ | environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_with_array_api_dispatch():
    """scikit-learn's own array API check, and tools that compute with such arrays."""
    pytest.importorskip("torch", reason="torch is not installed")
    said = run(
        """
        import warnings
        import torch
        import sklearn, bpnet
        from sklearn.datasets import load_iris
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.utils.estimator_checks import check_array_api_input

        warnings.simplefilter("ignore", ConvergenceWarning)
        for estimator in (bpnet.MLPClassifier(max_iter=3), bpnet.MLPRegressor(max_iter=3)):
            for namespace, device in (("torch", "cpu"), ("array_api_strict", None)):
                check_array_api_input(
                    type(estimator).__name__, estimator, namespace, device, "float64",
                    check_values=True, check_sample_weight=True,
                )
        X, y = map(torch.asarray, load_iris(return_X_y=True))
        pipe = make_pipeline(
            StandardScaler(),
            bpnet.MLPClassifier((8,), random_state=0, learning_rate_init=0.1, max_iter=30),
        )
        with sklearn.config_context(array_api_dispatch=True):
            print(type(pipe.fit(X, y).predict_proba(X)), pipe.score(X, y) > 0.95)
            print(cross_val_score(pipe, X, y, cv=2).min() > 0.8)
        """,
        SCIPY_ARRAY_API="1",
    )
    assert said.splitlines() == ["<class 'torch.Tensor'> True", "True"]


@pytest.mark.full
def test_bpnet_imports_scikit_learn_only_when_asked():
    said = run(
        """
        import sys
        import bpnet
        from bpnet import *
        print("sklearn" in sys.modules, "scipy" in sys.modules)
        bpnet.MLPClassifier
        print("sklearn" in sys.modules)
        """
    )
    assert said.split() == ["False", "False", "True"]


def test_without_scikit_learn_the_error_names_the_pip_line():
    said = run(
        """
        import sys
        sys.modules["sklearn"] = None
        import bpnet
        try:
            bpnet.MLPRegressor
        except ImportError as error:
            print(error)
        """
    )
    assert "install it with: pip install 'scikit-learn>=1.7'" in said
