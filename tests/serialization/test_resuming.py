"""A run is resumed by the same run only: examples, callbacks, metrics and precision."""

from __future__ import annotations

import numpy as np
import pytest

import bpnet
from bpnet.serialization import safetensors_file

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
VALIDATION = X[:300] + 0.1, Y[:300]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


def train(callbacks=(), epochs=2, y=Y, validation=VALIDATION, **given):
    """Train; a run that is refused must leave the network alone."""
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    try:
        return net.fit(
            X, y, epochs=epochs, batch_size=200, validation_data=validation,
            callbacks=[*callbacks], **given,
        )  # fmt: skip
    except ValueError:
        assert not net.is_built
        raise


def resume(path, callbacks=(), **given):
    return train(callbacks, epochs=3, resume_from=path, **given)


def stopping(*args, **given):
    return bpnet.EarlyStopping(*args, **given)


@pytest.mark.parametrize("row", [0, 1, 299, 598])
def test_every_label_counts(path, row, backend):
    train([bpnet.Checkpoint(path)], backend=backend)
    flipped = Y.copy()
    flipped[row] = 1 - flipped[row]
    with pytest.raises(ValueError, match=r"training examples must be the same.*with hash"):
        resume(path, y=flipped, backend=backend)
    flipped = VALIDATION[1].copy()
    flipped[row // 2] = 1 - flipped[row // 2]
    with pytest.raises(ValueError, match="validation examples must be the same"):
        resume(path, validation=(VALIDATION[0], flipped), backend=backend)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"monitor": "loss"},
            "monitor of the callback EarlyStopping .* 'val_loss'; got 'loss'",
        ),
        ({"patience": 3}, "patience of the callback EarlyStopping .* 10; got 3"),
        ({"min_delta": 0.1}, "min_delta of the callback EarlyStopping .* 0.0; got 0.1"),
        ({"mode": "max"}, "mode of the callback EarlyStopping .* 'min'; got 'max'"),
        ({"restore_best": False}, "restore_best of the callback .* True; got False"),
    ],
)
def test_other_settings_of_a_callback_are_named(path, given, message):
    train([stopping(), bpnet.Checkpoint(path)])
    with pytest.raises(ValueError, match=message):
        resume(path, [stopping(**given)])
    resume(path, [stopping(mode="min")])  # what the metric says


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([], ["loss"], "holds no state of such a callback EarlyStopping"),
        (["loss"], ["loss", "loss"], "holds no state of such a callback EarlyStopping"),
        (["loss", "loss"], ["loss"], "holds the state of the callback EarlyStopping"),
        (["loss", "val_loss"], ["val_loss", "loss"], "monitor of the callback EarlyStopping"),
    ],
)
def test_callbacks_of_a_class_are_matched_in_order(path, before, after, message):
    train([*map(stopping, before), bpnet.Checkpoint(path)])
    with pytest.raises(ValueError, match=message):
        resume(path, map(stopping, after))
    resume(path, map(stopping, before))


def test_checkpoints_may_differ_but_not_in_what_is_best(tmp_path, path):
    best = tmp_path / "best"
    train([bpnet.Checkpoint(path), bpnet.Checkpoint(best, best_only=True)])
    for again in (
        [],
        [bpnet.Checkpoint(tmp_path / "other", every=3)],
        [
            bpnet.Checkpoint(best, best_only=True),
            bpnet.Checkpoint(path),
            bpnet.Checkpoint(path),
        ],
    ):
        resume(path, again)
    with pytest.raises(ValueError, match=r"monitor of the callback Checkpoint .*; got 'loss'"):
        resume(path, [bpnet.Checkpoint(best, best_only=True, monitor="loss")])


class Own(bpnet.Callback):
    def __init__(self, given):
        self.given = given

    def settings(self):
        return self.given


class Former(bpnet.Callback):
    """Has had an attribute of that name."""

    def __init__(self):
        self.settings = {"not": np.ones(2)}


def test_own_callbacks_declare_their_settings(path):
    train([Own({"how": (1, 2)}), Former(), bpnet.Checkpoint(path)])
    resume(path, [Own({"how": [1, 2]}), Former()])
    with pytest.raises(ValueError, match="how of the callback Own must be the same"):
        resume(path, [Own({"how": 3})])
    with pytest.raises(ValueError, match="state of the callback Own"):
        resume(path)


@pytest.mark.parametrize("given", [{1, 2}, [1], {"a": np.ones(2)}, {"a": float("nan")}, None])
def test_settings_that_no_file_holds_are_refused(path, given):
    with pytest.raises(bpnet.ComponentError, match=r"settings.. of Own must return a dict"):
        bpnet.Network([bpnet.Dense(1)], "huber", seed=0).fit(
            X, Y, epochs=1, callbacks=[Own(given), bpnet.Checkpoint(path)]
        )


class Adds(bpnet.Callback):
    adds = {"extra": None}  # noqa: RUF012

    def on_epoch_end(self, training):
        training.logs["extra"] = 0.0


def test_a_history_without_gaps(path):
    train([Adds(), bpnet.Checkpoint(path)], metrics=["accuracy", "f1"])
    assert resume(path, [Adds()], metrics=["accuracy", "f1"]).epochs == 3
    with pytest.raises(ValueError, match="nothing records 'val_f1'"):
        resume(path, [Adds()])
    with pytest.raises(ValueError, match="nothing records 'extra'"):
        resume(path, metrics=["accuracy", "f1"])


def test_the_precision_is_that_of_the_run(path):
    with bpnet.matmul_precision("high"):
        train([bpnet.Checkpoint(path)])
        resume(path)
    with pytest.raises(ValueError, match=r"matmul_precision must be the same .* 'high'; got"):
        resume(path)


def as_older(path):
    """Take out of a file what earlier versions did not write."""
    document, tensors = safetensors_file.read(path)
    training = document["training"]
    training["callbacks"] = [entry[:2] for entry in training["callbacks"]]
    del training["settings"]["precision"]
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy")
    training["settings"]["data"] = net.check_data(X, Y, None).sampled_fingerprint()
    safetensors_file.write(path, safetensors_file.encode(document, tensors))


def test_a_file_without_settings_of_callbacks_is_resumed_as_before(path):
    train([stopping(), bpnet.Checkpoint(path)])
    expected = resume(path, [stopping()])
    as_older(path)
    assert dict(resume(path, [stopping(patience=3)])) == dict(expected)
    flipped = Y.copy()
    flipped[0] = 1 - flipped[0]
    with pytest.raises(ValueError, match="training examples must be the same"):
        resume(path, [stopping()], y=flipped)
