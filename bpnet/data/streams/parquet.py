"""Parquet files as a source of blocks: one for each row group."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from bpnet.common.checks import check_path, check_sequence, check_text
from bpnet.data import frames
from bpnet.data.streams.source import BUFFER, Source

_NEEDS = (
    "bpnet.streams.Parquet needs {name}, which is not installed: "
    'pip install "bpnet-array-api[streams]"'
)


class Parquet(Source):
    """Columns of Parquet files, of which each row group is read by itself.

    A block is a row group, which should take 1 to 64 MiB: PyArrow's default of 1,048,576 rows
    is much for many columns. Write smaller ones with
    ``pyarrow.parquet.write_table(table, path, row_group_size=100_000)``, or lower
    `buffer_blocks`. Requires pyarrow: ``pip install "bpnet-array-api[streams]"``.

    Parameters
    ----------
    path : path, URL or sequence of them
        A file, a folder of files, or several files, in this order. A URL with "://" is opened
        by fsspec, such as ``"s3://bucket/table.parquet"``.
    target : str, sequence of str, or None
        The column of the targets, or several. None: there are none, to predict.
    columns : sequence of str or None, default None
        The columns of the features, in this order. None takes all others.
    weight : str or None, default None
        The column of the sample weights.
    filesystem : fsspec or PyArrow file system, or None
        Where `path` is; None finds out.
    buffer_blocks : int, default 4
        As in :class:`Source`.

    Attributes
    ----------
    feature_names : tuple of str
        The columns of the features.

    Raises
    ------
    ImportError
        If pyarrow, or for a URL fsspec, is not installed.
    OSError
        If a file cannot be read.
    ValueError, TypeError
        If columns are missing, or hold something else than numbers.

    Examples
    --------
    >>> import bpnet
    >>> import polars as pl
    >>> X, y = bpnet.datasets.make_spiral(400, seed=0)
    >>> table = pl.DataFrame({"x1": X[:, 0], "x2": X[:, 1], "class": y})
    >>> table.write_parquet("spiral.parquet", row_group_size=100)
    >>> stream = bpnet.streams.Parquet("spiral.parquet", target="class")
    >>> stream.sizes, stream.feature_names
    ((100, 100, 100, 100), ('x1', 'x2'))
    >>> net = bpnet.Network([bpnet.Dense(8), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    >>> history = net.fit(stream, epochs=2)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        target: str | Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        weight: str | None = None,
        filesystem: Any = None,
        buffer_blocks: int = BUFFER,
    ) -> None:
        self.path = path
        self._filesystem, files = _found(path, filesystem)
        self._groups: list[tuple[str, int]] = []
        self._stamps: dict[str, Any] = {}
        sizes: list[int] = []
        for file in files:
            with self._open(file) as opened:
                metadata, schema = opened.metadata, opened.schema_arrow
            if not self._groups:
                self._choose(schema, target, columns, weight)
            self._check_columns(file, schema)
            self._stamps[file] = self._stamp(file)
            for group in range(metadata.num_row_groups):
                if rows := metadata.row_group(group).num_rows:
                    self._groups.append((file, group))
                    sizes.append(rows)
        if not sizes:
            raise ValueError(f"{_shown(path)} must have at least one row, got none")
        super().__init__(
            sizes, len(self.feature_names),
            labeled=target is not None, weighted=weight is not None,
            buffer_blocks=buffer_blocks,
        )  # fmt: skip

    def read(self, block: int) -> tuple[Any, Any, Any]:
        """Return the columns of a row group: tables of PyArrow, and its columns."""
        table = self._table(block, self._used)
        y = None
        if self.target is not None:
            y = (
                table.column(self.target)
                if isinstance(self.target, str)
                else table.select(list(self.target))
            )
        w = None if self.weight is None else table.column(self.weight)
        return table.select(list(self.feature_names)), y, w

    def weights(self, block: int) -> Any:
        """Return the weights of a row group, reading no other column."""
        return self._table(block, [self.weight]).column(self.weight)

    def where(self, block: int) -> str:
        """Return the block, its rows and its file."""
        return f"{super().where(block)} of {self._groups[block][0]}"

    def _table(self, block: int, columns: list[Any]) -> Any:
        file, group = self._groups[block]
        if self._stamp(file) != self._stamps[file]:
            raise OSError("the file has changed since the stream was opened; open it again")
        with self._open(file) as opened:
            return opened.read_row_group(group, columns=columns)

    def _choose(self, schema: Any, target: Any, columns: Any, weight: Any) -> None:
        """Determine the columns of the features."""
        names = None if columns is None else check_sequence("columns", columns, check_text)
        several = target is not None and not isinstance(target, str)
        self.target = tuple(check_sequence("target", target, check_text)) if several else target
        self.weight = None if weight is None else check_text("weight", weight)
        apart = [*([] if target is None else [target] if not several else self.target), weight]
        if names is None:
            names = [name for name in schema.names if name not in apart]
        if not names:
            raise ValueError(f"columns must name at least one feature, got {names}")
        self.feature_names = tuple(names)
        self._used = list(dict.fromkeys([*names, *(n for n in apart if n is not None)]))

    def _check_columns(self, file: str, schema: Any) -> None:
        """Check that a file has the columns, and that they hold numbers."""
        if missing := [name for name in self._used if name not in schema.names]:
            raise ValueError(
                f"{file} must have the columns target, columns and weight; it lacks "
                f"{', '.join(map(repr, missing))} and has {', '.join(map(repr, schema.names))}"
            )
        used = schema.empty_table().select(self._used)
        try:
            frames.refuse_odd(file, used)
        except TypeError as error:
            raise TypeError(f"{error}; or leave the column out, with columns=[...]") from error

    def _open(self, file: str) -> Any:
        from pyarrow import parquet

        try:
            return parquet.ParquetFile(file, filesystem=self._filesystem)
        except Exception as error:
            raise OSError(f"{file} cannot be read as a Parquet file: {error}") from error

    def _stamp(self, file: str) -> tuple[Any, Any]:
        """Return size and time of a file, by which it is known."""
        (info,) = self._filesystem.get_file_info([file])
        return info.size, info.mtime_ns


def _found(path: Any, filesystem: Any) -> tuple[Any, list[str]]:
    """Return the PyArrow file system and the names of the files there."""
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError(_NEEDS.format(name="pyarrow")) from error
    several = isinstance(path, list | tuple)
    names = [check_path("path", one) for one in (path if several else [path])]
    if filesystem is None and any("://" in name for name in names):
        filesystem, names = _at_urls(names)
    try:
        found = dataset.dataset(
            names if several else names[0], format="parquet", filesystem=filesystem
        )
    except FileNotFoundError:
        raise
    except Exception as error:
        raise OSError(f"{_shown(path)} cannot be read as Parquet: {error}") from error
    return found.filesystem, found.files


def _at_urls(names: list[str]) -> tuple[Any, list[str]]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ImportError(_NEEDS.format(name="fsspec")) from error
    pairs = [url_to_fs(name) for name in names]
    return pairs[0][0], [name for _, name in pairs]


def _shown(path: Any) -> str:
    return ", ".join(map(os.fspath, path)) if isinstance(path, list | tuple) else str(path)
