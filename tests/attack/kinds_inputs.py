"""Labels with gaps, and inputs of wrong shapes and kinds."""

from __future__ import annotations

import decimal
import fractions

import numpy as np
from attack import Probe, bind, kind, must_equal, must_refuse

import bpnet

M = 12


def classifier(**options):
    return bpnet.MLPClassifier((3,), max_iter=2, random_state=0, **options)


def gap_in(values, gap, where):
    """Return a list of these values with a gap at one place."""
    return [gap if k == where else value for k, value in enumerate(values)]


def gapped(rng, pandas, polars):
    """Yield labels with one gap, and whether numbers are beside it."""
    where = int(rng.integers(M))
    text, digits = ["yes", "no", "so"] * (M // 3), [0, 1, 2] * (M // 3)
    gaps = {"None": None, "NaN": float("nan"), "np.nan": np.float64("nan"), "pd.NA": pandas.NA,
            "NaT": pandas.NaT}  # fmt: skip
    for gap, value in gaps.items():
        objects = np.array(gap_in(text, value, where), object)
        yield f"{gap} in an object array", objects
        yield f"{gap} in a Series of objects", pandas.Series(objects)
        if gap != "np.nan":
            yield f"{gap} in a list", gap_in(text, value, where)
            yield (
                f"{gap} among objects of numbers",
                np.array(gap_in(digits, value, where), object),
            )
        if gap in ("None", "NaN"):
            yield f"{gap} among text of pandas", pandas.Series(gap_in(text, value, where))
            yield (
                f"{gap} in categories",
                pandas.Series(gap_in(text, value, where), dtype="category"),
            )
            yield f"{gap} in a column", pandas.DataFrame({"y": objects})
    yield "pd.NA among strings", pandas.Series(gap_in(text, pandas.NA, where), dtype="string")
    yield "None in a Categorical", pandas.Categorical(gap_in(text, None, where))
    yield "None in an Index", pandas.Index(gap_in(text, None, where))
    yield "null of polars", polars.Series(gap_in(text, None, where))
    yield (
        "null of polars' categories",
        polars.Series(gap_in(text, None, where), dtype=polars.Categorical),
    )
    yield "null of polars' numbers", polars.Series(gap_in(digits, None, where))
    yield "pd.NA among Int64", pandas.Series(gap_in(digits, None, where), dtype="Int64")
    yield (
        "pd.NA among boolean",
        pandas.Series(gap_in([True, False] * 6, None, where), dtype="boolean"),
    )
    yield "NaN among floats", np.array(gap_in(digits, np.nan, where), float)
    yield "NaN in a list of numbers", gap_in(digits, float("nan"), where)
    yield "NaN in a column of floats", np.array(gap_in(digits, np.nan, where), float)[:, None]
    yield "NaN among float32", np.array(gap_in(digits, np.nan, where), "f4")


@kind("labels with gaps")
def labels_with_gaps(rng):
    import pandas
    import polars

    X = rng.normal(size=(M, 2))
    text = np.array(["yes", "no", "so"] * (M // 3))
    for name, y in gapped(rng, pandas, polars):
        yield Probe(
            f"fit: {name}", bind(must_refuse, bind(classifier().fit, X, y), "y", "1 missing")
        )
        later = bind(classifier().partial_fit, X, y, classes=["yes", "no", "so"])
        yield Probe(f"partial_fit: {name}", bind(must_refuse, later, "y", "1 missing"))

        def score(y=y):
            return classifier().fit(X, text).score(X, y)

        yield Probe(f"score: {name}", bind(must_refuse, score, "y", "1 missing"))
        if np.ndim(y) == 1:
            first = bind(classifier().partial_fit, X, text, classes=y)
            yield Probe(f"classes: {name}", bind(must_refuse, first, "classes", "1 missing"))
    infinite = np.array([0.0, 1.0, np.inf] * (M // 3))
    mixed = [1, "a", 2] * (M // 3)
    dates = np.arange(M).astype("datetime64[D]")
    for name, y, words in (
        ("infinity", infinite, ("infinit",)),
        ("minus infinity", -infinite, ("infinit",)),
        ("numbers beside text in an object array", np.array(mixed, object), ("str", "int")),
        ("numbers beside text of pandas", pandas.Series(mixed), ("str", "int")),
        ("fractions", [0.5, 1.5, 2.0] * (M // 3), ()),
        ("integers as objects", np.array([0, 1, 2] * (M // 3), object), ()),
        ("bytes beside text", np.array([b"a", "a"] * (M // 2), object), ()),
    ):
        yield Probe(
            f"fit: {name}", bind(must_refuse, bind(classifier().fit, X, y), "y", *words)
        )
    right = {
        "the text nan": np.array(["nan", "no", "yes"] * (M // 3)),
        "the text None": ["None", "no", "yes"] * (M // 3),
        "an empty text": np.array(["", "no", "yes"] * (M // 3), object),
        "strings": pandas.Series(text, dtype="string"),
        "categories": pandas.Series(text, dtype="category"),
        "polars": polars.Series(text.tolist()),
        "Int64": pandas.Series([0, 1, 2] * (M // 3), dtype="Int64"),
        "boolean": pandas.Series([True, False] * (M // 2), dtype="boolean"),
    }
    for name, y in right.items():

        def fits(y=y):
            assert len(classifier().fit(X, y).classes_) == len(set(np.asarray(y).tolist()))

        yield Probe(f"right: {name}", fits)
    for name, F in {
        "dates": dates[:, None].repeat(2, 1),
        "durations": (dates - dates[0])[:, None].repeat(2, 1),
        "a frame of dates": pandas.DataFrame({"day": pandas.date_range("2020", periods=M)}),
        "a frame of durations": pandas.DataFrame({"day": pandas.to_timedelta(range(M), "D")}),
        "polars dates": polars.DataFrame({"day": dates}),
        "dates beside floats": pandas.DataFrame({"day": dates.astype("M8[s]"), "n": X[:, 0]}),
        "dates with a zone": pandas.DataFrame(
            {"day": pandas.date_range("2020", periods=M, tz="UTC")}
        ),
    }.items():
        named = ["day"] if hasattr(F, "columns") else []
        for model in (classifier(), bpnet.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2)):
            action = bind(model.fit, F, np.arange(M) % 2)
            kinds = "duration" if "duration" in name else "date"
            yield Probe(f"{type(model).__name__}: {name}", bind(
                must_refuse, action, "X", kinds, *named
            ))  # fmt: skip
    for name, target in {
        "dates": dates,
        "durations": dates - dates[0],
        "dates of pandas": pandas.Series(pandas.date_range("2020", periods=M)),
        "durations of pandas": pandas.Series(pandas.to_timedelta(range(M), "D")),
    }.items():
        action = bind(bpnet.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2).fit, X, target)
        yield Probe(f"MLPRegressor: y of {name}", bind(must_refuse, action, "y"))


# --- shapes and kinds of input ----------------------------------------------------------------


def network(units=1, loss="mean_squared_error"):
    return bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(units)], loss, seed=0)


@kind("shapes and kinds of input")
def shapes_and_kinds(rng):
    m, n = 7, int(rng.integers(3, 6))
    X, y = rng.integers(-8, 8, (m, n)) / 4.0, rng.integers(-8, 8, m) / 4.0
    shapes = {
        "one example": (X[0], "one example: X.reshape(1, -1)"),
        "one example in a list": (X[0].tolist(), "one example: X.reshape(1, -1)"),
        "one feature": (X[:, 0], "one feature: X.reshape(-1, 1)"),
        "a number": (2.0, "X"),
        "a 0-d array": (np.array(2.0), "2-D", "shape ()"),
        "images": (X.reshape(m, n, 1), "X.reshape(len(X), -1)"),
        "a batch of one image": (X[None], "X.reshape(len(X), -1)"),
        "transposed": (X.T, f"{n} features", "X.T"),
        "one feature less": (X[:, 1:], f"{n} features", f"got {n - 1}"),
        "one feature more": (np.hstack([X, X[:, :1]]), f"{n} features", f"got {n + 1}"),
        "no rows": (X[:0], "at least one example"),
        "no features": (X[:, :0], "at least one"),
        "an empty list": ([], "shape (0,)"),
        "a list of an empty list": ([[]], "shape (1, 0)"),
    }
    for entry in ("predict", "forward"):
        for name, (given, *words) in shapes.items():
            action = bind(getattr(network().build(n), entry), given)
            yield Probe(f"{entry}: {name}", bind(must_refuse, action, *words))

    def first():
        message = must_refuse(lambda: network().build(n).predict(X[0]))
        assert message.index("reshape(1, -1)") < message.index("reshape(-1, 1)"), message

    yield Probe("the length of an example names that first", first)
    for name, (given, words) in {
        "text": ("abc", ("str",)),
        "digits": (X.astype(str), ("text",)),
        "digits in a list": ([["1", "2"], ["3", "4"]], ("text",)),
        "digits among numbers": ([["1", 2.0]], ("text",)),
        "bytes": (X.astype("S"), ("text",)),
        "complex numbers": (X + 0j, ("complex",)),
        "a complex number in a list": ([[1j, 2.0]], ("complex",)),
        "dates": (X.astype("M8[s]"), ("date",)),
        "durations": (X.astype("m8[s]"), ("duration",)),
        "ragged lists": ([[1.0, 2.0], [1.0]], ("rectangular",)),
        "a dict": ({"a": X}, ("dict",)),
        "a dict of columns": ({"a": [1.0], "b": [2.0]}, ("dict",)),
        "a generator": ((row for row in X), ("generator", "list(")),
        "a map": (map(tuple, X), ("map", "list(")),
        "a set": ({1.0, 2.0}, ("set",)),
        "None": (None, ("NoneType",)),
        "Decimals": ([[decimal.Decimal(1)] * n], ("object", "Decimal")),
        "Fractions": ([[fractions.Fraction(1, 2)] * n], ("object", "Fraction")),
        "objects": (X.astype(object), ("object", "float")),
        "objects with None": (np.where(X > 0, X, None), ("object", "missing")),
        "None in a list": ([[1.0, None]], ("object", "missing")),
        "huge integers": ([[10**30] * n], ("object",)),
        "masked": (np.ma.array(X), ("masked",)),
        "records": (np.zeros(m, [("a", float)]), ("X",)),
    }.items():
        action = bind(network().predict, given)
        yield Probe(f"predict: {name}", bind(must_refuse, action, "X", *words))
    for name, given in {
        "lists of bools": (X > 0).tolist(),
        "lists of integers": X.astype(int).tolist(),
        "a range": [range(n)] * m,
        "tuples": tuple(map(tuple, X)),
        "a list of arrays": list(X),
        "np.bool": X > 0,
        "float16": X.astype("f2"),
        "longdouble": X.astype(np.longdouble),
        "a buffer": memoryview(X.copy()),
    }.items():
        yield Probe(f"right: {name}", lambda g=given: must_equal(
            network().build(n).forward(g), network().build(n).forward(np.asarray(g, float))
        ))  # fmt: skip
    for name, (targets, *words) in {
        "too short": (y[:-1], f"{m} examples", f"got {m - 1}"),
        "a row": (y[None], f"{m} examples"),
        "a number": (1.0, "y"),
        "None": (None, "y"),
        "text": (list("abcdefg"), "y", "text"),
        "digits": (y.astype(str), "y", "text"),
        "complex numbers": (y + 0j, "y", "complex"),
        "3-D": (y[:, None, None], "1-D or 2-D"),
        "two columns": (np.stack([y, y], 1), "1 column"),
        "NaN": (np.where(y == y[0], np.nan, y), "y must be finite"),
        "a generator": ((v for v in y), "y", "generator"),
    }.items():
        action = bind(network().fit, X, targets, epochs=1)
        yield Probe(f"y: {name}", bind(must_refuse, action, *words))
    yield Probe("X is transposed", bind(
        must_refuse, bind(network().fit, X.T, y, epochs=1), f"{n} examples", f"got {m}", "X.T"
    ))  # fmt: skip
    yield Probe("y as a column", lambda: must_equal(
        network().evaluate(X, y[:, None])["loss"], network().evaluate(X, y)["loss"]
    ))  # fmt: skip
