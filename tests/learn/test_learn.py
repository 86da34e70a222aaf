"""The experiments: their numbers are right, their readings match, and the command runs."""

from __future__ import annotations

import functools
import io
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose

import bpnet
from bpnet import learn
from bpnet.cli.main import main
from bpnet.learn import architecture as architecture_module
from bpnet.learn.differences import numerical_gradient, numerical_gradients
from bpnet.learn.lesson import factor_per_layer

pytestmark = pytest.mark.once_on_jax  # it compiles each case

SMALL = {
    "vanishing-gradients": {"depths": (1, 3, 5), "width": 8, "networks": 2},
    "initialization": {"depth": 3, "width": 12},
    "learning-rate": {"rates": (1e-4, 0.5, 100.0), "epochs": 3},
    "architecture": {"widths": (1, 4), "depths": (1, 2), "networks": 1, "epochs": 5},
    "loss-landscape": {"epochs": 4, "resolution": 5},
    "gradient-check": {"steps": (1e-9, 1e-5, 1e-1)},
    "backprop": {},
}


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Run in an empty directory, with no backend chosen."""
    monkeypatch.delenv("BPNET_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)


# The smallest, for backends that compile each network.
TINY = SMALL | {
    "vanishing-gradients": {"depths": (1, 2), "width": 4, "networks": 1},
    "initialization": {"depth": 2, "width": 4, "activations": ("tanh",)},
    "learning-rate": {"rates": (0.5,), "epochs": 1},
    "architecture": {"widths": (2,), "depths": (1,), "networks": 1, "epochs": 2},
    "loss-landscape": {"epochs": 2, "resolution": 2},
    "gradient-check": {"steps": (1e-5,)},
}


def small(name, **options):
    return learn.LESSONS[name](**SMALL[name] | options)


def test_small_covers_every_lesson():
    assert set(SMALL) == set(learn.LESSONS)


# --- each experiment measures what it says --------------------------------------------------


def test_vanishing_gradients_are_the_ratios_of_the_norms():
    lesson = small("vanishing-gradients", networks=1, seed=5)
    X, y = bpnet.datasets.make_spiral(200, seed=5)
    for name in ("sigmoid", "tanh", "relu"):
        layers = [*(bpnet.Dense(8, name) for _ in range(3)), bpnet.Dense(1)]
        net = bpnet.Network(layers, "binary_crossentropy", seed=5, dtype="float64")
        _, gradients = net.loss_and_gradients(X, y)
        norms = [np.sqrt((layer["W"] ** 2).sum()) for layer in gradients]
        ratio = lesson.numbers["ratio"][name]
        assert_allclose(ratio[3], norms[0] / norms[-1], rtol=1e-12)
        assert_allclose(lesson.numbers["factor"][name], (ratio[5] / ratio[1]) ** 0.25)
        assert len(lesson.numbers["norms"][name]) == 6


def test_sigmoid_gradients_vanish_and_the_others_do_not():
    lesson = learn.vanishing_gradients()
    ratio, factor = lesson.numbers["ratio"], lesson.numbers["factor"]
    assert ratio["sigmoid"][32] < 1e-15
    assert factor["sigmoid"] < 0.25  # the bound on its slope
    for name in ("tanh", "relu"):
        assert 1e-2 < ratio[name][32] < 1e2
    power = round(-math.log10(ratio["sigmoid"][32]))
    assert (
        f"first layer is about 10^{power} times smaller than that of the last" in lesson.reading
    )


def test_the_reading_of_vanishing_gradients_follows_the_numbers():
    from bpnet.learn.vanishing import _reading

    text = _reading({"sigmoid": {8: 0.5}, "tanh": {8: 1e-6}}, {"sigmoid": 0.9, "tanh": 0.1}, 8)
    assert text == (
        "With 8 hidden layers of tanh, the gradient of the first layer is about 10^6 times "
        "smaller than that of the last: each additional layer multiplies it by 0.1. With "
        "sigmoid it is 2 times smaller than that of the last, as each layer multiplies it by "
        "0.9: about 10^6 times more of the gradient reaches the first layer."
    )
    text = _reading({"sigmoid": {8: 1e6}}, {"sigmoid": 3.0}, 8)
    assert text.endswith("No other activation was compared.")


def test_initializers_have_the_variances_of_theory():
    lesson = learn.initialization(depth=4, width=200)
    forward, backward = lesson.numbers["activation"], lesson.numbers["gradient"]
    factor = lesson.numbers["factor"]
    # relu: var(z) = n var(w) E(a^2), so N(0, 1) multiplies by n / 2, Xavier by 1/2, He by 1.
    assert_allclose(factor["relu", "N(0, 1)"], 100.0, rtol=0.25)
    assert_allclose(factor["relu", "Xavier"], 0.5, rtol=0.25)
    assert_allclose(factor["relu", "He"], 1.0, rtol=0.25)
    for name in ("tanh", "relu"):
        assert forward[name, "zeros"] == backward[name, "zeros"] == [0.0] * 4
        assert all(map(math.isnan, factor[name, "zeros"]))
    assert forward["tanh", "N(0, 1)"][-1] > 0.85  # saturated: nearly all are -1 or 1
    assert "relu with He" in lesson.reading
    assert "and most for relu with N(0, 1) (times 1" in lesson.reading
    assert "about 10^6 times over the 4 layers. With zeros, no signal" in lesson.reading


def test_variances_are_those_of_the_trace():
    lesson = small("initialization", activations=("tanh",), seed=2)
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(200, 12)), rng.integers(0, 2, 200)
    layers = [*(bpnet.Dense(12, "tanh", init="he_normal") for _ in range(3)),
              bpnet.Dense(1, init="he_normal")]  # fmt: skip
    trace = bpnet.Network(layers, "binary_crossentropy", seed=2, dtype="float64").trace(X, y)
    assert_allclose(lesson.numbers["activation"]["tanh", "He"][1], np.var(trace["a2"]))
    assert_allclose(lesson.numbers["gradient"]["tanh", "He"][0], np.var(trace["delta1"]))


def test_learning_rates_stall_learn_and_diverge():
    lesson = small("learning-rate", rates=(1e-5, 0.3, 100.0), epochs=20)
    runs = lesson.numbers["runs"]
    assert [run.verdict for run in runs.values()] == ["stalled", "learns", "diverged"]
    start = lesson.numbers["start"]
    assert runs[1e-5].loss > 0.9 * start > runs[0.3].loss
    assert runs[100.0].loss > start
    assert len(runs[0.3].losses) == 20
    assert "The same network stalls at rates up to 1e-05, learns best at 0.3" in lesson.reading
    assert "and diverges at rates from 100 on." in lesson.reading
    assert f"{lesson.numbers['test'].suggestion:.2g}" in lesson.reading
    reference = bpnet.Network(
        [bpnet.Dense(32, "tanh"), bpnet.Dense(32, "tanh"), bpnet.Dense(2)],
        "categorical_crossentropy", seed=0,
    ).build(2)  # fmt: skip
    X, y = bpnet.datasets.make_spiral(300, seed=0)
    assert reference.evaluate(X, y)["loss"] == start
    history = reference.fit(X, y, optimizer=bpnet.SGD(0.3), epochs=20)
    assert history["loss"] == runs[0.3].losses


def test_a_rate_that_ends_in_nan_has_diverged():
    lesson = small("learning-rate", rates=(0.1, 1e38), epochs=3)
    run = lesson.numbers["runs"][1e38]
    assert not math.isfinite(run.loss)
    assert run.verdict == "diverged"
    lesson.draw().draw_without_rendering()


@pytest.mark.full
def test_larger_networks_have_larger_gaps():
    lesson = learn.architecture(widths=(1, 32), depths=(1, 3), networks=2)
    fits = lesson.numbers["fits"]
    assert fits[3, 32].training_loss < 0.05 < fits[1, 1].training_loss
    assert fits[3, 32].gap > 5.0 * fits[1, 1].gap
    assert fits[3, 32].n_parameters == 3 * 32 + 2 * 33 * 32 + 33
    assert_allclose(fits[1, 1].gap, fits[1, 1].test_loss - fits[1, 1].training_loss)
    assert f"a gap of {fits[3, 32].gap:.3f}" in lesson.reading


def test_the_reading_of_architecture_follows_the_numbers():
    Fit = sys.modules["bpnet.learn.architecture"].Fit
    reading = sys.modules["bpnet.learn.architecture"]._reading
    fits = {(1, 1): Fit(5, 0.9, 0.9, 0.2, 0.3), (2, 8): Fit(99, 0.9, 0.9, 0.01, 0.15)}
    assert "The lowest test loss is 0.150, with 2 hidden layers of 8 units." in reading(fits)
    fits[1, 1] = Fit(5, 0.9, 0.9, 0.2, 0.1)
    assert "The lowest test loss is 0.100, with 1 hidden layer of 1 unit." in reading(fits)
    assert callable(architecture_module)  # the function, not its module


def test_the_gradient_check_has_a_best_step_and_finds_the_mistake():
    lesson = learn.gradient_check()
    double, single = lesson.numbers["error"]["float64"], lesson.numbers["error"]["float32"]
    assert min(double, key=double.get) in (1e-6, 1e-5, 1e-4)
    assert double[1e-5] < 1e-8
    assert_allclose(double[1e-2] / double[1e-3], 100.0, rtol=0.1)  # it errs by h^2
    assert min(single.values()) > 1e4 * min(double.values())
    assert lesson.numbers["right"].passed
    assert not lesson.numbers["wrong"].passed
    assert lesson.numbers["wrong"].max_relative_error > 0.01
    assert f"and {lesson.numbers['wrong'].max_relative_error:.2g} for one" in lesson.reading


def test_backprop_walks_every_quantity_and_checks_each_gradient(backend):
    with bpnet.use_backend(backend):
        lesson = learn.backprop(seed=1)
    trace, differences = lesson.numbers["trace"], lesson.numbers["differences"]
    assert [row[0].split()[0] for row in lesson.rows[1:]] == list(trace)
    assert max(map(len, str(lesson).splitlines()[:-1])) <= 100
    assert set(differences) == {"dW1", "db1", "delta1", "dW2", "db2", "delta2"}
    for name, values in differences.items():
        assert_allclose(np.ravel(trace[name]), values.ravel(), atol=1e-9)
    assert lesson.numbers["error"] < 1e-9
    for row in lesson.rows[1:]:
        assert (row[2] != "") == (row[0].split()[0] in differences)
    assert f"P(1) = {trace['p'].item():.3f}" in lesson.reading


@pytest.mark.parametrize("name", SMALL)
def test_every_backend_measures_the_same(name, backend):
    here = learn.LESSONS[name](**TINY[name])
    with bpnet.use_backend(backend):
        there = learn.LESSONS[name](**TINY[name])
    assert len(there.rows) == len(here.rows)
    for ours, theirs in zip(here.rows, there.rows, strict=True):
        assert ours[0] == theirs[0]
    if name in ("vanishing-gradients", "initialization", "backprop"):  # float64, no training
        assert there.rows == here.rows
        assert there.reading.partition("finite")[0] == here.reading.partition("finite")[0]


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
def test_the_seed_decides(name):
    options = {"epochs": 2} if name == "learning-rate" else {}
    first, again, other = (small(name, seed=seed, **options) for seed in (1, 1, 2))
    assert str(first) == str(again)
    assert first.rows != other.rows
    assert first.reading != other.reading


@pytest.mark.parametrize("name", SMALL)
def test_a_lesson_prints_a_table_and_two_sentences(name):
    lesson = small(name)
    title, blank, *table, second_blank, reading = str(lesson).splitlines()
    assert (title, blank, second_blank, reading) == (lesson.title, "", "", lesson.reading)
    assert len(table) == len(lesson.rows)
    assert all(len(row) == len(lesson.rows[0]) for row in lesson.rows)
    assert len(re.findall(r"\.(?: [A-Z]|$)", reading)) >= 2 or "bpnet." in reading


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
def test_pictures_have_ink_and_nothing_is_cut_off(name):
    figure = small(name).draw()
    figure.draw_without_rendering()
    inside = figure.bbox
    for ax in figure.axes:
        is_bare = not ax.axison or ax.get_label() == "<colorbar>"
        assert ax.get_xlabel() or is_bare or ax.get_subplotspec().is_first_row()
        assert ax.get_ylabel() or not ax.axison
        labels = (ax.xaxis.label, ax.yaxis.label) if ax.axison else ()
        for text in (ax.title, *labels, *ax.texts):
            if not text.get_text():
                continue
            box = text.get_window_extent()
            assert box.x0 >= inside.x0 - 1
            assert box.x1 <= inside.x1 + 1
            assert box.y0 >= inside.y0 - 1
            assert box.y1 <= inside.y1 + 1
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    assert imread(buffer)[..., :3].std() > 0.03


# --- finite differences ---------------------------------------------------------------------


def test_numerical_gradients_are_right_and_change_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3))
    kept = x.copy()
    assert_allclose(numerical_gradient(lambda x: float(np.sum(x**3)), x), 3 * x**2, atol=1e-8)
    np.testing.assert_array_equal(x, kept)
    X, y = bpnet.datasets.make_moons(10)
    layers = [bpnet.Dense(3, "tanh", l2=0.1), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0, dtype="float64").build(2)
    _, exact = net.loss_and_gradients(X, y)
    for layer, numerical in zip(exact, numerical_gradients(net, X, y), strict=True):
        for name in layer:
            assert_allclose(numerical[name], layer[name], atol=1e-9)


def test_the_factor_per_layer_is_a_geometric_mean():
    assert factor_per_layer([1.0, 3.0, 4.0]) == 2.0
    assert math.isnan(factor_per_layer([1.0, 0.0, 4.0]))


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Make the experiments of the command small."""
    for name, options in SMALL.items():
        monkeypatch.setitem(
            learn.LESSONS, name, functools.partial(learn.LESSONS[name], **options)
        )


@pytest.mark.full
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", SMALL)
def test_the_command_prints_and_draws(capsys, tmp_path, name):
    assert main(["learn", name, "--seed", "3", "--out", "new/one"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    *lesson, blank, last = out.splitlines()
    assert "\n".join(lesson) == str(small(name, seed=3))
    svg = " and new/one/backprop.svg" if name == "backprop" else ""
    assert (blank, last) == ("", f"computed on numpy:cpu, picture in new/one/{name}.png{svg}")
    if svg:
        assert (tmp_path / "new" / "one" / "backprop.svg").read_text().startswith("<svg ")
    assert imread(tmp_path / "new" / "one" / f"{name}.png")[..., :3].std() > 0.03


@pytest.mark.usefixtures("quick")
def test_the_command_takes_the_backend(capsys, monkeypatch, backend):
    assert main(["learn", "backprop", "--backend", backend.spec]) == 0
    assert f"computed on {backend.spec}," in capsys.readouterr().out
    monkeypatch.setenv("BPNET_BACKEND", backend.spec)
    assert main(["learn", "backprop"]) == 0
    assert f"computed on {backend.spec}," in capsys.readouterr().out


@pytest.fixture
def no_lesson(monkeypatch):
    def run(**options):
        pytest.fail("the lesson began")

    for name in learn.LESSONS:
        monkeypatch.setitem(learn.LESSONS, name, run)


@pytest.mark.usefixtures("no_lesson")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["backprop", "--backend", "nonsense"], "unknown backend 'nonsense'"),
        (["backprop", "--backend", "numpy:1"], "no device '1'"),
        (["backprop", "--seed", "-1"], "--seed: must be an integer >= 0, got '-1'"),
        (["backprop", "--seed", "x"], "--seed: .* got 'x'"),
        (["backprop", "--out", ""], "--out: must name a directory"),
        (["backprop", "--out", "a-file"], "--out: .*'a-file'"),
        (["backprop", "--out", "taken"], r"--out: .*backprop\.png is a directory"),
        (["backprop", "--nonsense"], "--nonsense"),
    ],
)
def test_bad_options_end_in_one_line(capsys, tmp_path, options, message):
    (tmp_path / "a-file").write_text("kept")
    (tmp_path / "taken" / "backprop.png").mkdir(parents=True)
    assert main(["learn", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.search(message, err)


@pytest.mark.usefixtures("no_lesson")
def test_a_bad_environment_and_a_missing_matplotlib_are_named(capsys, monkeypatch):
    monkeypatch.setenv("BPNET_BACKEND", "nonsense")
    assert main(["learn", "backprop"]) == 2
    assert "BPNET_BACKEND=nonsense" in capsys.readouterr().err
    monkeypatch.delenv("BPNET_BACKEND")
    for name in [name for name in sys.modules if name.startswith("bpnet.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(bpnet, "plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    assert main(["learn", "backprop"]) == 2
    err = capsys.readouterr().err
    assert "pip install matplotlib" in err
    assert len(err.splitlines()) == 1


def test_help_names_every_lesson(capsys):
    assert main(["learn"]) == 0
    out = capsys.readouterr().out
    for name in (*learn.LESSONS, "exercise"):
        assert name in out
    for name in learn.LESSONS:
        assert main(["learn", name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "--backend" in shown
        assert "--seed" in shown
        assert "--out" in shown


def test_lessons_are_light_until_they_draw():
    program = (
        "import sys, bpnet\n"
        "later = {'bpnet.learn', 'bpnet.plot', 'bpnet.diagnosis', 'bpnet.testing'}\n"
        "assert not later & set(sys.modules)\n"
        "bpnet.learn.gradient_check(steps=(1e-5,))\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
