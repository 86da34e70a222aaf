"""Crashes, full disks and read-only folders leave the previous file intact."""

from __future__ import annotations

import os
import pathlib
import resource
import socket
import subprocess
import sys
import threading

import pytest

import bpnet
from bpnet.serialization import safetensors_file

HERE = pathlib.Path(__file__).parent
X, Y = [[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]] * 2, [1.0, 0.0] * 2


def network(units=8):
    layers = [bpnet.Dense(units, "tanh"), bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=0).build(4)


def bind_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)


@pytest.fixture
def saved(tmp_path):
    """The path of a model file, which must stay unchanged."""
    path = tmp_path / "net.safetensors"
    network().save(path)
    content = path.read_bytes()
    yield path
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")] == []


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.full
def test_ten_kills_lose_nothing():
    result = subprocess.run(
        [sys.executable, str(HERE / "kill.py"), "10"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "killed: 10" in result.stdout


@pytest.mark.parametrize("limit", [0, 100, 1000])
def test_a_full_disk(saved, limit):
    net = network(64)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(OSError, match="nothing was written") as raised:
            net.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(saved)


def test_a_folder_that_may_only_be_read(saved):
    saved.parent.chmod(0o555)
    program = (
        "import os, sys, bpnet\n"
        "net = bpnet.Network([bpnet.Dense(1)], 'huber', seed=0).build(2)\n"
        "import safetensors.numpy, bpnet.serialization.model_state\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "try: net.save(sys.argv[1])\n"
        "except PermissionError as error: print(error)\n"
    )
    opened = [p for p in saved.parents if not p.stat().st_mode & 0o001]
    modes = [p.stat().st_mode for p in opened]
    for folder in opened:
        folder.chmod(folder.stat().st_mode | 0o011)
    try:
        result = run(program, saved)
    finally:
        for folder, mode in zip(opened, modes, strict=True):
            folder.chmod(mode)
        saved.parent.chmod(0o755)
    assert "nothing was written" in result.stdout, result.stderr
    assert str(saved) in result.stdout


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        network().save(tmp_path)
    with pytest.raises(bpnet.ModelFileError, match="is a folder"):
        bpnet.load(tmp_path)


def test_a_folder_that_is_missing(tmp_path):
    for use in (network().save, bpnet.load):
        with pytest.raises(FileNotFoundError):
            use(tmp_path / "none" / "net")


def test_a_device_and_a_pipe_are_no_model_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(bpnet.ModelFileError, match="not a file"):
            bpnet.load(path)


@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("make", [os.mkfifo, bind_socket])
def test_what_is_no_file_is_not_replaced(tmp_path, monkeypatch, make, through_a_link):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    make("special")
    target = tmp_path / "special"
    if through_a_link:
        target = tmp_path / "link"
        target.symlink_to("special")
    mode, net = os.lstat("special").st_mode, network()
    with pytest.raises(FileExistsError, match="device, pipe or socket, not a file"):
        net.save(target)
    with pytest.raises(FileExistsError, match="device, pipe or socket, not a file"):
        net.fit(X, Y, epochs=1, callbacks=bpnet.Checkpoint(target))
    assert net.epochs_taken == 0
    assert os.lstat("special").st_mode == mode


@pytest.mark.parametrize("length", [200, 201, 234, 255])
def test_names_of_any_length_that_the_system_takes(tmp_path, length):
    path = tmp_path / ("é" * 50 + "n" * (length - 100))
    network().save(path)
    network().fit(X, Y, epochs=1, callbacks=bpnet.Checkpoint(path))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("n" * 256, OSError),
        ("n" * 254 + "{epoch}", OSError),  # in epoch 10
        ("none/net", FileNotFoundError),
        ("file/net", OSError),
        ("folder", IsADirectoryError),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_training(tmp_path, name, error):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    layers = [bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0)
    with pytest.raises(error):
        net.fit(X, Y, epochs=10, callbacks=bpnet.Checkpoint(tmp_path / name))
    assert not net.is_built
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("path", ["", "net/"])
def test_a_path_names_a_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="path must name a file"):
        bpnet.Checkpoint(path)
    with pytest.raises(IsADirectoryError, match="it names a folder"):
        network().save(path)


def test_a_relative_path_is_meant_where_it_was_given(tmp_path, monkeypatch):
    class Moves(bpnet.Callback):
        def on_epoch_begin(self, training):
            os.chdir("/")

    monkeypatch.chdir(tmp_path)
    checkpoint = bpnet.Checkpoint("net-{epoch}", keep_last=2)
    assert checkpoint.path == str(tmp_path / "net-{epoch}")
    network().fit(X, Y, epochs=3, callbacks=[Moves(), checkpoint])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net-2", "net-3"]
    assert checkpoint.last == str(tmp_path / "net-3")


def test_the_best_and_the_last_need_two_files(tmp_path):
    path = tmp_path / "net"
    checkpoints = [bpnet.Checkpoint(path), bpnet.Checkpoint(path, best_only=True)]
    with pytest.raises(ValueError, match="path must differ"):
        network().fit(X, Y, epochs=1, validation_split=0.5, callbacks=checkpoints)
    often = [bpnet.Checkpoint(path, every=2), bpnet.Checkpoint(path, minutes=1.0)]
    network().fit(X, Y, epochs=1, callbacks=often)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to("target")  # which does not exist yet
    network().save(link)
    first = target.read_bytes()
    network(9).save(link)
    assert link.is_symlink()
    assert target.read_bytes() != first
    assert bpnet.load(link).layers[0].units == 9


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for use in (network().save, bpnet.load):
        with pytest.raises(OSError, match="symbolic links"):
            use(tmp_path / "a")


def test_the_mode_of_a_file_is_kept_and_a_new_one_is_as_usual(tmp_path):
    path = tmp_path / "net"
    network().save(path)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    path.chmod(0o640)
    network().save(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_killed_writer_left_is_removed_after_an_hour(tmp_path):
    old, new = (tmp_path / f".net.{c * 16}.tmp" for c in "ab")
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    network().save(tmp_path / "net")
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_an_error_while_writing_leaves_the_file_before(saved, monkeypatch, name):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(safetensors_file.os, name, fail)
    with pytest.raises(OSError, match="nothing was written"):
        network(3).save(saved)


def test_two_that_write_the_same_file(tmp_path):
    """Threads write networks of two sizes; every read finds one of them."""
    path, nets = tmp_path / "net", [network(4), network(400)]
    nets[0].save(path)
    ended = threading.Event()

    def write(net):
        while not ended.is_set():
            net.save(path)

    writers = [threading.Thread(target=write, args=(net,)) for net in nets]
    for writer in writers:
        writer.start()
    try:
        seen = {bpnet.load(path).layers[0].units for _ in range(200)}
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert seen == {4, 400}


WRITER = """
import sys, bpnet
layers = [bpnet.Dense(int(sys.argv[2]), "tanh"), bpnet.Dense(1)]
net = bpnet.Network(layers, "mean_squared_error", seed=0).build(4)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    net.save(sys.argv[1])
"""


def test_two_processes_that_write_the_same_file(tmp_path):
    """Processes write networks of two sizes; every read finds one of them."""
    path = tmp_path / "net"
    network(4).save(path)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), units],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for units in ("4", "400")
    ]  # fmt: skip
    try:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
        for writer in writers:
            print(file=writer.stdin, flush=True)
        seen = set()
        while any(writer.poll() is None for writer in writers):
            seen.add(bpnet.load(path).layers[0].units)
        ended = [(writer.communicate()[1], writer.returncode) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert ended == [("", 0)] * 2
    assert seen == {4, 400}
    assert [file.name for file in tmp_path.iterdir()] == ["net"]
