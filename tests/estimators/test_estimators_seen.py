"""Estimators in plots and diagnosis, and where their settings belong."""

from __future__ import annotations

import warnings

import pandas as pd
import polars as pl
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bpnet
from bpnet import plot

X, CODES = bpnet.datasets.make_moons(80, seed=0)
Y = [("cat", "dog")[code] for code in CODES]

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def classifiers(**more):
    return [
        bpnet.MLPClassifier(hidden_layer_sizes=8, max_iter=3, random_state=0, **more),
        bpnet.TabularClassifier(preset="plain", n_epochs=3, random_state=0, **more),
    ]


def regressors(**more):
    return [
        bpnet.MLPRegressor(hidden_layer_sizes=8, max_iter=3, random_state=0, **more),
        bpnet.TabularRegressor(preset="plain", n_epochs=3, random_state=0, **more),
    ]


# --- history and diagnosis ------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_a_fitted_estimator_is_diagnosed_and_plotted_like_its_history(number):
    callbacks = [bpnet.GradientFlow(every=1)]
    model = [*classifiers(callbacks=callbacks), *regressors(callbacks=callbacks)][number]
    model.fit(X, CODES if number < 2 else X[:, 0])
    assert str(bpnet.diagnose(model)) == str(bpnet.diagnose(model.history_))
    losses = plot.history(model).get_lines()[0].get_ydata()
    assert list(losses) == model.history_["loss"]
    flows = plot.gradient_flow(model).get_lines()
    assert list(flows[0].get_ydata()) == model.history_["gradient_norm/1"]


def test_without_gradient_flow_the_error_says_where_callbacks_belong():
    model = classifiers()[0].fit(X, Y)
    for look in (bpnet.diagnose, plot.gradient_flow):
        with pytest.raises(ValueError, match=r"callbacks.*estimator|estimator.*callbacks"):
            look(model)


@pytest.mark.parametrize("look", [bpnet.diagnose, plot.history, plot.gradient_flow])
def test_an_estimator_without_epochs_says_so(look):
    unfitted = [*classifiers(), *regressors()]
    without = bpnet.MLPClassifier(
        hidden_layer_sizes=8, solver="lbfgs", max_iter=500, random_state=0
    ).fit(X, Y)
    for model in (*unfitted, without):
        with pytest.raises(ValueError, match=r"this \w+ keeps no history: call its fit first"):
            look(model)


def test_of_a_network_the_history_is_asked_for():
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    with pytest.raises(TypeError, match=r"got Network; history = net\.fit\(X, y\) is one"):
        plot.history(net)


def test_of_a_pipeline_the_estimator_in_it_is_asked_for():
    model = make_pipeline(StandardScaler(), classifiers()[0]).fit(X, Y)
    search = GridSearchCV(classifiers()[0], {"alpha": [1e-4]}, cv=2).fit(X, Y)
    for whole, inner in ((model, model[-1]), (search, search.best_estimator_)):
        with pytest.raises(ValueError, match=r"pipeline\[-1\] or search\.best_estimator_"):
            plot.history(whole)
        plot.history(inner)


# --- the decision boundary ------------------------------------------------------------------


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("frame", [None, pd.DataFrame, pl.DataFrame])
def test_the_boundary_of_an_estimator_has_the_names_of_its_classes(number, frame):
    table = X if frame is None else frame({"width": X[:, 0], "height": X[:, 1]})
    model = classifiers()[number].fit(table, Y)
    ax = plot.decision_boundary(model, table, Y, resolution=20)
    assert legend(ax)[:2] == ["class cat", "class dog"]
    names = ("feature 1", "feature 2") if frame is None else ("width", "height")
    assert (ax.get_xlabel(), ax.get_ylabel()) == names
    cats = ax.get_lines()[0].get_xydata()
    assert cats.tolist() == X[CODES == 0].tolist()


def test_it_is_shaded_by_the_probabilities_of_the_estimator():
    class Right:
        classes_ = ("left", "right")

        def get_params(self, deep=True):
            return {}

        def predict_proba(self, points):
            right = points[:, :1] > 0.0
            return right * [0.0, 1.0] + ~right * [1.0, 0.0]

    points = X - [[0.5, 0.2]]
    sides = ["right" if x > 0.0 else "left" for x in points[:, 0]]
    ax = plot.decision_boundary(Right(), points, sides, resolution=50)
    (image,) = ax.images
    assert (image.get_array()[:, 0] != image.get_array()[:, -1]).any()
    border = ax.collections[0].get_paths()[0].vertices[:, 0]
    assert abs(border).max() < 0.1


def test_a_pipeline_is_drawn_as_a_whole():
    frame = pd.DataFrame(X, columns=["u", "v"])
    model = make_pipeline(StandardScaler(), classifiers()[0]).fit(frame, Y)
    assert plot.decision_boundary(model, frame, Y, resolution=10).get_xlabel() == "u"


def test_a_network_of_a_frame_has_its_names_on_the_axes():
    frame = pd.DataFrame(X, columns=["u", "v"])
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    net.fit(frame, CODES, epochs=1)
    ax = plot.decision_boundary(net, frame, CODES, resolution=10)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("u", "v")


@pytest.mark.parametrize(
    ("net", "X", "y", "message"),
    [
        (lambda: bpnet.MLPClassifier(), X, Y, "this MLPClassifier is not fitted yet"),
        (lambda: bpnet.TabularClassifier(), X, Y, "this TabularClassifier is not fitted yet"),
        (lambda: regressors()[0].fit(X, CODES), X, Y, "predicts no probabilities"),
        (lambda: classifiers()[0].fit(X, Y), X, CODES, r"\['cat', 'dog'\]; got \[0, 1\]"),
        (lambda: classifiers()[0].fit(X, Y), X[:, :1], Y, r"X must have shape \(80, 2\)"),
        (lambda: classifiers()[0].fit(X, Y), X, Y[:-1], r"X must have shape \(79, 2\)"),
        (lambda: classifiers()[0].fit(X, X > 0.0), X, X > 0.0, "one class per example"),
    ],
)
def test_what_cannot_be_drawn_is_refused(net, X, y, message):
    with pytest.raises(ValueError, match=message):
        plot.decision_boundary(net(), X, y)


# --- arguments in the wrong place -----------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda m, _: m.fit(X, Y, validation_split=0.2),
         r"MLPClassifier\(early_stopping=True, validation_fraction=\.\.\.\)"),
        (lambda _, t: t.fit(X, Y, validation_split=0.2),
         r"TabularClassifier\(validation_fraction=\.\.\.\)"),
        (lambda m, _: m.fit(X, Y, callbacks=[]), r"MLPClassifier\(callbacks=\.\.\.\)"),
        (lambda m, _: m.fit(X, Y, epochs=3), r"MLPClassifier\(max_iter=\.\.\.\)"),
        (lambda _, t: t.fit(X, Y, epochs=3), r"TabularClassifier\(n_epochs=\.\.\.\)"),
        (lambda m, _: m.partial_fit(X, Y, ["cat", "dog"], batch_size=8),
         r"MLPClassifier\(batch_size=\.\.\.\)"),
        (lambda m, _: m.partial_fit(X, Y, validation_data=(X, Y)), "or call fit"),
        (lambda m, _: m.fit(X, Y, wrong=3), "arguments are X, y, sample_weight, validation_"),
    ],
)  # fmt: skip
def test_what_belongs_to_the_constructor_is_said_to(call, advice):
    mlp, tabular = classifiers()
    with pytest.raises(TypeError, match=rf"fit\(\) got an unexpected keyword .*{advice}"):
        call(mlp, tabular)
    assert not hasattr(mlp, "coefs_")


# --- warnings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fit",
    [
        lambda: bpnet.MLPClassifier(max_iter=2).fit(X, Y),
        lambda: bpnet.MLPClassifier(max_iter=2, batch_size=999).fit(X, Y),
        lambda: bpnet.MLPClassifier(batch_size=999).partial_fit(X, Y, classes=["cat", "dog"]),
        lambda: bpnet.MLPRegressor(max_iter=200, tol=10.0).fit(X, 1e-3 * CODES),
        lambda: bpnet.MLPClassifier(max_iter=2).fit(X, ["cat"] * len(X)),
        lambda: bpnet.MLPClassifier(max_iter=2).fit(X, X.mean(axis=1, keepdims=True) < X),
        lambda: bpnet.TabularClassifier(preset="plain", n_epochs=2).fit(X, ["cat"] * len(X)),
    ],
)
def test_warnings_of_fit_point_to_its_caller(fit):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit()
    assert {warning.filename for warning in seen} == {__file__}
