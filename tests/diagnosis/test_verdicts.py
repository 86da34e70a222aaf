"""diagnose names what ails a run, and is silent where nothing does: by kinds of runs."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sklearn import datasets

import bpnet
from bpnet.diagnosis import examination
from bpnet.diagnosis.evidence import Finding
from bpnet.diagnosis.examination import CONSEQUENCES, REQUESTS, contradict, examine
from bpnet.diagnosis.report import ILLNESSES
from bpnet.initializers import Constant


def network(*hidden, units=1, loss="binary_crossentropy", seed=0):
    return bpnet.Network([*hidden, bpnet.Dense(units)], loss, seed=seed)


def diagnosed(net, X, y, *callbacks, rate=0.01, epochs=30, held_out=0.33, **fit):
    """Train with a third of the examples held out, or none, and diagnose the run."""
    cut = int(len(X) * (1.0 - held_out))
    validation = (X[cut:], y[cut:]) if held_out else None
    rule = fit.pop("optimizer", bpnet.Adam(rate))
    with np.errstate(all="ignore"):
        history = net.fit(
            X[:cut], y[:cut], epochs=epochs, optimizer=rule, validation_data=validation,
            callbacks=[*callbacks, bpnet.GradientFlow()], **fit,
        )  # fmt: skip
    return bpnet.diagnose(history)


def names(found):
    return [finding.name for finding in found.findings]


def digits(rows):
    X, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[:rows]
    return X[order] / 16.0, y[order]


def moons(rows=400, noise=0.2):
    X, y = bpnet.datasets.make_moons(rows, noise=noise, seed=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def hinted(rows, share, features=20, seed=0):
    """Return features, and a number of which they explain a share of the variance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features))
    signal = X @ rng.choice((-1.0, 1.0), features) / np.sqrt(features)
    return X, np.sqrt(share) * signal + np.sqrt(1.0 - share) * rng.normal(size=rows)


# --- useless features -------------------------------------------------------------------------


def test_blank_pixels_and_pairs_of_dummies_are_notes():
    X, y = digits(400)
    found = diagnosed(network(bpnet.Dense(32, "relu"), units=10,
                              loss="categorical_crossentropy"), X, y)  # fmt: skip
    assert found.healthy, found
    (note,) = found.notes
    assert note.startswith(
        "constant or duplicate features, layer 1: of 64 features, constant: 0"
    )
    assert f"note: {note}" in str(found).splitlines()
    X, y = moons()
    yes = (X[:, [0]] > 0.3).astype(float)
    wide = np.hstack([X, yes, 1.0 - yes])
    found = diagnosed(network(bpnet.Dense(16, "tanh")), wide, y, epochs=80)
    assert found.healthy, found
    assert "linear functions of each other: 2 and 3" in found.notes[0]


def test_constant_features_that_outweigh_the_others_are_a_finding():
    X, y = moons()
    widened = np.hstack([X, np.full((len(X), 100), 8.0)])
    found = diagnosed(
        network(bpnet.Dense(32, "relu")), widened, y, optimizer=bpnet.SGD(0.05, 0.9)
    )
    assert found.name == "constant or duplicate features"
    assert found.notes == ()


# --- whether there is anything to learn -------------------------------------------------------


@pytest.mark.parametrize("held_out", [0.33, 0.0])
@pytest.mark.parametrize("is_class", [True, False])
def test_a_weak_signal_is_not_called_shuffled(is_class, held_out):
    X, y = hinted(1500, 0.05)
    y, loss = (y > 0.0, "binary_crossentropy") if is_class else (y, "mean_squared_error")
    net = network(bpnet.Dense(8, "tanh", l2=0.01), loss=loss)
    found = diagnosed(net, X, y, rate=1e-3, epochs=10, held_out=held_out)
    assert found.healthy, found


@pytest.mark.parametrize("held_out", [0.33, 0.0])
@pytest.mark.parametrize("epochs", [10, 100])
def test_shuffled_labels_are_found_memorized_or_not(epochs, held_out):
    X, y = moons()
    y = np.random.default_rng(2).permutation(y)
    net = network(bpnet.Dense(128, "relu"), bpnet.Dense(128, "relu"))
    found = diagnosed(net, X, y, epochs=epochs, held_out=held_out)
    assert found.name == "shuffled labels", found


def test_too_few_examples_to_tell_say_so():
    X, y = hinted(200, 0.05, features=40)
    found = diagnosed(
        network(bpnet.Dense(8, "tanh"), loss="mean_squared_error"), X, y, epochs=5
    )
    assert "shuffled labels" not in names(found)
    assert found.not_examined["shuffled labels"].startswith(
        "cannot tell a weak signal from none"
    )


def test_a_hint_without_held_out_examples_asks_for_them():
    X, y = hinted(1000, 0.0, features=4, seed=75)  # agrees by chance, as 1 of 80 does
    net = network(bpnet.Dense(4, "tanh"), loss="mean_squared_error")
    found = diagnosed(net, X, y, epochs=1, held_out=0.0)
    assert "pass validation_data to fit" in found.not_examined["shuffled labels"]
    assert "shuffled labels" not in names(found)


# --- classes of unequal size ------------------------------------------------------------------


def rare(rows, few, distance):
    rng = np.random.default_rng(0)
    y = (np.arange(rows) < few).astype(int)
    X = rng.normal(size=(rows, 4)) + distance * y[:, None]
    order = rng.permutation(rows)
    return X[order], y[order]


def test_a_rare_class_that_is_recognized_is_a_note():
    X, y = rare(800, 40, 3.0)
    found = diagnosed(network(bpnet.Dense(16, "tanh")), X, y)
    assert found.healthy, found
    assert "class imbalance: class 1 has 4.7" in found.notes[0]


@pytest.mark.parametrize(("rows", "few"), [(4353, 40), (800, 40)])
def test_a_rare_class_that_is_missed_is_a_finding_and_not_shuffled(rows, few):
    X, y = rare(rows, few, 0.5)
    found = diagnosed(network(bpnet.Dense(16, "tanh")), X, y, rate=3e-3, epochs=8)
    assert names(found) == ["class imbalance"]


# --- rates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", [bpnet.Adam(1.0), bpnet.SGD(1.0, 0.9)], ids=repr)
def test_units_that_died_of_the_rate_point_to_the_rate(rule, seed):
    X, y = moons()
    net = network(*(bpnet.Dense(32, "relu") for _ in range(3)), seed=seed)
    found = diagnosed(net, X, y, optimizer=rule, on_nonfinite="ignore")
    assert found.name == "learning rate too high", found


def test_infinite_weights_without_a_gradient_are_judged_without_a_warning():
    layers = [bpnet.Dense(4, "relu", init=Constant(-1e200)), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", dtype="float64", seed=0)
    X, y = moons()
    found = diagnosed(net, 1.0 + X - X.min(axis=0), y, on_nonfinite="ignore")
    assert "dead ReLUs" in names(found)


def test_a_high_rate_that_fits_well_is_no_finding():
    X, y = moons(noise=0.1)
    found = diagnosed(network(bpnet.Dense(32, "relu"), seed=1), X, y, optimizer=bpnet.SGD(1.0))
    assert found.healthy, found


def test_after_a_divergence_nothing_asks_for_a_higher_rate():
    X, y = hinted(400, 0.9)
    net = network(bpnet.Dense(32, "tanh"), loss="mean_squared_error")
    found = diagnosed(net, X, y, optimizer=bpnet.SGD(3.0), on_nonfinite="ignore", epochs=5)
    assert found.name == "learning rate too high"
    assert "learning rate too low" not in names(found)


PAIRS = list(itertools.combinations(ILLNESSES, 2))


def test_remedies_that_contradict_each_other_are_known():
    assert contradict("learning rate too high", "learning rate too low")
    assert contradict("overfitting", "underfitting")
    assert not contradict("dead ReLUs", "learning rate too high")
    assert set(REQUESTS) <= set(ILLNESSES)
    for one, other in PAIRS:
        assert contradict(one, other) == contradict(other, one)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_two_findings_ask_for_opposite_things(one, other, monkeypatch):
    """Let two rules find something, both at the end, and one before it."""

    def rule(name):
        finding = Finding(name, None, "", "")
        return examination.Rule(lambda e: finding, examination.always, "end")

    for first, second in ((one, other), (other, one)):
        explained = contradict(first, second) or second in CONSEQUENCES.get(first, ())
        monkeypatch.setattr(examination, "RULES", (rule(first), rule(second)))
        found = [finding.name for finding in examine(None, "end")[0]]
        assert found == ([first] if explained else [first, second])
        monkeypatch.setattr(examination, "RULES", (rule(second),))
        found = [finding.name for finding in examine(None, "end", known=[first])[0]]
        assert found == ([] if explained else [second])


# --- other healthy runs -----------------------------------------------------------------------


def test_a_run_that_stopped_early_does_not_underfit():
    X, y = hinted(900, 0.3)
    stop = bpnet.EarlyStopping(patience=3)
    for callbacks in ([stop], [bpnet.GradientFlow(), stop]):
        net = network(bpnet.Dense(32, "relu"), loss="mean_squared_error")
        found = diagnosed(net, X, y, *callbacks, epochs=100)
        assert found.healthy, found


@pytest.mark.parametrize("is_first", [True, False])
def test_the_doctor_knows_which_epoch_early_stopping_keeps(is_first):
    X, y = hinted(2000, 0.7)
    callbacks = [bpnet.Doctor(every=1), bpnet.EarlyStopping(patience=10)]

    def trained(epochs, callbacks):
        layers = [bpnet.Dense(64, "relu") for _ in range(2)]
        return network(*layers, loss="mean_squared_error").fit(
            X[:1000], y[:1000], epochs=epochs, optimizer=bpnet.Adam(0.01),
            validation_data=(X[1000:], y[1000:]), callbacks=callbacks,
        )  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("error", bpnet.TrainingWarning)
        history = trained(60, callbacks if is_first else callbacks[::-1])
    assert history.best_epoch < history.epochs
    assert bpnet.diagnose(history).healthy
    all_kept = trained(history.epochs, [bpnet.GradientFlow()])
    assert bpnet.diagnose(all_kept).name == "overfitting"


def test_tiny_targets_are_no_exploding_gradients():
    X, y = hinted(400, 0.9)
    net = network(bpnet.Dense(32, "tanh"), loss="mean_squared_error")
    found = diagnosed(net, X, 1e-5 * y)
    assert found.name == "unscaled targets"
    assert "exploding gradients" not in names(found)


@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_dropout_is_no_dead_relu(rate):
    X, y = moons()
    layers = [bpnet.Dense(64, "relu"), bpnet.Dropout(rate)]
    found = diagnosed(network(*layers), X, y, rate=3e-3)
    assert not set(names(found)) & {"dead ReLUs", "learning rate too high"}


@pytest.mark.parametrize("kind", [bpnet.BatchNorm, bpnet.LayerNorm])
@pytest.mark.parametrize("activation", ["elu", "gelu", "relu"])
def test_normalized_nets_are_healthy(kind, activation):
    X, y = moons(1200)
    layers = [bpnet.Dense(16, activation), kind(), bpnet.Dense(16, activation), kind()]
    found = diagnosed(network(*layers), X, y, epochs=60)
    assert found.healthy, found


# --- failures ---------------------------------------------------------------------------------


def test_overfitting_is_seen_on_a_hundred_digits_with_two_large_layers():
    X, y = digits(500)
    wrong = np.random.default_rng(0).random(100) < 0.1  # the gap in loss is too small to tell
    y[:100] = np.where(wrong, (y[:100] + 1) % 10, y[:100])
    layers = [bpnet.Dense(512, "relu"), bpnet.Dense(512, "relu")]
    net = network(*layers, units=10, loss="categorical_crossentropy")
    found = diagnosed(net, X, y, rate=1e-3, epochs=25, held_out=0.8)
    assert found.name == "overfitting", found


def test_one_failure_is_one_line_of_the_doctor():
    X, y = moons()
    layers = [bpnet.Dense(16, "relu", bias_init=Constant(-20.0))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", bpnet.TrainingWarning)
        network(*layers).fit(X, y, epochs=20, callbacks=[bpnet.Doctor()])
    texts = [str(warning.message) for warning in caught]
    assert [text.split(" (")[0] for text in texts] == ["dead ReLUs"]
    assert not any("\n" in text for text in texts)


@pytest.mark.parametrize("is_first", [True, False])
def test_the_outcome_is_that_of_the_weights_that_are_kept(is_first):
    X, y = hinted(300, 0.5)
    callbacks = [bpnet.GradientFlow(every=1), bpnet.EarlyStopping(patience=3)]
    net = network(bpnet.Dense(64, "relu"), bpnet.Dense(64, "relu"), loss="mean_squared_error")
    history = net.fit(
        X[:150], y[:150], epochs=60, optimizer=bpnet.Adam(0.003),
        validation_data=(X[150:], y[150:]),
        callbacks=callbacks if is_first else callbacks[::-1],
    )  # fmt: skip
    outcome = history.facts.outcome
    assert outcome["epoch"] == history.best_epoch < history.epochs
    assert outcome["loss"] == pytest.approx(net.evaluate(X[:150], y[:150])["loss"])


@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize("preset", ["td", "td-s"])
def test_estimators_for_tables_that_trained_too_briefly_underfit(preset, epochs):
    """Their schedule begins at a rate of 0, and the output layer of "td-s" starts at 0."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 10))
    y = (X[:, 0] * X[:, 1] + X[:, 2] > 0.0).astype(int)
    estimator = bpnet.TabularClassifier(
        preset, n_epochs=epochs, callbacks=[bpnet.GradientFlow()], random_state=0
    )
    found = bpnet.diagnose(estimator.fit(X, y))
    assert names(found) == ["underfitting"], str(found)


def test_gradients_that_an_output_layer_of_zeros_does_not_pass_yet_do_not_vanish():
    X, y = hinted(400, 0.9)
    net = bpnet.Network(
        [bpnet.Dense(16, "tanh"), bpnet.Dense(1, init="zeros")], "mean_squared_error", seed=0
    )
    found = diagnosed(net, X, y, epochs=2)
    assert names(found) == ["underfitting"], str(found)


def test_a_single_lucky_epoch_is_no_signal():
    X, y = moons(900)
    y = np.random.default_rng(1).permutation(y)
    history = network(bpnet.Dense(8, "tanh")).fit(
        X[:600], y[:600], epochs=20, validation_data=(X[600:], y[600:]),
        callbacks=[bpnet.GradientFlow()],
    )  # fmt: skip
    losses = history.history["val_loss"]
    losses[3] = 0.6
    assert bpnet.diagnose(history).name == "shuffled labels"
    losses[2:5] = [0.6, 0.6, 0.6]
    assert bpnet.diagnose(history).name != "shuffled labels"
