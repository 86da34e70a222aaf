"""Training on all rows of a file, of which only a sample is held in memory."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from bpnet.cli import data_files
from bpnet.cli.columns import Column, column_of, dates_like, frame_of, row_of
from bpnet.cli.data_files import Sample, Source
from bpnet.cli.failures import CommandError, UserError
from bpnet.cli.plan import Plan
from bpnet.cli.progress import ProgressLine
from bpnet.cli.split import Split
from bpnet.cli.targets import codes_of
from bpnet.estimators.tabular.streamed import fit_streamed

# Rows in memory, unless --sample says how many.
SAMPLE = 100_000
# Rows that are read at a time.
BLOCK = 50_000


def check_streamed(source: Source, why: str, n_processes: int) -> None:
    """Refuse a file that cannot be read in blocks, or in several processes.

    Raises
    ------
    UserError
        If it is such a file; `why` says why it should be.
    """
    instead = "or pass a number of rows, such as --sample 100000, to train on so many"
    if n_processes > 1:
        raise UserError(
            f"{why}, but rows are streamed in a single process; start it without mpiexec, "
            f"{instead}"
        )
    odd = None
    if source.kind in ("npz", "libsvm"):
        odd = f"a file of kind {source.kind}"
    elif source.encoding is not None:
        odd = f"a CSV in {source.encoding}"
    if odd is not None:
        raise UserError(
            f"{why}, but {odd} can only be read as a whole; write it as Parquet or as CSV in "
            f"UTF-8, {instead}, drawn at random"
        )


class Stream:
    """All rows of a file to train on.

    Parameters
    ----------
    source : Source
        The file.
    sample : Sample
        The rows in memory.
    plan : Plan
        What is learned, decided by the sample.
    split : Split
        The rows of the plan to test on.
    line : ProgressLine
        Shows how many rows have been read.

    Attributes
    ----------
    n_rows : int
        Rows to train on.
    without_target : int
        Rows that are left out, as they have none.
    began : float
        When all rows had been read, and training began, by :func:`time.perf_counter`.
    """

    def __init__(
        self, source: Source, sample: Sample, plan: Plan, split: Split, line: ProgressLine
    ) -> None:
        self.source, self.sample, self.plan, self.split = source, sample, plan, split
        self.line = line
        is_known = column_of(sample.frame[plan.target]).values.is_not_null().to_numpy()
        self._rows = sample.rows[is_known]  # the number in the file of each row of the plan
        known = plan.y[split.training]
        self._labels = np.unique(known).tolist() if plan.task == "classification" else None
        self.n_rows = self.without_target = 0
        self.began = time.perf_counter()

    def fit(self, model: Any, folder: Path) -> None:
        """Fit an estimator; a folder in `folder` holds a copy of the rows meanwhile.

        Raises
        ------
        UserError
            If a row cannot be trained on.
        CommandError
            If the disk is full.
        """
        rows = self.split.training
        try:
            with _ended(), tempfile.TemporaryDirectory(prefix=".rows-", dir=folder) as place:
                fit_streamed(
                    model, self.plan.table[rows], self.plan.y[rows], self.parts,
                    self.sample.total, place,
                )  # fmt: skip
        except OSError as error:
            raise CommandError(
                f"the rows cannot be copied into {str(folder)!r} for training: "
                f"{error.strerror or error}; --out chooses another folder, and --sample alone "
                f"trains on fewer rows"
            ) from error

    def parts(self, held_out: Any) -> Iterator[tuple[Any, Any]]:
        """Yield table and targets of the rows to train on, in the order of the file.

        `held_out` are numbers of rows in ``split.training`` that choose the best epoch.
        """
        plan_rows = [self.split.test, self.split.training[held_out]]
        left_out = np.sort(self._rows[np.concatenate(plan_rows)])
        first = 0
        for frame in data_files.batches(self.source, BLOCK):
            start, stop = np.searchsorted(left_out, [first, first + frame.height])
            is_trained_on = np.ones(frame.height, bool)
            is_trained_on[left_out[start:stop] - first] = False
            is_trained_on &= self._is_early(frame, first)
            y, is_known = self._targets(frame[self.plan.target], first, is_trained_on)
            self.without_target += int((~is_known).sum())
            chosen = is_trained_on & is_known
            columns = [self._column(frame, column, first) for column in self.plan.features]
            first += frame.height
            self.n_rows += int(chosen.sum())
            if chosen.any():
                yield frame_of(columns).filter(chosen), y[chosen]
            self.line.read(first, self.sample.total)
        path, state = self.source.path, self.source.state
        if first != self.sample.total or data_files.state_of(path) != state:
            raise UserError(f"{path!r} was changed while it was read")
        self.began = time.perf_counter()

    def _is_early(self, frame: Any, first: int) -> Any:
        """Return which rows come before those that are tested, in a split by time."""
        time = self.plan.time
        if time is None:
            return True
        series, sample = frame[time.name], self.sample.frame[time.name]
        if time.dtype.is_numeric():
            values = self._converted(series, "number", first).values
        else:
            values = dates_like(series, sample, first)
        if values.null_count():
            raise UserError(
                f"argument --time-column: {time.name!r} has a gap in row "
                f"{row_of(values.is_null(), first):,}; fill it, or remove the row"
            )
        return (values < time.gather(self.split.test).min()).to_numpy()

    def _column(self, frame: Any, known: Column, first: int) -> Column:
        """Return a column of a block as what it is in the sample."""
        column = self._converted(frame[known.name], known.kind, first)
        if column.kind == "number" and (is_infinite := column.values.is_infinite()).any():
            raise UserError(
                f"column {known.name!r} must not hold infinity (inf); gaps may be NaN; got it "
                f"in row {row_of(is_infinite, first):,}"
            )
        return column

    def _targets(self, series: Any, first: int, is_trained_on: Any) -> tuple[Any, Any]:
        """Return the targets of a block, and which are known.

        Only rows that are trained on must have a class of the rows in memory to train on.
        """
        if self._labels is None:
            values = self._converted(series, "number", first).values
            if (is_infinite := values.is_infinite().fill_null(False)).any():
                raise UserError(
                    f"the target {series.name!r} is infinite in row "
                    f"{row_of(is_infinite, first):,}; remove such rows"
                )
            return values.to_numpy(), values.is_not_null().to_numpy()
        values, codes = codes_of(series, self._labels, first)
        is_known = values.is_not_null().to_numpy()
        if (is_new := is_trained_on & is_known & (codes < 0)).any():
            row = int(is_new.argmax())
            raise UserError(
                f"the target {series.name!r} has the class {values[row]!r} in row "
                f"{first + row + 1:,}, but not in the {len(self.split.training):,} rows in "
                f"memory to train on; remove such rows, or pass a larger --sample"
            )
        return np.array(self._labels)[codes], is_known

    def _converted(self, series: Any, kind: str, first: int) -> Column:
        try:
            return column_of(series, kind, first)
        except UserError as error:
            what = str(error).replace(", as in training", "")
            raise UserError(
                f"{what}; the {self.sample.frame.height:,} rows in memory hold only such; mend "
                f"the row, or read the column as --categorical or --drop it"
            ) from None


@contextlib.contextmanager
def _ended() -> Iterator[None]:
    """Let SIGTERM, as of ``kill`` or a scheduler, end the program like an error: with cleanup.

    The exit status is that of a shell, 143. A handler of the program stays.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
