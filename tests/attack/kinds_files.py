"""Model files: forged ones are refused in bounded time, and writing replaces only files."""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import json
import os
import pickle
import resource
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack import Probe, bind, kind, must_refuse
from available import available

import bpnet
from bpnet import schedules

X, Y = bpnet.datasets.make_xor(24, seed=0)
# Seconds in which any file must be loaded or refused: an idle machine takes a tenth of it.
PATIENCE = 6.0
SIZES = {"float32": 4, "float64": 8}
LETTERS = {"F32": "float32", "F64": "float64"}


def network(units: int = 3, dtype: str = "float32", seed: int = 5) -> bpnet.Network:
    layers = [bpnet.Dense(units, "tanh"), bpnet.Dropout(0.1), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=seed, dtype=dtype)


def plateau() -> Any:
    rate = schedules.WarmUp(schedules.ReduceOnPlateau(0.05, "val_loss", patience=1), 1)
    return bpnet.Adam(rate)


def fit(net: bpnet.Network, **given: Any) -> Any:
    settings = {"epochs": 3, "batch_size": 8, "validation_split": 0.25}
    settings |= {"optimizer": plateau(), "callbacks": [bpnet.EarlyStopping(patience=9)]}
    return net.fit(X, Y, **settings | given)


# --- forging ------------------------------------------------------------------------------


class Forged:
    """The parts of a file, which may be changed and are signed with the right checksum."""

    def __init__(self, content: bytes) -> None:
        size = struct.unpack("<Q", content[:8])[0]
        head = json.loads(content[8 : 8 + size])
        body = content[8 + size :]
        self.document = json.loads(head.pop("__metadata__")["bpnet"])
        self.entries = {
            name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
            for name, entry in head.items()
        }
        self.text: str | None = None

    @property
    def network(self) -> Any:
        return self.document["network"]

    @property
    def training(self) -> Any:
        return self.document["training"]

    def signed(self) -> bytes:
        text = json.dumps(self.document) if self.text is None else self.text
        digest = hashlib.sha256(text.encode())
        for name in sorted(self.entries):
            letter, shape, data = self.entries[name]
            digest.update(f"\0{name}\0{LETTERS[letter]}\0{tuple(shape)}\0".encode())
            digest.update(data)
        head: dict[str, Any] = {"__metadata__": {"bpnet": text, "sha256": digest.hexdigest()}}
        body = b""
        for name, (letter, shape, data) in self.entries.items():
            offsets = [len(body), len(body) + len(data)]
            head[name] = {"dtype": letter, "shape": shape, "data_offsets": offsets}
            body += data
        written = json.dumps(head).encode()
        return struct.pack("<Q", len(written)) + written + body


def checkpoint_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        callbacks = [bpnet.EarlyStopping(patience=9), bpnet.Checkpoint(path)]
        fit(network(), callbacks=callbacks, epochs=2)
        return path.read_bytes()


def network_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net")
        network().build(2).save(path)
        return path.read_bytes()


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fail if a block takes long."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    assert seconds < PATIENCE, f"it took {seconds:.1f} s"


def check_error(error: Exception) -> None:
    text = str(error)
    assert len(text) < 1500, f"an error of {len(text)} characters"
    text.encode()  # can be printed


def load_or_refuse(content: bytes, must: str) -> None:
    """Load a forged file: a ModelFileError, or a network that works and can be saved again."""
    with tempfile.TemporaryDirectory() as folder, in_time():
        path = Path(folder, "net")
        path.write_bytes(content)
        try:
            net = bpnet.load(path)
        except bpnet.ModelFileError as error:
            check_error(error)
            assert must != "load", f"refused: {error}"  # noqa: PT017
            return
        assert must != "refuse", "accepted"
        net.save(Path(folder, "again"))
        if net.n_inputs is not None and net.n_inputs < 99:
            net.forward(np.zeros((1, net.n_inputs)))


def resume_or_refuse(content: bytes, must: str) -> None:
    """Resume a forged run: a ValueError that leaves the network alone, or training goes on."""
    with tempfile.TemporaryDirectory() as folder, in_time():
        path = Path(folder, "net")
        path.write_bytes(content)
        net = network()
        try:
            fit(net, resume_from=path)
        except ValueError as error:
            check_error(error)
            assert not net.is_built, "the network has changed"
            return
        except bpnet.NonFiniteError:
            pass
        assert must != "refuse", "accepted"


def nested(levels: int) -> Any:
    rate: Any = {"class": "schedules.Constant", "learning_rate": 0.1}
    for _ in range(levels):
        rate = {"class": "schedules.WarmUp", "schedule": rate, "epochs": 1, "start": 0.0}
    return rate


def deep(levels: int) -> Any:
    value: Any = 0.5
    for _ in range(levels):
        value = {"tuple": [value]}
    return value


def described(net: Any, number: int, **changes: Any) -> None:
    net["layers"][number] = net["layers"][number] | changes


LOADED: dict[str, tuple[Callable[[Forged], Any], str]] = {
    "65 dimensions": (lambda f: f.entries.update(z=("F32", [0] * 65, b"")), "refuse"),
    "200 dimensions": (lambda f: f.entries.update(z=("F64", [1] * 200, bytes(8))), "refuse"),
    "a shape [2^62, 0]": (lambda f: f.entries.update(z=("F32", [2**62, 0], b"")), "refuse"),
    "a shape [0, 2^63]": (lambda f: f.entries.update(z=("F64", [0, 2**63 - 1], b"")), "refuse"),
    "a weight [0, 2^62]": (
        lambda f: f.entries.update({"layers.0.W": ("F32", [0, 2**62], b"")}), "refuse"),
    "60,000 layers": (
        lambda f: f.network.update(
            layers=[{"class": "layers.Dropout", "rate": 0.1}] * 60_000
            + f.network["layers"][-1:]), "refuse"),
    "20,000 empty tensors": (
        lambda f: f.entries.update({f"z{k}": ("F32", [0], b"") for k in range(20_000)}),
        "refuse"),
    "units 2^62": (lambda f: described(f.network, 0, units=2**62), "refuse"),
    "units 2^70": (lambda f: described(f.network, 0, units=2**70), "refuse"),
    "n_inputs 2^62": (lambda f: f.network.update(n_inputs=2**62), "refuse"),
    "n_inputs 10^4000": (lambda f: f.network.update(n_inputs=10**4000), "refuse"),
    "n_inputs 0": (lambda f: f.network.update(n_inputs=0), "refuse"),
    "n_inputs true": (lambda f: f.network.update(n_inputs=True), "refuse"),
    "a seed of 4,000 digits": (lambda f: f.network.update(seed=10**4000), "any"),
    "a seed of -1": (lambda f: f.network.update(seed=-1), "refuse"),
    "a negative zero": (lambda f: described(f.network, 1, rate=-0.0), "any"),
    "a rate of NaN": (lambda f: described(f.network, 1, rate=float("nan")), "refuse"),
    "an l2 of infinity": (lambda f: described(f.network, 0, l2=float("inf")), "refuse"),
    "a rate of 10^400": (lambda f: described(f.network, 1, rate=10**400), "refuse"),
    "30 warm-ups of a rate": (lambda f: described(f.network, 1, rate=nested(30)), "any"),
    "200 warm-ups of a rate": (lambda f: described(f.network, 1, rate=nested(200)), "any"),
    "250 tuples": (lambda f: described(f.network, 1, rate=deep(250)), "refuse"),
    "100,000 tuples": (
        lambda f: setattr(f, "text", json.dumps(f.document).replace(
            '"rate": 0.1', '"rate": ' + '{"tuple": [' * 10**5 + "1" + "]}" * 10**5)),
        "refuse"),
    "a list of 100,000 numbers": (
        lambda f: described(f.network, 1, rate=[0.5] * 100_000), "refuse"),
    "a name of a megabyte": (lambda f: described(f.network, 0, x="a" * 10**6), "refuse"),
    "a class of a megabyte": (
        lambda f: described(f.network, 0, **{"class": "layers." + "a" * 10**6}), "refuse"),
    "a parameter of a megabyte": (
        lambda f: described(f.network, 0, **{"a" * 10**6: 1}), "refuse"),
    "an activation with a lone surrogate": (
        lambda f: described(f.network, 0, activation="\ud800"), "refuse"),
    "a class with a lone surrogate": (
        lambda f: described(f.network, 0, **{"class": "layers.\udcff"}), "refuse"),
    "a tensor with a NUL": (lambda f: f.entries.update({"\0": ("F32", [0], b"")}), "refuse"),
    "the same key twice": (
        lambda f: setattr(f, "text", json.dumps(f.document).replace(
            '"dtype"', '"dtype": "float64", "dtype"', 1)), "refuse"),
    "a version twice": (
        lambda f: setattr(f, "text", '{"version": 99, ' + json.dumps(f.document)[1:]),
        "refuse"),
    "steps 2^53": (lambda f: f.network.update(steps_taken=2**53), "refuse"),
    "steps of NaN": (lambda f: f.network.update(steps_taken=float("nan")), "refuse"),
    "layers in a dict": (
        lambda f: f.network.update(layers=dict(enumerate(f.network["layers"]))), "refuse"),
    "no layers": (lambda f: f.network.update(layers=[]), "refuse"),
    "a loss that is a layer": (
        lambda f: f.network.update(loss=f.network["layers"][0]), "refuse"),
    "a base class": (lambda f: f.network.update(loss={"class": "losses.Loss"}), "refuse"),
    "a dunder": (lambda f: f.network.update(loss={"class": "losses.__dict__"}), "refuse"),
    "weights of NaN": (
        lambda f: f.entries.update(
            {"layers.2.b": ("F32", [1], np.full(1, np.nan, "f4").tobytes())}), "load"),
    "weights of -0": (
        lambda f: f.entries.update(
            {"layers.2.b": ("F32", [1], np.full(1, -0.0, "f4").tobytes())}), "load"),
}  # fmt: skip


def early(training: Any, **changes: Any) -> None:
    """Change the state of early stopping."""
    entry = next(e for e in training["callbacks"] if e[0] == "EarlyStopping")
    entry[1]["dict"] |= changes


def memory(training: Any, **changes: Any) -> None:
    training["schedules"]["learning_rate"]["state"]["dict"] |= changes


RESUMED: dict[str, tuple[Callable[[Forged], Any], str]] = {
    "as it is": (lambda f: None, "resume"),
    "best of NaN": (lambda f: early(f.training, best=float("nan")), "refuse"),
    "best is text": (lambda f: early(f.training, best="x" * 10**6), "refuse"),
    "waited 10^400": (lambda f: early(f.training, waited=10**400), "any"),
    "waited -1": (lambda f: early(f.training, waited=-1), "refuse"),
    "best_epoch of -1": (lambda f: early(f.training, best_epoch=-1), "refuse"),
    "a plateau's best of text": (lambda f: memory(f.training, best="low"), "refuse"),
    "a plateau's best of NaN": (lambda f: memory(f.training, best=float("nan")), "refuse"),
    "a plateau's rate of NaN": (lambda f: memory(f.training, rate=float("nan")), "refuse"),
    "a plateau's rate of -1": (lambda f: memory(f.training, rate=-1.0), "refuse"),
    "a fixed rate of NaN": (
        lambda f: f.training["schedules"]["learning_rate"].update(fixed=float("nan")),
        "refuse"),
    "a callback of a megabyte": (
        lambda f: f.training["callbacks"].append(["a" * 10**6, {"dict": {}}]), "refuse"),
    "a callback with a lone surrogate": (
        lambda f: f.training["callbacks"].append(["\ud800", {"dict": {}}]), "refuse"),
    "30,000 callbacks": (
        lambda f: f.training["callbacks"].extend([["Checkpoint", {"dict": {}}]] * 30_000),
        "any"),
    "a history of two same names": (
        lambda f: f.training.update(history=["loss"] * len(f.training["history"])), "refuse"),
    "history names of a megabyte": (
        lambda f: f.training.update(history=["a" * 10**6, *f.training["history"][1:]]),
        "refuse"),
    "a history in a dict": (
        lambda f: f.training.update(history=dict.fromkeys(f.training["history"])), "refuse"),
    "a setting of a megabyte": (
        lambda f: f.training["settings"].update(batch_size="a" * 10**6), "refuse"),
    "a rule of a megabyte": (
        lambda f: f.training["settings"]["optimizer"].update({"a" * 10**6: 1}), "refuse"),
    "100 warm-ups": (
        lambda f: f.training["settings"]["optimizer"].update(learning_rate=nested(100)),
        "refuse"),
    "a place of 300 levels": (lambda f: f.training.update(place=deep(300)), "any"),
    "a place that is text": (lambda f: f.training.update(place="there"), "refuse"),
    "seconds of NaN": (lambda f: f.training.update(seconds=float("nan")), "refuse"),
    "seconds of 1e308": (lambda f: f.training.update(seconds=1e308), "any"),
    "stopped is a number": (lambda f: f.training.update(stopped=3), "refuse"),
    "completed -1": (lambda f: f.training.update(completed=-1), "refuse"),
    "epoch 2^53": (lambda f: f.training.update(epoch=2**53), "refuse"),
    "settings of a list": (lambda f: f.training.update(settings=[]), "refuse"),
    "settings missing": (lambda f: f.training["settings"].pop("shuffle"), "refuse"),
    "training of text": (lambda f: f.document.update(training="text"), "refuse"),
}  # fmt: skip


def forged(change: Callable[[Forged], Any], content: bytes, check: Any, must: str) -> None:
    part = Forged(content)
    change(part)
    check(part.signed(), must)


@kind("forged files")
def forged_files(rng: np.random.Generator) -> Iterator[Probe]:
    """Whatever a file holds, its checksum right too: a ModelFileError soon, or it works."""
    plain, run = network_bytes(), checkpoint_bytes()
    for name, (change, must) in LOADED.items():
        yield Probe(f"load {name}", bind(forged, change, plain, load_or_refuse, must))
    for name, (change, must) in RESUMED.items():
        yield Probe(f"resume {name}", bind(forged, change, run, resume_or_refuse, must))
    for number in range(12):
        shape = [int(n) for n in rng.integers(0, 2**62, size=int(rng.integers(2, 90)))]
        shape[int(rng.integers(len(shape)))] = 0
        yield Probe(
            f"{number}: a tensor of {len(shape)} random dimensions, one 0",
            bind(forged, lambda f, s=shape: f.entries.update(z=("F32", s, b"")), plain,
                 load_or_refuse, "refuse"),
        )  # fmt: skip


# --- writing ------------------------------------------------------------------------------


def refuse_special(make: Callable[[Path], Any], through: bool) -> None:
    """Saving over what is no file is refused, and leaves it there."""
    with tempfile.TemporaryDirectory() as folder:
        special = target = Path(folder, "special")
        kept = make(special)
        if through:
            target = Path(folder, "link")
            target.symlink_to(special)
        mode = os.lstat(special).st_mode
        must_refuse(lambda: network().build(2).save(target), str(target), errors=OSError)
        net = network()
        must_refuse(
            lambda: fit(net, callbacks=bpnet.Checkpoint(target)), "special", errors=OSError
        ) if not through else None
        assert not net.is_built
        assert os.lstat(special).st_mode == mode, "it was replaced"
        left = {entry.name for entry in Path(folder).iterdir()} - {"special", "link"}
        assert not left, f"left {left}"
        del kept


def listening(path: Path) -> Any:
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(path))
    return found


def at_length(length: int, action: Callable[[Path], Any], refused: bool) -> None:
    """Write a name of so many bytes, or refuse it before anything changes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "é" * (length // 4) + "n" * (length - 2 * (length // 4)))
        if refused:
            must_refuse(lambda: action(path), errors=OSError)
            assert not list(Path(folder).iterdir())
        else:
            action(path)
            assert [p.name for p in Path(folder).iterdir()] == [path.name]
            bpnet.load(path)


def save(path: Path) -> None:
    network().build(2).save(path)


def train(path: Any, epochs: int = 2, **given: Any) -> bpnet.Checkpoint:
    """Train with checkpoints; if refused, nothing may have changed."""
    net, checkpoint = network(), bpnet.Checkpoint(path, **given)
    try:
        fit(net, callbacks=[checkpoint], epochs=epochs)
    except OSError:
        assert not net.is_built, "refused only after training"
        raise
    return checkpoint


class Moves(bpnet.Callback):
    """Changes the working directory in each epoch."""

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders

    def on_epoch_begin(self, training: Any) -> None:
        os.chdir(self.folders[training.epoch % len(self.folders)])


def moving(name: str, expected: list[str], **given: Any) -> None:
    """A relative path is meant where it was given."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        os.chdir(here)
        try:
            checkpoint = bpnet.Checkpoint(name, **given)
            fit(network(), callbacks=[Moves([there, "/"]), checkpoint])
        finally:
            os.chdir(before)
        assert sorted(p.name for p in Path(here).iterdir()) == expected
        assert not list(Path(there).iterdir())
        assert os.path.isabs(checkpoint.path)
        assert os.path.samefile(checkpoint.last or "", Path(here, expected[-1]))


def full(limit: int, action: Callable[[Path], Any]) -> None:
    """With a full disk the previous file stays, and nothing else is left."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net")
        save(path)
        content = path.read_bytes()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            must_refuse(lambda: action(path), "nothing was written", errors=OSError)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.read_bytes() == content
        assert [p.name for p in Path(folder).iterdir()] == ["net"]


def broken(name: str, number: int) -> None:
    """An error of the system while writing leaves the previous file, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net")
        save(path)
        content, original = path.read_bytes(), getattr(os, name)

        def fail(*arguments: Any) -> None:
            raise OSError(number, os.strerror(number))

        setattr(os, name, fail)
        try:
            must_refuse(lambda: network(9).build(2).save(path), errors=OSError)
        finally:
            setattr(os, name, original)
        assert path.read_bytes() == content
        assert [p.name for p in Path(folder).iterdir()] == ["net"]


def refused_before(make: Callable[[Path], Any], **given: Any) -> None:
    """A checkpoint that cannot be written is refused before the network changes."""
    with tempfile.TemporaryDirectory() as folder:
        before: list[Path] = []

        def action() -> None:
            target = make(Path(folder))
            before.extend(sorted(Path(folder).rglob("*")))
            train(target, **given)

        must_refuse(action, errors=(OSError, ValueError))
        assert sorted(Path(folder).rglob("*")) == before


def loop_of(folder: Path) -> Path:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return folder / "a"


def one_file(*checkpoints: dict[str, Any]) -> None:
    """Two checkpoints that would overwrite each other's file are refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net")
        callbacks = [bpnet.Checkpoint(path, **given) for given in checkpoints]
        must_refuse(lambda: fit(network(), callbacks=callbacks), "path")


def same_bytes(backend: str, twin: Callable[[Path, bpnet.Network], bpnet.Network]) -> None:
    """Equal networks are equal files, whatever way they came."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        net = network().build(2, backend)
        net.save(first)
        twin(first, net).save(second)
        assert first.read_bytes() == second.read_bytes()


TWINS: dict[str, Callable[[Path, bpnet.Network], bpnet.Network]] = {
    "saved twice": lambda path, net: net,
    "loaded": lambda path, net: bpnet.load(path),
    "copied": lambda path, net: copy.deepcopy(net),
    "pickled": lambda path, net: pickle.loads(pickle.dumps(net)),
    "built again": lambda path, net: network().build(2),
    "moved": lambda path, net: net.to("numpy"),
}


@kind("writing files")
def writing_files(rng: np.random.Generator) -> Iterator[Probe]:
    """What is written is a whole file where it was meant, or nothing changes."""
    for name, make in {
        "a FIFO": os.mkfifo,
        "a socket": listening,
        "a folder": os.mkdir,
    }.items():
        for through in (False, True):
            where = ", by a link" if through else ""
            yield Probe(f"over {name}{where}", bind(refuse_special, make, through))
    for length in (200, 233, 234, 250, 255, *map(int, rng.integers(235, 255, 2))):
        yield Probe(
            f"save to a name of {length} bytes {rng.integers(99)}",
            bind(at_length, length, save, False),
        )
        yield Probe(
            f"train to a name of {length} bytes {rng.integers(99)}",
            bind(at_length, length, train, False),
        )
    for length in (256, 300, 5000):
        yield Probe(f"save to a name of {length} bytes", bind(at_length, length, save, True))
        yield Probe(f"train to a name of {length} bytes", bind(at_length, length, train, True))
    yield Probe(
        "an epoch of two digits is too long",
        lambda: refused_before(lambda folder: folder / ("n" * 254 + "{epoch}"), epochs=10),
    )
    yield Probe(
        "a folder of the run's name",
        lambda: refused_before(lambda folder: (folder / "2").mkdir() or folder / "{epoch}"),
    )
    yield Probe("no such folder", lambda: refused_before(lambda folder: folder / "no" / "net"))
    yield Probe(
        "a folder that is a file",
        lambda: refused_before(lambda folder: (folder / "f").touch() or folder / "f" / "net"),
    )
    yield Probe("a loop of links", lambda: refused_before(loop_of))
    yield Probe("a file below /proc", lambda: refused_before(lambda _: Path("/proc/net.st")))
    yield Probe("a file below /sys", lambda: refused_before(lambda _: Path("/sys/net.st")))
    yield Probe("an empty path", lambda: refused_before(lambda _: ""))
    yield Probe("a path that ends in /", lambda: refused_before(lambda f: f"{f}/net/"))
    yield Probe(
        "saving to a path that ends in /",
        lambda: refused_before(lambda folder: network().build(2).save(f"{folder}/net/")),
    )
    yield Probe("chdir and a name", lambda: moving("net", ["net"]))
    yield Probe("chdir and ./", lambda: moving("./net", ["net"]))
    yield Probe("chdir and epochs", lambda: moving("n{epoch}", ["n1", "n2", "n3"]))
    yield Probe("chdir and keep_last", lambda: moving("n{epoch}", ["n2", "n3"], keep_last=2))
    for limit in (0, 100, int(rng.integers(1, 1500))):
        yield Probe(
            f"a disk full after {limit} bytes",
            bind(full, limit, lambda path: network(64).build(2).save(path)),
        )
    for name in ("fsync", "replace"):
        for number in (errno.EIO, errno.ENOSPC, errno.EROFS):
            yield Probe(f"{name} fails with {number}", bind(broken, name, number))
    yield Probe("the best and the last in one file", lambda: one_file({}, {"best_only": True}))
    yield Probe(
        "the best of two metrics in one file",
        lambda: one_file({"best_only": True}, {"best_only": True, "monitor": "val_accuracy"}),
    )
    for backend in available("numpy", "torch", "jax", "array_api_strict"):
        for name, twin in TWINS.items():
            yield Probe(f"equal bytes on {backend}: {name}", bind(same_bytes, backend, twin))
