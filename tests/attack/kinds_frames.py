"""Data frames and their columns, and the names of features."""

from __future__ import annotations

import copy
import decimal
import pickle
import tempfile
from pathlib import Path

import numpy as np
from attack import Probe, bind, kind, must_equal, must_not_warn, must_refuse

import bpnet

M, NAMES = 12, ("alpha", "beta", "gamma")


def network(loss="mean_squared_error", units=1):
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(units)], loss, seed=0)


def numbers(rng):
    """Return features that every dtype holds: quarters, 0 and 1, small integers."""
    quarters, bits = rng.integers(-8, 8, M) / 4.0, rng.permutation([0.0, 1.0] * (M // 2))
    return np.stack([quarters, bits, rng.integers(0, 5, M) * 1.0], axis=1)


class Batches(bpnet.Loader):
    """Yields one batch in each epoch, each of these in turn."""

    def __init__(self, *batches):
        super().__init__(*batches[0][0].shape, len(batches[0][0]))
        self.given = batches

    def batches(self, epoch):
        yield self.given[epoch % len(self.given)]


# Whatever takes features and targets.
ENTRIES = {
    "evaluate": lambda net, X, y: list(net.evaluate(X, y).values()),
    "forward": lambda net, X, y: net.forward(X),
    "predict": lambda net, X, y: net.predict(X),
    "loss_and_gradients": lambda net, X, y: net.loss_and_gradients(X, y)[1][0]["W"],
    "trace": lambda net, X, y: net.trace(X, y)["z1"],
    "fit": lambda net, X, y: net.fit(X, y, epochs=2)["loss"],
    "validation_data": lambda net, X, y: net.fit(
        X, y, epochs=1, validation_data=(X, y)
    )["val_loss"],
    "validation_split": lambda net, X, y: net.fit(
        X, y, epochs=1, validation_split=0.5
    )["val_loss"],
    "loader": lambda net, X, y: net.fit(Batches((X, y)), epochs=2)["loss"],
    "Doctor of a loader": lambda net, X, y: net.fit(
        Batches((X, y)), epochs=1, callbacks=[bpnet.Doctor()]
    )["loss"],
    "Doctor": lambda net, X, y: net.fit(X, y, epochs=1, callbacks=[bpnet.Doctor()])["loss"],
    "check_gradients": lambda net, X, y: bpnet.check_gradients(net, X, y, samples=1)[0],
    "find_learning_rate": lambda net, X, y: (
        bpnet.find_learning_rate(net, X, y, steps=10).suggestion
    ),
    "check_initial_loss": lambda net, X, y: bpnet.sanity.check_initial_loss(net, X, y).value,
    "check_overfit": lambda net, X, y: bpnet.sanity.check_overfit(net, X, y, epochs=2).value,
    "parity": lambda net, X, y: str(bpnet.parity(net, X, y, "numpy", epochs=1)),
    "activations": lambda net, X, y: len(bpnet.plot.activations(net, X, bins=3).texts),
}  # fmt: skip


def frames_of(X, pandas, polars):
    """Yield the same numbers as frames of many dtypes."""
    n, b, i = X.T
    bools, whole = b == 1.0, i.astype(int)

    def frame(*columns):
        return pandas.DataFrame(dict(zip(NAMES, columns, strict=True)))

    mixed = frame(n, bools, whole)
    yield "bool beside float and int", mixed
    yield (
        "nullable",
        frame(
            pandas.array(n, "Float64"),
            pandas.array(bools, "boolean"),
            pandas.array(whole, "Int64"),
        ),
    )
    yield (
        "Float32 beside UInt8",
        frame(pandas.array(n, "Float32"), bools, pandas.array(whole, "UInt8")),
    )
    yield "Float64 only", pandas.DataFrame(X, dtype="Float64")
    yield "float16 beside int8", frame(n.astype("f2"), bools, whole.astype("i1"))
    yield "big-endian beside bool", frame(n.astype(">f8"), bools, whole)
    yield "sparse", frame(n, pandas.arrays.SparseArray(b), pandas.arrays.SparseArray(i))
    yield "categories of numbers", frame(n, bools, pandas.Categorical(whole))
    yield "duplicate names", mixed.set_axis(["a", "a", "b"], axis=1)
    levels = pandas.MultiIndex.from_product([["a"], [1, 2, 3]])
    yield "names of two levels", mixed.set_axis(levels, axis=1)
    yield "integer names", mixed.set_axis(range(3), axis=1)
    yield "names of attributes", mixed.set_axis(["layout", "toarray", "iloc"], axis=1)
    yield "an index down from 50", mixed.set_axis(range(50, 50 - M, -1))
    yield "a subclass", type("Table", (pandas.DataFrame,), {})(mixed)
    yield "floats only", pandas.DataFrame(X)
    columns = dict(zip(NAMES, (n, bools, whole), strict=True))
    mixed = polars.DataFrame(columns)
    yield "polars", mixed
    yield "polars in chunks", polars.concat([mixed[:5], mixed[5:]], rechunk=False)
    yield "polars floats", polars.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    yield "polars decimals", mixed.with_columns(polars.col("alpha").cast(polars.Decimal(9, 2)))
    yield "polars UInt8", mixed.with_columns(polars.col("gamma").cast(polars.UInt8))
    try:
        import pyarrow
    except ImportError:
        return
    table = pyarrow.table(columns)
    yield "pyarrow", table
    yield "pyarrow chunks", pyarrow.concat_tables([table[:5], table[5:]])
    yield "pyarrow batch", table.to_batches()[0]
    yield "pandas of pyarrow", table.to_pandas(types_mapper=pandas.ArrowDtype)


def odd_columns(X, rng, pandas, polars):
    """Yield columns that hold what is no number, and words of the error."""
    where = int(rng.integers(M))
    gaps = [None if k == where else float(v) for k, v in enumerate(X[:, 0])]
    whole = [None if k == where else int(v) for k, v in enumerate(X[:, 2])]
    infinite = np.where(np.arange(M) == where, np.inf, 1.0)
    holes = np.where(np.arange(M) == where, np.nan, 1.0)
    days = np.arange(M).astype("datetime64[D]").astype("datetime64[s]")
    half, letters = [None, True] * (M // 2), list("abcdef" * 2)
    objects = np.empty(M, object)
    objects[:] = [[1, 2]] * M
    of_pandas = {
        "None among floats": (gaps, "1 in column", "missing"),
        "pd.NA among integers": (pandas.array(whole, "Int64"), "1 in column", "missing"),
        "pd.NA among bools": (pandas.array(half, "boolean"), f"{M // 2} in column", "missing"),
        "pd.NA among floats": (pandas.array(gaps, "Float64"), "1 in column", "missing"),
        "infinity": (infinite, "1 in column", "infinite"),
        "text": (letters, "text"),
        "text as objects": (pandas.Series(letters, dtype=object), "object", "str"),
        "numbers as text": (list(map(str, range(M))), "text"),
        "dates": (days, "date"),
        "NaT": (np.full(M, np.datetime64("NaT", "s")), "date"),
        "dates with a zone": (pandas.date_range("2020", periods=M, tz="UTC"), "date"),
        "durations": (days - days[0], "duration"),
        "periods": (pandas.period_range("2020", periods=M, freq="D"), "period"),
        "intervals": (pandas.interval_range(0, M), "interval"),
        "categories": (pandas.Categorical(letters), "categor"),
        "complex numbers": (X[:, 0] + 1j, "complex"),
        "decimals": ([decimal.Decimal(1)] * M, "object", "Decimal"),
        "lists": (objects, "object", "list"),
        "None among objects": (np.array(whole, object), "object", "1 missing"),
    }
    for name, (column, *words) in of_pandas.items():
        yield name, pandas.DataFrame({"fine": X[:, 1], "odd": column}), words
    of_polars = {
        "null among integers": (whole, None, "1 in column", "missing"),
        "null among bools": (half, None, f"{M // 2} in column", "missing"),
        "NaN": (holes, None, "1 in column", "missing"),
        "text": (letters, None, "text"),
        "dates": (days.tolist(), None, "date"),
        "durations": ((days - days[0]).tolist(), None, "duration"),
        "categories": (letters, polars.Categorical, "categor"),
        "lists": ([[1, 2]] * M, None, "nested"),
        "nothing": ([None] * M, None, "missing"),
    }
    for name, (column, dtype, *words) in of_polars.items():
        odd = polars.Series("odd", column, dtype=dtype)
        yield f"polars {name}", polars.DataFrame({"fine": X[:, 1]}).with_columns(odd), words


def labels_of(labels, pandas, polars):
    """Yield the same labels as columns of many dtypes."""
    yield "Int64", pandas.Series(labels, dtype="Int64")
    yield "Float64", pandas.Series(labels, dtype="Float64")
    yield "boolean", pandas.Series(labels == 1, dtype="boolean")
    yield "category", pandas.Series(labels, dtype="category")
    yield "a frame of one column", pandas.DataFrame({"y": pandas.array(labels, "Int64")})
    yield "an extension array", pandas.array(labels, "Int64")
    yield "an index", pandas.Index(labels)
    yield "polars", polars.Series(labels)
    yield "polars bools", polars.Series(labels == 1)
    yield "a polars frame", polars.DataFrame({"y": labels})


def odd_labels(labels, pandas, polars):
    """Yield columns that are no labels, and words of the error."""
    letters = list("ab") * (M // 2)
    yield "pd.NA", pandas.array([None, *labels[1:]], "Int64"), ("1 ", "missing")
    yield "text", pandas.Series(letters), ("text", "labels as 0, 1")
    yield "dates", pandas.Series(pandas.date_range("2020", periods=M)), ("date",)
    yield "categories of text", pandas.Series(letters, dtype="category"), ("categor",)
    yield "null", polars.Series([None, *labels[1:].tolist()]), ("1 ", "missing")
    yield "bools with null", polars.Series([None, *(labels[1:] == 1).tolist()]), ("missing",)
    yield "a frame of text", pandas.DataFrame({"species": letters}), ("text", "species")


def same_results(use, frame, X, y):
    must_equal(use(network(), frame, y), use(network(), X, y))


def same_labels(column, X, labels):
    for loss, units in (("binary_crossentropy", 1), ("categorical_crossentropy", 2)):
        expected = network(loss, units).evaluate(X, labels)
        assert network(loss, units).evaluate(X, column) == expected


def drawn(frame, X, labels):
    net = taught(network("binary_crossentropy"), X[:, :2], labels)
    few = frame[["alpha", "beta"]]
    left, right = (
        bpnet.plot.decision_boundary(net, F, labels, resolution=5) for F in (few, X[:, :2])
    )
    for a, b in zip(left.lines, right.lines, strict=True):
        must_equal(a.get_xydata(), b.get_xydata())


@kind("frames")
def frames(rng):
    import pandas
    import polars

    X = numbers(rng)
    y, labels = X[:, 0] * X[:, 1], rng.permutation([0, 1] * (M // 2))
    given = dict(frames_of(X, pandas, polars))
    for name, frame in given.items():
        yield Probe(name, bind(same_results, ENTRIES["forward"], frame, X, y))
    for entry, use in ENTRIES.items():
        for name in ("nullable", "polars"):
            yield Probe(f"{name}: {entry}", bind(same_results, use, given[name], X, y))
    for name in ("nullable", "polars"):
        use = bind(drawn, given[name], X, labels)
        yield Probe(f"{name}: decision_boundary", use)
    for name, frame, words in odd_columns(X, rng, pandas, polars):
        for entry, use in (("fit", network().fit), ("evaluate", network().build(2).evaluate)):
            action = bind(use, frame, y)
            yield Probe(f"{entry}: {name}", bind(must_refuse, action, "X", "'odd'", *words))
    for name, frame in {
        "no rows": pandas.DataFrame({"a": [], "b": []}),
        "no columns": pandas.DataFrame(index=range(3)),
        "nothing": pandas.DataFrame(),
        "nothing of polars": polars.DataFrame(),
        "no rows of polars": polars.DataFrame({"a": []}, schema={"a": polars.Int64}),
    }.items():
        action = bind(network().fit, frame, [])
        yield Probe(name, bind(must_refuse, action, "X", "at least one example"))
    lazy = bind(network().predict, polars.LazyFrame({"a": [1.0]}))
    yield Probe("a lazy frame", bind(must_refuse, lazy, "X", "collect()"))
    for name, column in labels_of(labels, pandas, polars):
        yield Probe(f"labels: {name}", bind(same_labels, column, X, labels))
    for name, column, words in odd_labels(labels, pandas, polars):
        for loss, units in (("binary_crossentropy", 1), ("categorical_crossentropy", 2)):
            action = bind(network(loss, units).fit, X, column)
            yield Probe(f"{loss}: {name}", bind(must_refuse, action, "y", *words))
    weights = pandas.Series(rng.integers(1, 4, M))
    for dtype in ("Int64", "Float64", "UInt8"):
        yield Probe(f"weights: {dtype}", lambda d=dtype: must_equal(
            network().evaluate(X, y, weights.astype(d))["loss"],
            network().evaluate(X, y, weights.to_numpy())["loss"],
        ))  # fmt: skip
    gaps = bind(network().fit, X, y, sample_weight=pandas.array([None] + [1] * 11, "Int64"))
    yield Probe("weights: pd.NA", bind(must_refuse, gaps, "sample_weight", "missing"))


# --- names of features ------------------------------------------------------------------------


def stored(net, use):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.safetensors")
        use(net, path)
        return bpnet.load(path)


def checkpointed(frame, y):
    """Return the network in a checkpoint of a run on a frame."""

    def use(net, path):
        net.fit(frame, y, epochs=1, callbacks=[bpnet.Checkpoint(path)])

    return stored(network(), use)


def resumed(first, then, y, net=None):
    """Resume a run on one frame with another frame; return the network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.safetensors")
        network().fit(first, y, epochs=1, callbacks=[bpnet.Checkpoint(path)])
        net = net or network()
        net.fit(then, y, epochs=2, resume_from=path)
    return net


def has_names(make, names=NAMES):
    assert make().feature_names == names


def keeps_weights(net, action, *words):
    """An error leaves weights, counters and names as they were."""
    before, names, steps = copy.deepcopy(net.parameters), net.feature_names, net.steps_taken
    must_refuse(action, *words)
    assert (net.feature_names, net.steps_taken) == (names, steps)
    for new, old in zip(net.parameters, before, strict=True):
        for name, array in old.items():
            must_equal(new[name], array)


@kind("feature names")
def feature_names(rng):
    import pandas
    import polars

    X = numbers(rng)
    y = X[:, 0] * X[:, 1]
    frame = pandas.DataFrame(X, columns=list(NAMES))
    table = polars.DataFrame(dict(zip(NAMES, X.T, strict=True)))

    def fitted(given=frame):
        net = network()
        net.fit(given, y, epochs=1)
        return net

    order = list(rng.permutation(NAMES))
    while order == list(NAMES):
        order = list(rng.permutation(NAMES))
    wrong = {
        "another order": (order, "order", "X[list(net.feature_names)]"),
        "another name": (["alpha", "beta", "delta"], "missing", "gamma", "delta"),
        "other names": (["a", "b", "c"], "missing", "alpha", "unexpected"),
        "capitals": (["Alpha", "beta", "gamma"], "missing", "'alpha'", "'Alpha'"),
        "a name twice": (["alpha", "beta", "beta"], "missing", "gamma"),
        "one more": (["alpha", "beta", "gamma", "delta"], "unexpected", "delta"),
        "one less": (["alpha", "beta"], "missing", "gamma"),
    }
    wide = np.hstack([X, X])
    for name, (columns, *words) in wrong.items():
        others = {"pandas": pandas.DataFrame(wide[:, : len(columns)], columns=columns)}
        if len(set(columns)) == len(columns):
            pairs = zip(columns, wide.T, strict=False)
            others["polars"] = polars.DataFrame(dict(pairs))
        for kind_of_frame, other in others.items():
            for entry, use in ENTRIES.items():
                net = fitted()
                if "loader" in entry and len(columns) != 3:
                    continue  # its number of features is refused first
                action = bind(use, net, other, y)
                if name == "another order" or entry in ("predict", "fit"):
                    yield Probe(f"{entry}: {name} ({kind_of_frame})", bind(
                        keeps_weights, net, action, *words
                    ))  # fmt: skip
    other = frame[order]
    for entry, action in {
        "a first fit": lambda net: net.fit(frame, y, validation_data=(other, y), epochs=1),
        "a later fit": lambda net: net.fit(frame, y, validation_data=(other, y), epochs=1),
    }.items():
        net = network() if entry == "a first fit" else fitted()
        net.build(3) if entry == "a first fit" else None
        yield Probe(f"validation_data of {entry}", bind(
            keeps_weights, net, bind(action, net), "validation_data", "order"
        ))  # fmt: skip
    mixed = Batches((frame, y), (other, y))
    yield Probe("a loader that changes the order", bind(
        must_refuse, bind(network().fit, mixed, epochs=3), "order", "batch",
        errors=bpnet.errors.ComponentError,
    ))  # fmt: skip
    for name, make in {
        "pandas": fitted,
        "polars": bind(fitted, table),
        "a loader": lambda: taught(network(), Batches((frame, y))),
        "a deep copy": lambda: copy.deepcopy(fitted()),
        "a pickle": lambda: pickle.loads(pickle.dumps(fitted())),
        "replace(loss)": lambda: fitted().replace(loss="huber"),
        "replace(dtype)": lambda: fitted().replace(dtype="float64"),
        "a file": lambda: stored(fitted(), bpnet.Network.save),
        "a checkpoint": lambda: checkpointed(frame, y),
        "resuming": lambda: resumed(frame, frame, y),
        "resuming with arrays": lambda: resumed(frame, X, y),
        "resuming a run on arrays": lambda: resumed(X, frame, y),
        "a later fit on arrays": lambda: taught(fitted(), X, y),
    }.items():
        yield Probe(f"names of {name}", bind(has_names, make))
    for name, make in {
        "a new network": network,
        "arrays": bind(fitted, X),
        "integer names": bind(fitted, pandas.DataFrame(X)),
        "some integer names": bind(fitted, pandas.DataFrame(X, columns=["a", "b", 3])),
        "build": lambda: fitted().build(3),
        "replace(seed)": lambda: fitted().replace(seed=1),
        "evaluate on a new network": lambda: evaluated(network(), frame, y),
        "a refused fit": lambda: refused_fit(frame, y),
    }.items():
        yield Probe(f"no names of {name}", bind(has_names, make, None))
    for name, given in {
        "arrays": X,
        "lists": X.tolist(),
        "integer names": pandas.DataFrame(X),
    }.items():
        yield Probe(f"{name} are accepted", bind(
            must_not_warn, lambda g=given: must_equal(fitted().predict(g), fitted().predict(X))
        ))  # fmt: skip
    yield Probe("polars after pandas", lambda: must_equal(
        fitted().predict(table), fitted().predict(X)
    ))  # fmt: skip
    yield Probe("the way out", lambda: must_equal(
        fitted().predict(other[list(fitted().feature_names)]), fitted().predict(X)
    ))  # fmt: skip
    yield Probe("resuming with another order", bind(
        must_refuse, lambda: resumed(frame, other, y), "order"
    ))  # fmt: skip
    yield Probe("resuming with other names", bind(
        must_refuse, lambda: resumed(frame, frame.rename(columns=str.upper), y), "missing"
    ))  # fmt: skip
    yield Probe("resuming by a network of other names", bind(
        must_refuse, lambda: resumed(frame, X, y, fitted(other)), "names"
    ))  # fmt: skip
    yield from of_estimators(frame, table, order, y)


def taught(net, *data):
    net.fit(*data, epochs=1)
    return net


def evaluated(net, *data):
    net.evaluate(*data)
    return net


def refused_fit(frame, y):
    net = network()
    must_refuse(lambda: net.fit(frame, y, epochs=0))
    return net


def of_estimators(frame, table, order, y):
    """Yield what scikit-learn's estimators must refuse."""
    k = (y > 0).astype(int)
    for kind_of_frame, given in (("pandas", frame), ("polars", table)):
        for model, target in ((bpnet.MLPClassifier, k), (bpnet.MLPRegressor, y)):

            def make(model=model, given=given, target=target):
                return model(
                    hidden_layer_sizes=(3,), max_iter=2, warm_start=True, random_state=0
                ).fit(given, target)

            for name, use in {
                "predict": lambda m, F, t: m.predict(F),
                "score": lambda m, F, t: m.score(F, t),
                "partial_fit": lambda m, F, t: m.partial_fit(F, t),
                "warm_start": lambda m, F, t: m.fit(F, t),
            }.items():

                def action(use=use, make=make, given=given, target=target):
                    return use(make(), given[order], target)

                yield Probe(f"{model.__name__}.{name} ({kind_of_frame})", bind(
                    must_refuse, action, "feature names", "order"
                ))  # fmt: skip
