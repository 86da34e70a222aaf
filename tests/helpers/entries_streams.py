"""Invalid arguments of the sources of blocks."""

from __future__ import annotations

import tempfile

import bad_values as bad
from bad_data import X, Y
from bad_values import Bad
from entries import Entry

from bpnet import streams

BLOCKS = {"buffer_blocks": bad.integer(1)}
ROWS = {"block_rows": bad.integer(1, none=True)} | BLOCKS
SIZES = {
    "number": Bad(3, TypeError, "^sizes must be a sequence, got 3"),
    "none": Bad([], ValueError, "^sizes must have 1 or more values; got"),
    "half": Bad([2.5], TypeError, "^sizes must be an integer, got 2.5"),
    "zero": Bad([0], ValueError, "^sizes must be >= 1, got 0"),
}
TARGETS = {
    "y": {
        "short": Bad(Y[:-1], ValueError, "^y must have one entry for each of 6"),
        "number": Bad(3, ValueError, "^y must have one entry for each of 6"),
    },
    "sample_weight": {
        "short": Bad(Y[:-1], ValueError, "^sample_weight must have one entry"),
        "number": Bad(3, ValueError, "^sample_weight must have one entry"),
    },
}
COLUMN = {
    "number": Bad(3, TypeError, "^{name} must be a s.*, got 3"),
    "unknown": Bad("z", ValueError, "it lacks 'z' and has 'x0', 'x1', 'y', 'word'"),
}


class Ones(streams.Source):
    """Blocks of ones."""

    def read(self, block):
        raise AssertionError("no block was asked for")


def parquet(**given):
    """Return a source of a file that is written before."""
    import polars

    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        columns = {"x0": X[:, 0], "x1": X[:, 1], "y": Y, "word": ["a"] * len(Y)}
        polars.DataFrame(columns).write_parquet(file.name)
        return streams.Parquet(**({"path": file.name} | given))


def dask(X, **given):
    """Return a source of a dask array."""
    import dask.array

    return streams.Dask(dask.array.from_array(X), **given)


ENTRIES = {
    "streams.Source": Entry(
        Ones,
        {"sizes": [5, 5], "n_inputs": 2},
        {
            "sizes": SIZES,
            "n_inputs": bad.integer(1),
            "labeled": bad.flag(),
            "weighted": bad.flag(),
        }
        | BLOCKS,
    ),
    "streams.Arrays": Entry(
        streams.Arrays,
        {"X": X, "y": Y},
        {
            "X": {
                "number": Bad(3, ValueError, "^X must be 2-D"),
                "None": Bad(None, TypeError, "^X must be an array, got None"),
                "1-D": Bad(X[0], ValueError, "^X must be 2-D .*, got shape"),
                "text": Bad([["a"]], TypeError, "^X must hold real numbers, got"),
            },
        }
        | TARGETS
        | ROWS,
    ),
    "streams.Dask": Entry(
        dask,
        {"X": X, "y": Y},
        {
            "X": {
                "1-D": Bad(X[0], ValueError, "^X must be 2-D .* of 1 dimension"),
                "no column": Bad(X[:, :0], ValueError, "^X must be 2-D .* have features"),
                "no row": Bad(X[:0], ValueError, "^X must have at least one row"),
            },
        }
        | TARGETS
        | BLOCKS,
    ),
    "streams.Examples": Entry(
        streams.Examples,
        {"dataset": list(zip(X, Y, strict=True))},
        {
            "dataset": {
                "number": Bad(3, TypeError, "^dataset must have len"),
                "empty": Bad([], ValueError, "^dataset must have at least one example"),
                "four": Bad([(X[0], 1, 1, 1)], ValueError, r"^dataset\[0\] must be \(x, y\)"),
                "2-D": Bad([(X, Y)], ValueError, "got x of shape .*; flatten it"),
            }
        }
        | ROWS,
    ),
    "streams.Parquet": Entry(
        parquet,
        {"target": "y", "columns": ["x0", "x1"]},
        {
            "path": bad.path() | {"list": Bad([3], TypeError, "^path must be a str or a Path")},
            "target": COLUMN,
            "columns": {
                "text": Bad("x0", TypeError, "^columns must be a sequence, got"),
                "words": Bad(["word"], TypeError, "text in column 'word'.*columns="),
                "unknown": Bad(["z"], ValueError, "it lacks 'z' and has 'x0'"),
                "number": Bad([3], TypeError, "^columns must be a string"),
            },
            "weight": COLUMN,
            "filesystem": {"number": Bad(3, OSError, "cannot be read as Parquet")},
        }
        | BLOCKS,
    ),
    "streams.row_order": Entry(
        streams.row_order,
        {"sizes": [5, 5], "seed": 0, "epoch": 0},
        {"sizes": SIZES, "seed": bad.integer(0), "epoch": bad.integer(0)} | BLOCKS,
    ),
}
