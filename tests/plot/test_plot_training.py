"""More plots of training runs: heat map, activations, range test, and the animation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

import bpnet
from bpnet import plot
from bpnet.diagnosis.gradient_flow import METRICS
from bpnet.plot.curves import LABELS

pytestmark = pytest.mark.once_on_jax  # it compiles each case

X, Y = bpnet.datasets.make_moons(60, seed=0)


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def net():
    layers = [
        bpnet.Dense(8, "tanh"),
        bpnet.Dropout(0.1),
        bpnet.Dense(4, "relu"),
        bpnet.Dense(1),
    ]
    return bpnet.Network(layers, "binary_crossentropy", seed=0).build(2)


# --- gradient flow: the heat map and the other metrics --------------------------------------

NORMS = {"gradient_norm/1": [1e-4, 1e-3, 0.0], "gradient_norm/2": [1.0, 2.0, math.nan]}


def test_the_heat_map_has_a_row_for_each_layer_and_a_column_for_each_epoch(ax):
    assert plot.gradient_flow(NORMS, ax, kind="heatmap") is ax
    (image,) = ax.images
    values = image.get_array()
    np.testing.assert_array_equal(values.mask, [[False, False, True], [False, False, True]])
    np.testing.assert_array_equal(values[:, :2], [[1e-4, 1e-3], [1.0, 2.0]])
    assert isinstance(image.norm, LogNorm)
    left, right, bottom, top = image.get_extent()
    assert (left, right, bottom, top) == (0.5, 3.5, 2.5, 0.5)  # layer 1 at the top
    assert ax.patch.get_hatch()  # shows through where there is no value
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "layer (1 is next to the input)")
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "gradient norm (2-norm of dL/dW)"


def test_a_heat_map_without_positive_values_has_no_color_bar(ax):
    plot.gradient_flow({"gradient_norm/1": [0.0, math.nan]}, ax, kind="heatmap")
    ax.figure.draw_without_rendering()
    (image,) = ax.images
    assert not isinstance(image.norm, LogNorm)
    plot.gradient_flow({"gradient_norm/1": [math.nan]}, only := Figure().add_subplot(),
                       kind="heatmap")  # fmt: skip
    only.figure.draw_without_rendering()
    assert only.figure.axes == [only]


def test_brighter_is_larger_in_grayscale_too():
    from matplotlib import colormaps

    colors = colormaps["cividis"](np.linspace(0.0, 1.0, 64))[:, :3]
    grey = colors @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0.0).all()


@pytest.mark.parametrize("kind", ["lines", "heatmap"])
def test_every_metric_of_gradient_flow_can_be_drawn(net, kind):
    history = net.fit(X, Y, epochs=3, callbacks=[bpnet.GradientFlow(every=1)])
    assert set(LABELS) == set(METRICS)
    for figure, label in LABELS.items():
        ax = plot.gradient_flow(history, kind=kind, figure=figure)
        ax.figure.draw_without_rendering()
        labels = {other.get_ylabel() for other in ax.figure.axes}
        assert label in labels
        if kind == "lines":
            assert [line.get_ydata().tolist() for line in ax.get_lines()] == [
                history[f"{figure}/{k}"] for k in (1, 2, 3)
            ]
    assert plot.gradient_flow(history, figure="dead").get_yscale() == "linear"
    assert plot.gradient_flow(history, figure="update_ratio").get_yscale() == "log"


def test_a_long_legend_is_beside_the_plot():
    ax = plot.gradient_flow({f"gradient_norm/{k}": [1.0, 2.0] for k in range(1, 21)})
    ax.figure.draw_without_rendering()
    legend, inside = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert legend.x0 >= inside.x1
    assert legend.x1 <= ax.figure.bbox.x1


# --- activations ----------------------------------------------------------------------------


def test_activations_are_counted_layer_by_layer(net, ax):
    assert plot.activations(net, X, ax, bins=10) is ax
    hidden = np.tanh(X.astype("float32") @ net.parameters[0]["W"] + net.parameters[0]["b"])
    relu = np.maximum(hidden @ net.parameters[1]["W"] + net.parameters[1]["b"], 0.0)
    low, high = min(hidden.min(), 0.0), max(hidden.max(), relu.max())
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "1  Dense(8, 'tanh')", "2  Dropout(0.1)", "3  Dense(4, 'relu')",
    ]  # fmt: skip
    for row, values in enumerate((hidden, hidden, relu)):
        heights, edges, _ = ax.patches[row].get_data()
        counts, _ = np.histogram(values, np.linspace(low, high, 11))
        np.testing.assert_allclose(row - heights, 0.8 * counts / counts.max(), atol=0.03)
        np.testing.assert_allclose(edges[[0, -1]], [low, high], rtol=1e-5)
    texts = [text.get_text() for text in ax.texts]
    assert texts[0] == f"{hidden.mean():.2g} ± {hidden.std():.2g}"
    assert texts[2].endswith(f"{100 * np.mean(relu == 0):.0f} % are 0")
    bottom, top = ax.get_ylim()
    assert bottom > top  # layer 1 at the top
    assert ax.get_xlabel() == "activation a"


def test_activations_of_every_backend(net, backend):
    net.to(backend)
    ax = plot.activations(net, backend.asarray(X))
    assert len(ax.patches) == 3


def test_activations_that_are_all_the_same_or_of_one_layer():
    zero = bpnet.Network([bpnet.Dense(2, "relu", init="zeros"), bpnet.Dense(1)],
                         "binary_crossentropy", seed=0)  # fmt: skip
    plot.activations(zero, X).figure.draw_without_rendering()
    linear = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    assert len(plot.activations(linear, X).patches) == 1


def test_many_layers_get_a_taller_figure(net):
    deep = bpnet.Network([*(bpnet.Dense(4, "tanh") for _ in range(20)), bpnet.Dense(1)],
                         "binary_crossentropy", seed=0)  # fmt: skip
    assert plot.activations(deep, X).figure.get_figheight() > 10.0
    assert plot.activations(net, X).figure.get_figheight() == 4.8


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_activations_that_overflow_are_rejected(ax):
    net = bpnet.Network([bpnet.Dense(1), bpnet.Dense(1)], "binary_crossentropy", seed=0).build(
        2
    )
    net.parameters = [{"W": np.full((2, 1), 3e38), "b": np.zeros(1)}, net.parameters[1]]
    with pytest.raises(ValueError, match="activations are not finite"):
        plot.activations(net, 10.0 * X, ax)
    assert not ax.has_data()


# --- the range test -------------------------------------------------------------------------


def test_the_range_test_is_drawn_with_its_suggestion(net, ax):
    test = bpnet.find_learning_rate(net, X, Y, high=100.0)
    assert plot.learning_rate_finder(test, ax) is ax
    raw, smoothed, line, mark = ax.get_lines()
    assert raw.get_xydata().tolist() == [
        list(p) for p in zip(test.rates, test.losses, strict=True)
    ]
    assert smoothed.get_ydata().tolist() == test.smoothed
    assert line.get_xdata() == [test.suggestion] * 2
    assert mark.get_xdata() == [test.suggestion]
    assert mark.get_ydata()[0] in test.smoothed
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "loss (mean per example)")
    assert f"suggested: {test.suggestion:.2g}" in ax.get_legend_handles_labels()[1]


def test_a_blown_up_end_does_not_flatten_the_valley(ax):
    losses = [1.0, 0.9, 0.5, 0.4, 300.0]
    rates = [0.1, 0.2, 0.3, 0.4, 0.5]
    plot.learning_rate_finder(bpnet.RateTest(rates, losses, losses, 0.3, True), ax)
    bottom, top = ax.get_ylim()
    assert 0.0 < bottom < 0.4
    assert 2.0 < top < 2.5


# --- the animation --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filmed():
    layers = [bpnet.Dense(8, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    snapshots = bpnet.Snapshots(every=2)
    history = net.fit(X, Y, optimizer=bpnet.Adam(0.05), epochs=7, callbacks=[snapshots])
    return net, snapshots, history


def test_snapshots_are_the_parameters_at_their_epochs(filmed, backend):
    layers = [bpnet.Dense(8, "tanh"), bpnet.Dropout(0.1), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0, dtype="float64")
    snapshots = bpnet.Snapshots(every=3)
    history = net.fit(X, Y, epochs=6, callbacks=[snapshots], backend=backend)
    assert [s.epoch for s in snapshots.taken] == [0, 3, 6]
    assert [s.loss for s in snapshots.taken] == [None, history["loss"][2], history["loss"][5]]
    for layer, kept in zip(net.parameters, snapshots.taken[-1].parameters, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(layer["W"]), kept["W"])
    fresh = bpnet.Network(layers, "binary_crossentropy", seed=0, dtype="float64").build(2)
    np.testing.assert_array_equal(
        snapshots.taken[0].parameters[0]["W"], fresh.parameters[0]["W"]
    )


def test_the_animation_has_a_frame_for_each_snapshot_and_the_last_stays(filmed, tmp_path):
    net, snapshots, _ = filmed
    before = net.parameters[0]["W"].copy()
    path = tmp_path / "film.gif"
    ax = plot.animate(net, snapshots, X, Y, path, fps=4, resolution=20, dpi=50)
    assert ax.get_title() == f"epoch 6, loss {snapshots.taken[-1].loss:.4f}"
    np.testing.assert_array_equal(net.parameters[0]["W"], before)
    with Image.open(path) as film:
        assert film.size == (320, 240)
        assert film.info["loop"] == 0
        frames, durations = [], 0
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
            durations += film.info["duration"]
    assert len(frames) == len(snapshots.taken) == 4
    assert durations == 3 * 250 + 2000  # milliseconds
    first, last = frames[0], frames[3]
    assert (np.abs(first - last).sum(axis=2) > 30).mean() > 0.05


def test_the_animation_draws_into_given_axes(filmed, tmp_path):
    net, snapshots, _ = filmed
    figure = Figure(figsize=(3, 2))
    ax = figure.add_subplot()
    assert plot.animate(net, snapshots, X, Y, tmp_path / "a.GIF", ax, resolution=5) is ax
    with Image.open(tmp_path / "a.GIF") as film:
        assert film.size == (300, 200)


# --- what else is rejected ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: plot.gradient_flow(NORMS, figure="dead"), ValueError, "no deads|no dead"),
        (lambda net: plot.gradient_flow({"gradient_norm/1": []}), ValueError, "GradientFlow"),
    ],
)
def test_bad_arguments_are_rejected(net, call, error, message):
    with pytest.raises(error, match=message):
        call(net)


@pytest.mark.full
def test_pyplot_is_never_imported(tmp_path):
    program = (
        "import sys, bpnet\n"
        "X, y = bpnet.datasets.make_moons(20)\n"
        "net = bpnet.Network([bpnet.Dense(2, 'tanh'), bpnet.Dense(1)], 'binary_crossentropy')\n"
        "s = bpnet.Snapshots()\n"
        "h = net.fit(X, y, epochs=2, callbacks=[s, bpnet.GradientFlow()])\n"
        "bpnet.plot.gradient_flow(h, kind='heatmap').figure.draw_without_rendering()\n"
        "bpnet.plot.activations(net, X).figure.draw_without_rendering()\n"
        "bpnet.plot.learning_rate_finder(bpnet.find_learning_rate(net, X, y))\n"
        f"bpnet.plot.animate(net, s, X, y, {str(tmp_path / 'a.gif')!r}, resolution=4)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
