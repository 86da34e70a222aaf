"""Fuzzing of model files, for tests/serialization/test_safetensors_file.py and longer runs.

    python tests/helpers/fuzz_modelfile.py 100000

tries this many: half with changed bytes, half with a changed document or changed tensors and
a correct checksum. Each must be rejected with ModelFileError (or not resume, with ValueError),
or be a working network, even if its numbers make training stop as non-finite.
"""

from __future__ import annotations

import copy
import json
import pathlib
import sys
import tempfile
import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bpnet
from bpnet import schedules
from bpnet.serialization import safetensors_file

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 2)).astype("float32")
Y = X[:, 0] * X[:, 1]


def network():
    layers = [bpnet.Dense(3, bpnet.activations.ELU(0.5)), bpnet.Dropout(0.1), bpnet.Dense(1)]
    return bpnet.Network(layers, bpnet.losses.Huber(2.0), seed=5)


def fit(net, callbacks=(), **resume):
    plateau = schedules.ReduceOnPlateau(0.05, "val_loss", patience=1)
    return net.fit(
        X, Y, epochs=3, batch_size=8, validation_split=0.25,
        optimizer=bpnet.Adam(schedules.WarmUp(plateau, 1)),
        callbacks=[bpnet.EarlyStopping(patience=9), *callbacks], **resume,
    )  # fmt: skip


def genuine():
    """Return the bytes, document and tensors of a checkpoint from the middle of a run."""

    class Stop(bpnet.Callback):
        def on_epoch_begin(self, training):
            if training.epoch == 2:
                raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "net")
        try:
            fit(network(), [bpnet.Checkpoint(path), Stop()])
        except KeyboardInterrupt:
            return path.read_bytes(), *safetensors_file.read(path)
    raise AssertionError("training was not stopped")


CONTENT, DOCUMENT, TENSORS = genuine()
HEADER = 8 + int.from_bytes(CONTENT[:8], "little")


def places(value, path=()):
    """Yield the paths of all entries of a document."""
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, part in items:
        yield (*path, key)
        yield from places(part, (*path, key))


def check(content, path):
    """Load and resume a file; return the outcome, which must be an allowed one."""
    path.write_bytes(content)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # numbers may be huge
        try:
            net = bpnet.load(path)
            net.predict(np.zeros((1, net.n_inputs), net.dtype))
        except bpnet.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error).encode()) < 1000  # noqa: PT017
            outcome = "refused"
        else:
            outcome = "loaded"
        net = network()
        try:
            fit(net, resume_from=path)
        except ValueError as error:
            assert not net.is_built
            assert len(str(error).encode()) < 2000  # noqa: PT017
        except bpnet.NonFiniteError:
            assert outcome == "loaded"
            outcome = "not finite"
        else:
            assert outcome == "loaded"
            outcome = "resumed"
    return outcome


words = [
    "layers.Dense", "activations.Tanh", "schedules.Step", "losses.Huber", "os.system",
    "builtins.eval", "x" * 9999, "\ud800", 10**400, 2**62, 2**63, -(2**63), 1e308, -0.0,
    float("nan"), {"tuple": [{"dict": {}}]}, [["Checkpoint", {"dict": {}}, {}]] * 1000,
]  # fmt: skip
numbers = st.booleans() | st.integers() | st.integers(-3, 9) | st.floats()
scalars = st.none() | numbers | st.text() | st.sampled_from(words)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def changed_bytes(draw, genuine=lambda: CONTENT):
    """Flip, insert, remove and cut bytes, mostly of the header; or return random bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(genuine())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(draw(st.integers(1, 4))):
        most = len(content) if draw(st.booleans()) else min(header, len(content))
        at = draw(st.integers(0, max(most - 1, 0)))
        way = draw(st.sampled_from(["flip", "insert", "remove", "cut"]))
        if way == "flip":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif way == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif way == "remove":
            del content[at : at + draw(st.integers(1, 8))]
        elif draw(st.booleans()):
            del content[at:]
    return bytes(content)


@st.composite
def changed_contents(draw, genuine=lambda: (DOCUMENT, TENSORS)):
    """Change document and tensors, and sign them correctly."""
    document, genuine_tensors = genuine()
    everywhere = sorted(places(document), key=repr)
    document, tensors = copy.deepcopy(document), dict(genuine_tensors)
    for _ in range(draw(st.integers(0, 2))):
        *way, last = draw(st.sampled_from(everywhere))
        holder = document
        try:
            for key in way:
                holder = holder[key]
            if draw(st.integers(0, 5)) == 0:
                del holder[last]
            else:
                holder[last] = draw(values)
        except (LookupError, TypeError):
            pass  # an earlier change removed that place
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(genuine_tensors)))
        way = draw(st.sampled_from(["remove", "add", "shape", "dtype", "value"]))
        if way == "remove":
            tensors.pop(name, None)
        elif way == "add":
            tensors[draw(st.text(max_size=9))] = np.zeros(draw(st.integers(0, 3)))
        elif way == "shape":
            tensors[name] = np.zeros(draw(st.lists(st.integers(0, 4), max_size=3)), "float32")
        elif way == "dtype":
            dtype = draw(st.sampled_from(["float64", "float16", "int64", "bool", "uint8"]))
            with np.errstate(over="ignore"):
                tensors[name] = genuine_tensors[name].astype(dtype)
        else:
            tensors[name] = np.full_like(genuine_tensors[name], draw(st.floats(width=32)))
    return sign(document, tensors)


def sign(document, tensors):
    """Return the bytes of a file with a correct checksum; json allows lone surrogates."""
    return b"".join(safetensors_file.encode(json.loads(json.dumps(document)), tensors))


def fuzz(contents, examples, folder, check=check):
    """Check this many files; return the counts of the outcomes."""
    outcomes = {}

    @settings(
        max_examples=examples, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(contents)
    def run(content):
        outcome = check(content, pathlib.Path(folder, "net"))
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    run()
    return outcomes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for contents in (changed_bytes(), changed_contents()):
            print(fuzz(contents, int(sys.argv[1]) // 2, folder), flush=True)
