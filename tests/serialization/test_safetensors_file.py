"""Invalid and malicious files are rejected with the reason."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tracemalloc

import fuzz_modelfile as hostile
import numpy as np
import pytest

import bpnet
from bpnet import schedules
from bpnet.serialization import model_state, safetensors_file

CONTENT, HEADER = hostile.CONTENT, hostile.HEADER


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net"


def refuse(path, content, message):
    path.write_bytes(content)
    with pytest.raises(bpnet.ModelFileError, match=message):
        bpnet.load(path)


def raw(header, body=b""):
    """Return a file with an arbitrary header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def metadata(**document):
    return {"__metadata__": {"bpnet": json.dumps({"version": 1} | document), "sha256": ""}}


def test_equal_contents_are_equal_bytes(path):
    """safetensors writes its metadata in random order."""
    net = hostile.network().build(2)
    contents = set()
    for _ in range(20):
        net.save(path)
        contents.add(path.read_bytes())
    copy.deepcopy(net).save(path)
    assert contents == {path.read_bytes()}
    again = b"".join(safetensors_file.encode(*safetensors_file.read(path)))
    assert again == path.read_bytes()


def test_the_genuine_file_is_resumed(path):
    assert hostile.check(CONTENT, path) == "resumed"


def test_truncated_at_every_length(path):
    for length in range(len(CONTENT)):
        refuse(path, CONTENT[:length], "not a model file|damaged|header")


@pytest.mark.full
@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_each_byte_flipped(path, mask):
    for at in range(len(CONTENT)):
        content = bytearray(CONTENT)
        content[at] ^= mask
        path.write_bytes(content)
        with pytest.raises(bpnet.ModelFileError):
            bpnet.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    {
        "empty": (b"", "has 0 bytes"),
        "a huge length": (struct.pack("<Q", 2**63) + CONTENT[8:], "header should have"),
        "another format": (b"\x89HDF\r\n\x1a\n" + bytes(999), "not a model file"),
        "a pickle": (b"\x80\x04\x95" + bytes(999), "not a model file"),
        "no JSON": (raw(b"hello, world"), "header"),
        "no object": (raw([1, 2]), "header"),
        "not of bpnet": (raw({"__metadata__": {"format": "pt"}}), "KeyError: 'bpnet'"),
        "deep": (raw(b"[" * 100_000), "RecursionError|header"),
        "deep inside": (raw({"__metadata__": {"bpnet": "[" * 99_999, "sha256": ""}}), "header"),
        "giant": (raw(b" " * (safetensors_file.HEADER_LIMIT + 1)), "at most 4194304"),
        "a giant number": (raw(b'{"__metadata__": ' + b"9" * 10_000 + b"}"), "header"),
        "from the future": (raw(metadata(version=4)), "version 4 .* install a newer bpnet"),
        "no version": (raw(metadata(version="1")), "no version"),
        "bytes left over": (raw(metadata(), b"1234"), "4 bytes of tensors"),
    }.values(),
)  # fmt: skip
def test_what_no_bpnet_wrote(path, content, message):
    refuse(path, content, message)


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": entry([1], 0, 4), "b": entry([2], 0, 8)},
        {"a": entry([2**62, 8], 0, 8)},
        {"a": entry([2**40], 0, 8)},
        {"a": entry([-2], 0, 8)},
        {"a": entry([1], 4, 8)},
        {"a": entry([2], 8, 0), "b": entry([2], 0, 8)},
        {"a": entry([2], 0, 8, "F31")},
        {"a": entry([1], 0, 8, "I64")},
        {"a": entry([4], 0, 8, "BF16")},
        {"a": entry([2], 0, 8) | {"more": 1}},
        {"a": 3},
    ],
    ids=str,
)
def test_tensors_that_overlap_or_are_wrong(path, tensors):
    refuse(path, raw(tensors | metadata(), bytes(8)), "damaged|dtype|header")


def changed(**changes):
    return hostile.sign(hostile.DOCUMENT | changes, dict(hostile.TENSORS))


def layer(**description):
    return changed(network=NETWORK | {"layers": [description, *NETWORK["layers"][1:]]})


NETWORK, TRAINING = hostile.DOCUMENT["network"], hostile.DOCUMENT["training"]
DENSE = NETWORK["layers"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    {
        "unknown layer": (
            layer(**{"class": "layers.Conv"}), "'layers.Conv', .* custom={'Conv': Conv}"
        ),
        "a function": (layer(**{"class": "os.system", "cmd": "true"}), "of bpnet.layers"),
        "no layer": (layer(**{"class": "losses.Huber", "delta": 1.0}), "of bpnet.layers"),
        "more": (layer(**DENSE, more=1), "layers.Dense has no parameter 'more'"),
        "fewer": (layer(**{"class": "layers.Dropout"}), "missing .* 'rate'"),
        "units": (layer(**DENSE | {"units": -1}), "units must be >= 1"),
        "too many": (layer(**DENSE | {"units": 10**15}), "must have shape"),
        "a kind": (layer(**DENSE | {"activation": DENSE}), "a bpnet Activation, got Dense"),
        "seed": (changed(network=NETWORK | {"seed": None}), "seed"),
        "steps": (changed(network=NETWORK | {"steps_taken": 1 << 63}), "large"),
        "lacks": (changed(network={}), "lacks"),
    }.values(),
)  # fmt: skip
def test_a_document_that_is_signed_but_wrong(path, content, message):
    refuse(path, content, message)


WATCHED = """
import sys
import fuzz_modelfile as hostile

seen, paths = [], sys.argv[1:]
outcomes = [hostile.check(hostile.CONTENT, hostile.pathlib.Path(paths[0] + ".own"))]
events = {
    "exec", "compile", "import", "marshal.loads", "pickle.find_class", "code.__new__",
    "ctypes.dlopen", "os.exec", "os.system", "os.posix_spawn", "subprocess.Popen",
}
sys.addaudithook(lambda event, arguments: seen.append(event) if event in events else None)
for path in map(hostile.pathlib.Path, paths):
    outcomes.append(hostile.check(path.read_bytes(), path))
print(outcomes, seen)
"""


def test_nothing_in_a_file_is_executed(tmp_path):
    """Python's audit events show any code execution while loading and resuming files."""
    contents = {
        "genuine": CONTENT,
        "function": layer(**{"class": "os.system", "cmd": "true"}),
        "attribute": layer(**{"class": "layers.math.os.system", "cmd": "true"}),
        "expression": layer(**DENSE | {"units": "__import__('os').system('true')"}),
        "callback": changed(training=TRAINING | {"callbacks": [["subprocess.Popen", "true"]]}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, *(str(tmp_path / name) for name in contents)],
        cwd=pathlib.Path(hostile.__file__).parent,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    expected = ["resumed", "resumed", "refused", "refused", "refused", "loaded"]
    assert result.stdout == f"{expected} []\n", result.stderr


def test_a_tensor_too_many_or_too_few(path):
    document, tensors = {"network": NETWORK}, hostile.TENSORS
    layers = {name: t for name, t in tensors.items() if name.startswith("layers.")}
    path.write_bytes(hostile.sign(document, layers))
    assert bpnet.load(path).n_inputs == 2
    refuse(path, hostile.sign(document, layers | {"x": np.zeros(2)}), "unexpected tensor")
    refuse(path, hostile.sign(document, layers | {"\0": np.zeros(2)}), "unexpected tensor")
    layers.pop("layers.2.b")
    refuse(path, hostile.sign(document, layers), "lacks 'layers.2.b'")


@pytest.mark.parametrize(
    "text", ["[" + "{}," * 10**6 + "0]", "[" * 10**6], ids=["wide", "deep"]
)
def test_a_large_header_takes_bounded_memory(path, text):
    path.write_bytes(raw({"__metadata__": {"bpnet": text, "sha256": ""}}))
    tracemalloc.start()
    with pytest.raises(bpnet.ModelFileError):
        bpnet.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * 2**20


def test_loading_takes_twice_the_memory_of_the_file(path):
    layers = [bpnet.Dense(500), bpnet.Dense(1)]
    bpnet.Network(layers, "huber", seed=0).build(500).save(path)
    bpnet.load(path)
    tracemalloc.start()
    bpnet.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.3 * path.stat().st_size


def test_a_file_with_a_terabyte_of_nothing(path):
    path.write_bytes(raw({"a": entry([1], 0, 4)} | metadata(), b"1234"))
    os.truncate(path, 2**40)
    with pytest.raises(bpnet.ModelFileError, match="do not match"):
        bpnet.load(path)


def test_the_state_of_a_callback_is_checked_before_the_network_changes(path):
    training = hostile.DOCUMENT["training"]
    (name, state, settings), *rest = training["callbacks"]
    assert name == "EarlyStopping"
    state = {"dict": state["dict"] | {"waited": -1}}
    path.write_bytes(
        changed(training=training | {"callbacks": [[name, state, settings], *rest]})
    )
    net = hostile.network().build(2)
    before = vars(net).copy()
    with pytest.raises(bpnet.ModelFileError, match="waited"):
        hostile.fit(net, resume_from=path)
    assert vars(net) == before


def test_a_schedule_that_watches_nothing_is_refused_before_training(path):
    training = copy.deepcopy(hostile.DOCUMENT["training"])
    training["settings"]["optimizer"]["learning_rate"]["schedule"]["monitor"] = None
    path.write_bytes(changed(training=training))
    net = hostile.network()
    with pytest.raises(bpnet.ModelFileError, match="monitor"):
        hostile.fit(net, resume_from=path)
    assert not net.is_built


@pytest.mark.parametrize("shape", [(0,) * 65, (2**62, 0), (0, 2**63 - 1)])
def test_a_shape_that_no_array_has(path, shape):
    """Of size 0, so that safetensors takes it; NumPy does not."""
    text = json.dumps(hostile.DOCUMENT)
    digest = hashlib.sha256(f"{text}\0z\0float32\0{shape}\0".encode()).hexdigest()
    header = {"__metadata__": {"bpnet": text, "sha256": digest}, "z": entry(shape, 0, 0)}
    refuse(path, raw(header), "no possible shape")


def test_a_file_has_a_limited_number_of_layers(path):
    limit = model_state.LAYER_LIMIT
    layers = [bpnet.Dropout(0.1)] * limit
    with pytest.raises(ValueError, match=r"at most 5,000 layers; got 5,001"):
        bpnet.Network([*layers, bpnet.Dense(1)], "huber", seed=0).build(2).save(path)
    assert not path.exists()
    network = hostile.DOCUMENT["network"]
    dropout = [{"class": "layers.Dropout", "rate": 0.1}] * limit
    content = changed(network=network | {"layers": [*dropout, network["layers"][-1]]})
    refuse(path, content, "at most 5,000 layers")


def test_deeply_nested_components_take_no_longer_than_others(path):
    """A description that is checked by describing it again would take 2**30 steps."""
    rate = 0.1
    for _ in range(30):
        rate = schedules.WarmUp(rate, 1)
    net = bpnet.Network([bpnet.Dropout(rate), bpnet.Dense(1)], "huber", seed=0).build(2)
    net.save(path)
    assert bpnet.load(path).layers == net.layers


@pytest.mark.parametrize("where", ["header", "document"])
def test_a_key_that_occurs_twice_is_refused(path, where):
    text = json.dumps(hostile.DOCUMENT)
    if where == "document":
        text = '{"version": 1, ' + text[1:]
    digest = hashlib.sha256(text.encode()).hexdigest()
    header = json.dumps({"__metadata__": {"bpnet": text, "sha256": digest}})
    if where == "header":
        header = '{"__metadata__": {}, ' + header[1:]
    refuse(path, raw(header.encode()), "a key occurs twice")


@pytest.mark.parametrize("name", ["a" * 10**6, "\ud800"], ids=["long", "surrogate"])
def test_errors_that_quote_a_file_are_short_and_printable(path, name):
    training = hostile.DOCUMENT["training"]
    callbacks = [*training["callbacks"], [name, {"dict": {}}]]
    path.write_bytes(changed(training=training | {"callbacks": callbacks}))
    with pytest.raises(ValueError, match="state of the callback") as caught:
        hostile.fit(hostile.network(), resume_from=path)
    assert len(str(caught.value).encode()) < 1000
    network = hostile.DOCUMENT["network"]
    path.write_bytes(changed(network=network | {"loss": {"class": f"losses.{name}"}}))
    with pytest.raises(bpnet.ModelFileError) as caught:
        bpnet.load(path)
    assert len(str(caught.value).encode()) < 1000


@pytest.mark.parametrize(
    ("tensor", "value", "cause"),
    [
        ("layers.0.W", np.nan, "before training"),
        ("training.optimizer.m.0.W", np.inf, "before training"),
        ("training.optimizer.v.0.W", -1.0, "likely cause"),  # Adam takes its square root
    ],
)
def test_numbers_that_end_the_training_are_named(path, tensor, value, cause):
    tensors = dict(hostile.TENSORS)
    tensors[tensor] = np.full_like(tensors[tensor], value)
    content = hostile.sign(hostile.DOCUMENT, tensors)
    assert hostile.check(content, path) == "not finite"
    with np.errstate(all="ignore"), pytest.raises(bpnet.NonFiniteError, match=cause):
        hostile.fit(hostile.network(), resume_from=path)


def test_a_network_too_large_for_a_header_is_not_saved(path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "HEADER_LIMIT", 100)
    with pytest.raises(ValueError, match="save fewer layers"):
        hostile.network().build(2).save(path)
    assert not path.exists()


@pytest.mark.full
@pytest.mark.parametrize("contents", [hostile.changed_bytes(), hostile.changed_contents()])
def test_fuzz(contents, tmp_path):
    outcomes = hostile.fuzz(contents, 300, tmp_path)
    assert outcomes["refused"] > 100


def test_another_process_writes_equal_bytes(path):
    """Its order of sets and dicts may be another."""
    hostile.network().build(2).save(path)
    program = (
        f"import sys; sys.path.append({str(pathlib.Path(hostile.__file__).parent)!r})\n"
        "import fuzz_modelfile\n"
        f"fuzz_modelfile.network().build(2).save({str(path) + '-again'!r})\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONHASHSEED": "7"}
    )
    assert pathlib.Path(f"{path}-again").read_bytes() == path.read_bytes()
