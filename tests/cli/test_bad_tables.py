"""Bad files and options of the commands for tables: each ends in one line that helps."""

from __future__ import annotations

import gzip
import os
import pickle
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bpnet
from bpnet.cli.main import main
from bpnet.cli.plan import Choices, plan_of

GOOD = "x,z,y\n" + "".join(f"{k * 0.37 % 5:.2f},{k % 3},{'ab'[k % 2]}\n" for k in range(40))


def rows(*lines):
    return "\n".join(lines) + "\n"


def many(line, n=30):
    return "".join(line.format(k=k, even=k % 2, x=k * 0.37 % 5) + "\n" for k in range(n))


# name: (file name, content, arguments, what the line must say)
BAD_DATA = {
    "missing file": ("other.csv", GOOD, ["none.csv"], "cannot read 'none.csv': No such file"),
    "a folder": ("folder/a.csv", GOOD, ["folder"], "'folder' is a folder"),
    "empty": ("t.csv", "", [], "'t.csv' is empty"),
    "blank": ("t.csv", "\n\n", [], "cannot read .* empty"),
    "only names": ("t.csv", "x,y\n", [], "no row below its column names"),
    "one column": ("t.csv", rows("y", "1", "2"), [], "single column, 'y'.*--separator"),
    "wrong separator": ("t.csv", GOOD, ["--separator", ";"], "no column 'y'"),
    "long separator": ("t.csv", GOOD, ["--separator", "ab"], "--separator: must be one char"),
    "no names": ("t.csv", "1.5,2.5\n" + many("{x},{even}"), [], "holds numbers.*not names"),
    "twice": ("t.csv", "x,x,y\n" + many("1,{k},{even}"), [], "2 columns named 'x'"),
    "ragged": ("t.csv", "x,y\n1,2\n1,2,3\n", [], "line 3 of 't.csv' has 3 fields"),
    "open quote": ("t.csv", 'x,y\n1,2\n"3,1\n' + many("{k},{even}", 99), [],
                   "line 3 of 't.csv' has a quote that is not closed"),
    "old Mac": ("t.csv", GOOD.replace("\n", "\r"), [], "a carriage return alone"),
    "latin-1": ("t.csv", "x,y\n1,ä\n".encode("latin-1"), [], "not encoded as UTF-8.*line 2"),
    "latin-1 names": ("t.csv", "ä,y\n1,2\n".encode("latin-1"), [], "0xe4 in line 1"),
    "utf-16": ("t.csv", GOOD.encode("utf-16"), [], "UTF-16; pass --encoding utf-16"),
    "wrong encoding": ("t.csv", b"x,y\n\xff,1\n", ["--encoding", "ascii"], "as ascii"),
    "odd encoding": ("t.csv", GOOD, ["--encoding", "klingon"], "unknown encoding 'klingon'"),
    "binary": ("t.csv", b"a\0b,c\n", [], "no text, but binary"),
    "no gzip": ("t.csv.gz", GOOD, [], "cannot decompress"),
    "cut gzip": ("t.csv.gz", gzip.compress(GOOD.encode())[:40], [], "t.csv.gz"),
    "long cut gzip": (
        "t.csv.gz", gzip.compress(GOOD.encode() * 50)[:200], [], "cannot read 't.csv.gz'",
    ),
    "streamed cut gzip": (
        "t.csv.gz", gzip.compress(GOOD.encode() * 50)[:200], ["--stream"],
        "cannot read 't.csv.gz': unexpected end of file",
    ),
    "excel": ("t.xlsx", "PK\3\4", [], "'.xlsx'.*save the sheet as CSV"),
    "no ending": ("table", GOOD, [], "ends in .csv"),
    "parquet as csv": ("t.csv", b"PAR1....PAR1", [], "content is a Parquet file"),
    "csv as parquet": ("t.parquet", GOOD, [], "as Parquet"),
    "pickle": ("t.pkl", GOOD, [], "a pickle may run code"),
    "cut npy": ("t.npy", b"\x93NUMPY\1\0", [], "cannot read 't.npy'"),
    "no libsvm": ("t.libsvm", "a b c\n", ["--target", "target"], "as libsvm"),
    "target missing": (
        "t.csv", GOOD, ["--target", "Y"], "no column 'Y'; it has x, z, y; did you mean 'y'",
    ),
    "drop unknown": ("t.csv", GOOD, ["--drop", "q"], "--drop: there is no column 'q'"),
    "drop target": ("t.csv", GOOD, ["--drop", "y"], "'y' cannot be left out"),
    "drop all": ("t.csv", GOOD, ["--drop", "x", "--drop", "z"], "no column is left"),
    "all constant": ("t.csv", "x,y\n" + many("7,{even}"), [], "'x': it is constant"),
    "target constant": ("t.csv", "x,y\n" + many("{x},5"), [], "always 5.0"),
    "target empty": ("t.csv", "x,y\n" + many("{x},"), [], "0 rows with a target"),
    "target a date": ("t.csv", "x,y\n" + many("{x},2024-01-2{even}"), [], "holds dates"),
    "target an id": ("t.csv", "x,y\n" + many("{x},u{k}"), [], "too many for classes"),
    "target with commas": (
        "t.csv", "x;y\n" + many("{even};{k},5"), [],
        "too many for classes; it is text, as it has '.*,5': write its numbers with a point",
    ),
    "a number with a unit": (
        "t.csv", "x,y\n" + many("{even},{k}.5") + "1,5 kg\n", [],
        "it is text, as it has '5 kg': write its numbers with a point",
    ),
    "commas regression": (
        "t.csv", "x;y\n" + many("{even};{k},5"), ["--task", "regression"],
        "holds text such as '.*,5', and a regression predicts numbers; write its numbers",
    ),
    "infinite target": ("t.csv", "x,y\n" + many("{even},{x}") + "1,inf\n", [], "infinite"),
    "infinite": ("t.csv", "x,y\ninf,1\n" + many("{x},{even}"), [], "'x' .*infinity"),
    "two rows": ("t.csv", "x,y\n1,a\n2,b\n", [], "2 rows with a target.*at least 10"),
    "rare classes": (
        "t.csv", "x,y\n" + many("{x},a") + "1,b\n2,c\n", [], "2 classes of a single row",
    ),
    "integers beyond floats": (
        "t.csv", "x,y\n" + many("{x},9007199254740992{even}"), ["--task", "regression"],
        "2 different integers, of which only 1 stay",
    ),
    "text regression": ("t.csv", GOOD, ["--task", "regression"], "holds text such as 'a'"),
    "tiny test set": (
        "t.csv", "x,y\n" + many("{x},a") + many("{x},b"), ["--test-size", "0.01"], "2 classes",
    ),
    "time unknown": ("t.csv", GOOD, ["--time-column", "t"], "--time-column: .*'t'"),
    "time of text": (
        "t.csv", "x,t,y\n" + many("{x},w{even},{even}"), ["--time-column", "t"], "holds text",
    ),
    "time with gaps": (
        "t.csv", "x,t,y\n,,0\n" + many("{x},{k},{even}"), ["--time-column", "t"], "1 gap;",
    ),
    "time of one class": (
        "t.csv", "t,x,y\n" + many("{k},{x},0") + many("5{k},{x},1"), ["--time-column", "t",
        "--test-size", "0.5"], "same class",
    ),
    "unknown task": ("t.csv", GOOD, ["--task", "regresion"], "did you mean 'regression'"),
    "unknown preset": ("t.csv", GOOD, ["--preset", "tds"], "--preset: .* did you mean 'td-s'"),
    "unknown backend": ("t.csv", GOOD, ["--backend", "nonsense"], "backend 'nonsense'"),
    "no such device": ("t.csv", GOOD, ["--backend", "numpy:gpu"], "numpy"),
    "no epochs": ("t.csv", GOOD, ["--epochs", "0"], "--epochs"),
    "epochs and a half": ("t.csv", GOOD, ["--epochs", "2.5"], "whole number >= 1, or a share"),
    "no number": ("t.csv", GOOD, ["--epochs", "ten"], "--epochs.*number"),
    "test size": ("t.csv", GOOD, ["--test-size", "1"], "--test-size"),
    "nan": ("t.csv", GOOD, ["--time-limit", "nan"], "--time-limit"),
    "seed": ("t.csv", GOOD, ["--seed", "-1"], "--seed"),
    "unknown option": ("t.csv", GOOD, ["--lr", "1"], "--lr"),
    "stray argument": ("t.csv", GOOD, ["stray\nargument"], r"stray.*argument"),
    "out is a file": ("t.csv", GOOD, ["--out", "t.csv"], "'t.csv' is a file"),
    "out below a file": ("t.csv", GOOD, ["--out", "t.csv/a"], "cannot write into 't.csv/a'"),
    "out empty": ("t.csv", GOOD, ["--out", ""], "--out: must name a folder"),
    "null in a name": ("t.csv", GOOD, ["a\0b"], "cannot read"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BPNET_BACKEND", raising=False)


def rejected(argv, capsys):
    """Run a command that must not succeed; return its last line on stderr."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    *notes, line = err.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    assert re.match(r"bpnet.*: error: ", line)
    assert "Traceback" not in out + err
    return line


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_tables_end_in_one_line(name, tmp_path, capsys, monkeypatch):
    file, content, arguments, message = BAD_DATA[name]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    own = arguments[:1] if arguments and not arguments[0].startswith("-") else []
    data = own if own and name != "stray argument" else [file]
    rest = arguments if data == [file] else arguments[1:]
    target = [] if "--target" in rest else ["--target", "y"]
    if name != "infinite":
        monkeypatch.setattr(
            bpnet.Network, "build", lambda *a, **k: pytest.fail("training began")
        )
    assert re.search(message, rejected(["train", *data, *target, *rest], capsys))


def test_there_are_many_cases():
    assert len(BAD_DATA) >= 50


def test_pickles_in_arrays_are_not_read(capsys):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, ("owned",))

    np.save("t.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez("t.npz", a=np.array([Evil()], dtype=object))
    with open("p.npy", "wb") as file:
        pickle.dump(Evil(), file)
    for name in ("t.npy", "t.npz", "p.npy"):
        assert "pickle" in rejected(["train", name, "--target", "a"], capsys)
    assert not os.path.exists("owned")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3), "b": np.zeros(4)}, "equally many rows"),
        ({"a": np.zeros((2, 2, 2))}, "vectors and matrices"),
        ({"a": np.zeros(3, complex)}, "complex128"),
        ({}, "got none"),
    ],
)
def test_arrays_that_are_no_table(arrays, message, capsys):
    np.savez("t.npz", **arrays)
    assert message in rejected(["train", "t.npz", "--target", "a"], capsys)


def test_an_array_of_one_dimension_is_no_table(capsys):
    np.save("t.npy", np.zeros(3))
    assert "shape (3,)" in rejected(["train", "t.npy", "--target", "0"], capsys)


def test_a_file_that_must_not_be_read(monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # root may read everything
    assert "cannot read 't.csv': Permission denied" in rejected(
        ["train", "t.csv", "--target", "y"], capsys
    )


def test_ten_thousand_categories_are_learned_and_pointed_out():
    n = 20_000
    frame = pl.DataFrame({"c": [f"c{k % 10_000}" for k in range(n)], "y": [0, 1] * (n // 2)})
    found = plan_of(frame, Choices("y"))
    assert [column.name for column in found.features] == ["c"]
    assert "category of 10,000 levels" in found.notes[0]


# --- models, and the other commands ----------------------------------------------------------


def test_models_that_cannot_be_read(tmp_path, capsys, model):
    (tmp_path / "t.csv").write_text(GOOD)
    for path, message in (
        ("none.safetensors", "cannot read 'none.safetensors'"),
        ("t.csv", "is not a model file"),
        (".", "folder"),
    ):
        for argv in (["info", path], ["diagnose", path], ["evaluate", path, "t.csv"]):
            assert message in rejected(argv, capsys)
    content = bytearray(Path(model).read_bytes())
    content[-3] ^= 255
    (tmp_path / "bad.safetensors").write_bytes(content)
    assert "damaged" in rejected(["info", "bad.safetensors"], capsys)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("age,city\n1,Rom\n", ["--out", "p.csv"], "lacks columns.*'paid'"),
        ("age,city,Paid\n1,Rom,true\n", ["--out", "p.csv"], "'paid'; did you mean 'Paid'"),
        ("age,city,paid\n1,Rom,true\nold,Rom,true\n", ["--out", "p.csv"], "'old' in row 2"),
        (
            "age,city,paid\n" + "1,Rom,true\n" * 4 + "old,Rom,true\n",
            ["--out", "p.csv", "--chunk", "2"], "'old' in row 5",
        ),
        ("age,city,paid\ninf,Rom,true\n", ["--out", "p.csv"], "'age' .*infinity"),
        ("age,city,paid\n", ["--out", "p.csv"], "no row"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "p.txt"], "must end in .csv or .parquet"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "."], "must end in|is a folder"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "t.csv"], "'t.csv' exists already"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "no/p.csv"], "there is no folder 'no'"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "p.csv", "--keep", "id"], "column 'id'"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "p.csv", "--chunk", "0"], "--chunk"),
        ("age,city,paid\n1,Rom,true\n", [], "--out"),
        ("age,city,paid\n1,Rom,true\n", ["--out", "a\0b.csv"], "--out: cannot write"),
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_made(text, arguments, message, model, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(text)
    assert re.search(message, rejected(["predict", model, "t.csv", *arguments], capsys))
    assert os.listdir() == ["t.csv"]


@pytest.mark.parametrize("command", ["predict", "export"])
def test_a_folder_that_must_not_be_written(command, model, people, monkeypatch, capsys):
    def refuse(path):
        raise PermissionError(13, "Permission denied; nothing was written")

    monkeypatch.setattr("bpnet.serialization.safetensors_file.check_writable", refuse)
    words = {"predict": [people, "--out", "p.csv"], "export": ["--onnx", "p.onnx"]}[command]
    line = rejected([command, model, *words], capsys)
    assert line.endswith(f"argument {words[-2]}: cannot write {words[-1]!r}: Permission denied")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,city,paid\n1,Rom,true\n", "no column 'buys'"),
        ("age,city,paid,buys\n1,Rom,true,maybe\n", "the class 'maybe'.*'no', 'yes'"),
        ("age,city,paid,buys\n1,Rom,true,\n", "column 'buys' is empty"),
    ],
)
def test_evaluations_that_cannot_be_made(text, message, model, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(text)
    assert re.search(message, rejected(["evaluate", model, "t.csv"], capsys))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["bench", "t.csv"], "DATA and --target come together"),
        (["bench", "--backends", "numpy,"], "backend"),
        (["bench", "--preset", "x"], "--preset"),
        (["bench", "--seconds", "-1"], "--seconds"),
        (["check", "stray"], "stray"),
        (["info"], "MODEL"),
        (["train"], "DATA|--target"),
    ],
)
def test_bad_arguments_of_other_commands(argv, message, capsys):
    assert re.search(message, rejected(argv, capsys))


@pytest.mark.parametrize(
    ("values", "words"), [("0,{k}", "as it has '0,0'"), ("{k}.5", None), ("a{k}", None)]
)
def test_text_that_is_mostly_numbers_is_told(values, words):
    texts = [values.format(k=k % 7) for k in range(60)]
    frame = pl.DataFrame({"x": texts, "z": ["u", "v", "w"] * 20, "y": ["a", "b"] * 30})
    notes = plan_of(frame, Choices("y", "auto", (), (), (), None)).notes
    assert [words in note for note in notes] == [True] * (words is not None)
    assert plan_of(frame, Choices("y", "auto", (), (), ("x",), None)).notes == []
