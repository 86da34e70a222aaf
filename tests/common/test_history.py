"""How a history prints."""

from __future__ import annotations

import re

import pytest

import bpnet


def recorded(epochs, **more):
    history = bpnet.History()
    for epoch in range(1, epochs + 1):
        history.append({"loss": 1.0 / epoch, "learning_rate": 0.1} | more)
    return history


def test_a_history_prints_as_a_table_of_its_epochs():
    history = recorded(2)
    history.seconds = 1.25
    assert str(history).splitlines() == [
        "epoch   loss   learning_rate",
        "1       1      0.1",
        "2       0.5    0.1",
        "2 epochs in 1.2 s",
    ]
    assert repr(history) == str(history)
    assert str(recorded(1)).endswith("\n1 epoch")
    assert str(bpnet.History()) == "0 epochs"


@pytest.mark.parametrize("epochs", [9, 10, 200])
def test_the_middle_of_a_long_history_is_left_out(epochs):
    first = [line.split()[0] for line in str(recorded(epochs)).splitlines()[1:-1]]
    if epochs == 9:
        assert first == list("123456789")
    else:
        last = map(str, range(epochs - 4, epochs + 1))
        assert first == ["1", "2", "3", "...", *last]


def test_metrics_of_layers_are_counted_and_not_shown():
    X, y = bpnet.datasets.make_moons(60, seed=0)
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    history = net.fit(X, y, epochs=20, validation_split=0.2, callbacks=[bpnet.GradientFlow()])
    table = str(history)
    head = ["epoch", "loss", "learning_rate", "val_loss", "val_accuracy"]
    assert table.splitlines()[0].split() == head
    assert table.endswith("s, 19 more metrics in list(history)")
    assert max(map(len, table.splitlines())) < 96


def test_only_a_few_of_many_metrics_are_shown():
    history = recorded(3, **{f"val_metric_{k}": 0.1 for k in range(9)})
    lines = str(history).splitlines()
    assert len(lines[0].split()) == 7
    assert lines[-1] == "3 epochs, 5 more metrics in list(history)"


def test_it_says_which_weights_there_are_and_why_training_stopped():
    history = recorded(4)
    history.best_epoch, history.stopped = 2, "interrupted"
    last = str(history).splitlines()[-1]
    assert last == "4 epochs, with the weights of epoch 2, stopped: interrupted"


def test_an_estimator_keeps_such_a_history():
    sklearn = pytest.importorskip("sklearn.datasets")
    X, y = sklearn.make_classification(60, random_state=0)
    model = bpnet.MLPClassifier(max_iter=20, random_state=0, tol=0.0, n_iter_no_change=99)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X, y)
    assert re.match(r"epoch +loss +learning_rate\n1 ", str(model.history_))
