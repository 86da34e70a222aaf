"""A command in several processes: they fail together, and process 0 speaks for them."""

from __future__ import annotations

import pytest
from mpi_jobs import WHY_NOT, run
from thread_group import run_together

pytest.importorskip("typer")

from bpnet.cli import processes
from bpnet.cli.failures import UserError
from bpnet.cli.output import Output
from bpnet.distributed import SingleProcess


def outcome(group, failing):
    """Return what the preparation of a process comes to, if some of them fail."""

    def prepare():
        if group.rank in failing:
            raise UserError(f"cannot read part {group.rank}")
        return group.rank

    try:
        return processes.prepared(group, prepare)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ((), [0, 1, 2]),
        ((1,), ["process 1: cannot read part 1", "cannot read part 1",
                "process 1: cannot read part 1"]),
        ((0, 2), ["cannot read part 0", "process 0: cannot read part 0", "cannot read part 2"]),
    ],
)  # fmt: skip
def test_all_fail_if_one_does(failing, expected):
    assert run_together(3, lambda group: outcome(group, failing)) == expected


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("wrong"), 2), (KeyboardInterrupt(), 130)]
)
def test_only_the_first_process_tells_what_failed(error, status):
    def run():
        raise error

    def spoken(group):
        if group.is_main:
            with pytest.raises(type(error)):
                processes.speaking(group, run)
            return None
        return processes.speaking(group, run)

    assert run_together(2, spoken) == [None, status]


def test_without_mpi4py_it_is_the_users_mistake(monkeypatch):
    def missing():
        raise ImportError("training in several processes needs mpi4py")

    monkeypatch.setattr(processes, "get_communicator", missing)
    with pytest.raises(UserError, match="needs mpi4py"):
        processes.connected()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_silent_output_prints_nothing(capsys, as_json):
    output = Output(as_json, is_silent=True)
    output.table([("a", "b")])
    output.note("note")
    output.say("words")
    assert tuple(capsys.readouterr()) == ("", "")


def test_a_process_alone_is_the_main_one():
    assert processes.speaking(SingleProcess(), lambda: 0) == 0


@pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
def test_a_launcher_trains_one_model(people, tmp_path):
    words = [
        "train",
        people,
        "--target",
        "buys",
        "--drop",
        "spent",
        "--epochs",
        "2",
        "--preset",
        "plain",
    ]
    words += ["--no-diagnose", "--out", tmp_path / "model"]
    status, output = run(2, "command", *words, "--time-limit", "0")
    assert (status, output.count("training in 2 processes")) == (0, 1), output
    assert output.count("constant prediction") == 1
    assert (tmp_path / "model" / "model.safetensors").is_file()
    status, output = run(2, "command", *words)
    assert (status, output.count("exists already")) == (2, 1), output
