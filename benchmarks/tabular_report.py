"""The tables of a report on tabular results: scores, differences, and times."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from benchmarks import tabular_scores as scores
from bpnet.common.tables import align

# The first is compared with the second where both have results.
PAIRS = (
    ("bpnet-td", "pytabkit-td"), ("bpnet-td-s", "pytabkit-td-s"),
    ("bpnet-td:jax", "pytabkit-td"), ("bpnet-td-s:jax", "pytabkit-td-s"),
    ("bpnet-td:full", "pytabkit-td"), ("bpnet-td-s:full", "pytabkit-td-s"),
    ("bpnet-td", "bpnet-td:full"), ("bpnet-td-s", "bpnet-td-s:full"),
    ("bpnet-td", "sklearn"), ("bpnet-td-s", "sklearn"), ("bpnet-plain", "sklearn"),
    ("bpnet-td", "hgb"), ("bpnet-td", "lgbm"),
    ("pytabkit-td", "sklearn"), ("pytabkit-td", "hgb"), ("pytabkit-td", "pytabkit-td-s"),
)  # fmt: skip


# Presets of which the faster backend is compared with a method.
PRESETS = (
    ("bpnet-td", "pytabkit-td"), ("bpnet-td-s", "pytabkit-td-s"),
    ("bpnet-td:full", "pytabkit-td"), ("bpnet-td-s:full", "pytabkit-td-s"),
)  # fmt: skip


def report(
    records: Sequence[scores.Record],
    times: Sequence[scores.Record],
    shapes: dict[str, str],
    methods: Sequence[str],
) -> str:
    """Return the text: what the records of scores, and those of times, have come to.

    `shapes` describes the sets, and `methods` is the order of columns.
    """
    found = scores.by_method(records)
    units = scores.normalized(found)
    methods = [name for name in methods if name in found]
    sections = {
        "Sets": [["set", "what it has"], *map(list, shapes.items())],
        "Mean scores: accuracy, or R^2 for a number": list(_means(found, methods)),
        "Normalized scores: 0 is a constant prediction, 1 the best fixed method's mean": list(
            _normalized(units, methods)
        ),
        "Differences in points (0.01 of a normalized score), with 95 % intervals": list(
            _differences(units, scores.by_method(_classes(records), "log_loss"))
        ),
        "First minus second in points, of each set": list(_of_sets(units)),
    }
    return "\n\n".join(filter(None, (_text(sections), times_report(times, methods))))


def times_report(times: Sequence[scores.Record], methods: Sequence[str]) -> str:
    """Return the text on times, without those that a busy machine took."""
    found = _repeated(record for record in times if not record["busy"])
    sections = {
        "Seconds to fit": list(_seconds(found, [name for name in methods if name in found])),
        "Ratios of seconds to fit, geometric means over the sets": list(_ratios(found)),
    }
    return _text(sections)


def _text(sections: dict[str, list[list[str]]]) -> str:
    """Return titles and tables, without those that have a head only."""
    return "\n\n".join(
        f"{title}\n\n" + "\n".join(align(rows)) for title, rows in sections.items() if rows[1:]
    )


def _means(found: dict[str, scores.Scores], methods: Sequence[str]) -> Iterator[list[str]]:
    yield ["set", "splits", *methods]
    for name in found["dummy"]:
        of_set = [found[method].get(name, {}) for method in methods]
        splits = min(map(len, filter(None, of_set)))
        values = [f"{statistics.fmean(of.values()):.4f}" if of else "" for of in of_set]
        yield [name, str(splits), *values]


def _normalized(units: dict[str, scores.Scores], methods: Sequence[str]) -> Iterator[list[str]]:
    yield ["method", "sets", "mean", "better than scikit-learn's MLP"]
    for method in methods:
        if sets := units[method]:
            values = {name: list(of.values()) for name, of in sets.items()}
            won, of = scores.wins(sets, units["sklearn"])
            better = "" if method in ("dummy", "sklearn") else f"on {won} of {of} sets"
            yield [method, str(len(sets)), f"{scores.mean(values):.4f}", better]


def _differences(
    units: dict[str, scores.Scores], losses: dict[str, scores.Scores]
) -> Iterator[list[str]]:
    yield ["first", "second", "sets", "points", "interval", "first is better", "log loss"]
    for first, second, values in _pairs(units):
        low, high = scores.interval(values)
        won, of = scores.wins(units[first], units[second])
        loss = scores.differences(losses.get(first, {}), losses.get(second, {}))
        yield [
            first, second, str(of), f"{100 * scores.mean(values):+.2f}",
            f"[{100 * low:+.2f}, {100 * high:+.2f}]", f"on {won} of {of} sets",
            f"{scores.mean(loss):+.4f}" if loss else "",
        ]  # fmt: skip


def _of_sets(units: dict[str, scores.Scores]) -> Iterator[list[str]]:
    """Yield means over the splits and their standard errors, of the first two pairs."""
    pairs = list(_pairs(units, PAIRS[:2]))
    yield ["set", *(f"{first} - {second}" for first, second, _ in pairs)]
    for name in dict.fromkeys(name for *_, values in pairs for name in values):
        yield [name, *(_points(values.get(name, [])) for *_, values in pairs)]


def _points(values: Sequence[float]) -> str:
    if not values:
        return ""
    error = statistics.stdev(values) / len(values) ** 0.5 if values[1:] else float("nan")
    return f"{100 * statistics.fmean(values):+7.2f} ± {100 * error:.2f}"


def _repeated(times: Iterable[scores.Record]) -> dict[str, scores.Scores]:
    """Return seconds to fit by method, set and repetition."""
    count: Counter[tuple[str, str]] = Counter()
    found: dict[str, scores.Scores] = {}
    for record in times:
        key = method, name = record["method"], record["set"]
        found.setdefault(method, {}).setdefault(name, {})[count[key]] = record["fit"]
        count[key] += 1
    return found


def _seconds(found: dict[str, scores.Scores], methods: Sequence[str]) -> Iterator[list[str]]:
    yield ["set", *methods]
    for name in dict.fromkeys(name for sets in found.values() for name in sets):
        of_set = [found[method].get(name, {}) for method in methods]
        yield [name, *(f"{scores.median(of):.2f}" if of else "" for of in of_set)]


def _ratios(found: dict[str, scores.Scores]) -> Iterator[list[str]]:
    yield ["first", "second", "sets", "ratio"]
    for first, second, values in _pairs(found):
        ratio = scores.time_ratio(found[first], found[second])
        yield [first, second, str(len(values)), f"{ratio:.3f}"]
    for ours, second in PRESETS:
        best = scores.faster(found.get(ours, {}), found.get(f"{ours}:jax", {}))
        if shared := best.keys() & found.get(second, {}).keys():
            ratio = scores.time_ratio(best, found[second])
            yield [f"{ours}, the faster backend", second, str(len(shared)), f"{ratio:.3f}"]


def _pairs(
    found: dict[str, scores.Scores], pairs: Sequence[tuple[str, str]] = PAIRS
) -> Iterator[tuple[str, str, dict[str, list[float]]]]:
    """Yield the pairs that have results on the same splits, with their differences."""
    for first, second in pairs:
        values = scores.differences(found.get(first, {}), found.get(second, {}))
        if values:
            yield first, second, values


def _classes(records: Sequence[scores.Record]) -> list[scores.Record]:
    return [record for record in records if "log_loss" in record]
