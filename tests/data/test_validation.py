"""User data: every kind of array is accepted, and none is modified."""

from __future__ import annotations

import warnings

import hypothesis
import numpy as np
import pytest
from bad_values import Frame
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.data import validation

pytestmark = pytest.mark.once_on_jax  # it compiles each case

M, N_IN, N_OUT = 6, 3, 3
rng = np.random.default_rng(0)
X = rng.integers(-8, 8, (M, N_IN)) / 4.0  # exact in every float, down to float16
LABELS = np.array([0, 1, 2, 2, 1, 0])
ONE_HOT = np.eye(N_OUT)[LABELS]
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0])


def network(loss="categorical_crossentropy", dtype="float32"):
    return bpnet.Network(
        [bpnet.Dense(4, "tanh"), bpnet.Dense(N_OUT)], loss, seed=0, dtype=dtype
    )


# --- arrays of the host -----------------------------------------------------------------------


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    """Return a field of packed records: unaligned, with odd strides."""
    records = np.zeros(len(array), [("pad", "u1"), ("x", array.dtype, array.shape[1:])])
    records["x"] = array
    return records["x"]


def spread(array):
    wide = np.full((2 * array.shape[0], *array.shape[1:]), np.nan, array.dtype)
    wide[::2] = array
    return wide[::2]


def negative(array):
    """Return the same values with negative strides."""
    return np.flip(np.flip(array).copy())


class Subclass(np.ndarray):
    """A subclass whose operations must not be used."""

    def __array_ufunc__(self, *arguments, **options):
        raise AssertionError("computed with the user's own kind of array")


def of_pandas(array):
    """Return a frame or series with an index other than 0, 1, ..."""
    pandas = pytest.importorskip("pandas")
    make = pandas.DataFrame if array.ndim == 2 else pandas.Series
    return make(array, index=range(50, 50 - len(array), -1))


def of_polars(array):
    polars = pytest.importorskip("polars")
    if array.ndim == 1:
        return polars.Series(array)
    return polars.DataFrame({f"x{k}": column for k, column in enumerate(array.T)})


def of_pyarrow(array):
    pyarrow = pytest.importorskip("pyarrow")
    if array.ndim == 1:
        return pyarrow.chunked_array([array[:2], array[2:]])
    return pyarrow.table({f"x{k}": column for k, column in enumerate(array.T)})


SINGLE = np.float32  # the network's own dtype, which no cast makes regular
FORMATS = {
    "float16": lambda a: a.astype(np.float16),
    "float64": lambda a: a.astype(np.float64),
    "longdouble": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(">f4"),
    "big-endian float64": lambda a: a.astype(">f8"),
    "little-endian": lambda a: a.astype("<f4"),
    "Fortran order": lambda a: np.asfortranarray(a.astype(SINGLE)),
    "negative strides": lambda a: negative(a.astype(SINGLE)),
    "with gaps": lambda a: spread(a.astype(SINGLE)),
    "unaligned": lambda a: unaligned(a.astype(SINGLE)),
    "read-only": lambda a: read_only(a.astype(SINGLE)),
    "list": lambda a: a.tolist(),
    "list of arrays": lambda a: list(a),
    "tuple": lambda a: tuple(map(tuple, a)) if a.ndim == 2 else tuple(a),
    "buffer": lambda a: memoryview(a.copy()),
    "frame": lambda a: Frame(a),
    "read-only frame": lambda a: Frame(read_only(a.astype(SINGLE))),
    "subclass": lambda a: a.view(Subclass),
    "recarray": lambda a: a.view(np.recarray),
    "pandas": lambda a: of_pandas(a),
    "pandas nullable": lambda a: of_pandas(a).astype("Float64"),
    "polars": lambda a: of_polars(a),
    "pyarrow": lambda a: of_pyarrow(a),
}


@pytest.fixture(scope="module")
def built(backend):
    """Return a network on the backend, its logits, its loss and a gradient."""
    net = network().build(N_IN, backend)
    loss, gradients = net.loss_and_gradients(X, LABELS, WEIGHTS)
    return net, net.forward(X), loss, gradients[0]["W"]


def assert_as_plain(built, X, y, w):
    """Assert that passes agree, bit for bit, with those of plain arrays."""
    net, logits, loss, gradient = built
    result = net.forward(X)
    assert isinstance(result, np.ndarray)
    assert_array_equal(result, logits)
    own_loss, own_gradients = net.loss_and_gradients(X, y, w)
    assert own_loss == loss
    assert_array_equal(own_gradients[0]["W"], gradient)


@pytest.mark.parametrize("given", FORMATS)
def test_every_kind_of_host_array_is_taken(given, built):
    make = FORMATS[given]
    assert_as_plain(built, make(X), make(LABELS.astype(float)), make(WEIGHTS))


def probed(value):
    """Return results in a comparable form: arrays, numbers, text."""
    if isinstance(value, bpnet.History):
        return probed(dict(value))
    if isinstance(value, dict):
        return {key: probed(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [probed(v) for v in value]
    return value


def taught(model, X, y, w):
    with warnings.catch_warnings(action="ignore"):  # of few iterations
        model.fit(X, y, w)
    return model.coefs_, model.predict(X).tolist(), round(model.score(X, y, w), 12)


def first(data):
    return data.iloc[0] if hasattr(data, "iloc") else np.asarray(data)[0]


SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0, "dtype": "float64"}

# The results of each entry for features, labels and weights.
ENTRIES = {
    "predict": lambda net, X, y, w: (net.predict(X), net.predict_proba(X)),
    "evaluate": lambda net, X, y, w: net.evaluate(X, y, w),
    "trace": lambda net, X, y, w: dict(net.trace(X, y)),
    "trace one": lambda net, X, y, w: dict(net.trace(first(X), first(y))),
    "fit": lambda net, X, y, w: (
        net.fit(X, y, sample_weight=w, epochs=2, batch_size=4), net.parameters
    ),
    "validation": lambda net, X, y, w: (
        net.fit(X, y, epochs=1, validation_data=(X, y, w)), net.parameters
    ),
    "check_gradients": lambda net, X, y, w: bpnet.check_gradients(net, X, y, w, samples=2)[:2],
    "find_learning_rate": lambda net, X, y, w: bpnet.find_learning_rate(net, X, y, steps=10),
    "parity": lambda net, X, y, w: str(bpnet.parity(net, X, y, "numpy", epochs=1)),
    "check_initial_loss": lambda net, X, y, w: bpnet.sanity.check_initial_loss(net, X, y, w),
    "check_overfit": lambda net, X, y, w: bpnet.sanity.check_overfit(net, X, y, epochs=2),
    "sanity_checks": lambda net, X, y, w: bpnet.sanity.sanity_checks(net, X, y, epochs=1),
    "activations": lambda net, X, y, w: (
        [t.get_text() for t in bpnet.plot.activations(net, X, bins=3).texts]
    ),
    "MLPClassifier": lambda net, X, y, w: taught(bpnet.MLPClassifier(**SMALL), X, y, w),
    "MLPRegressor": lambda net, X, y, w: taught(bpnet.MLPRegressor(**SMALL), X, y, w),
}  # fmt: skip


@pytest.fixture(scope="module", params=ENTRIES)
def entry(request):
    """An entry and its results for plain arrays."""
    use = ENTRIES[request.param]
    return use, probed(use(network().build(N_IN), X, LABELS.astype(float), WEIGHTS))


@pytest.mark.parametrize("given", FORMATS)
def test_every_entry_takes_every_kind_of_host_array(given, entry):
    use, expected = entry
    make = FORMATS[given]
    result = probed(
        use(network().build(N_IN), make(X), make(LABELS.astype(float)), make(WEIGHTS))
    )
    np.testing.assert_equal(result, expected)


ODD = ["big-endian", "negative strides", "with gaps", "unaligned", "read-only", "list"]


@pytest.mark.parametrize("shift", range(len(ODD)))
def test_every_kind_of_host_array_can_be_trained_on(shift, backend, first_epoch):
    """The data are moved to the device as they are: X, y and weights of different kinds."""
    kinds = ODD[shift:] + ODD[:shift]
    data = (FORMATS[kind](array) for kind, array in zip(kinds, REGRESSION, strict=False))
    assert_array_equal(weights_after_an_epoch(backend, *data), first_epoch)


REGRESSION = X, X, WEIGHTS


@pytest.fixture(scope="module")
def first_epoch(backend):
    return weights_after_an_epoch(backend, *REGRESSION)


def weights_after_an_epoch(backend, X, y, w):
    net = network("mean_squared_error")
    net.fit(X, y, sample_weight=w, epochs=1, batch_size=None, backend=backend)
    return np.array(backend.to_numpy(net.parameters[0]["W"]))


def test_memory_mapped_arrays_are_taken(built, tmp_path):
    for mode in ("w+", "r", "r+", "c"):
        mapped = np.memmap(tmp_path / "X", np.float32, mode, shape=X.shape)
        if mode == "w+":
            mapped[...] = X
            mapped.flush()
        assert_as_plain(built, mapped, LABELS, WEIGHTS)


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", [*INTEGERS, ">i8", "<u2", "bool"])
def test_integers_and_bools_are_taken(dtype, built):
    net = built[0]
    given, labels = np.abs(4 * X).astype(dtype), (LABELS % 2).astype(dtype)
    assert_array_equal(net.forward(given), net.forward(given.astype(float)))
    weights = (WEIGHTS > 0.0).astype(dtype)
    expected = net.evaluate(X, LABELS % 2, (WEIGHTS > 0.0).astype(float))
    assert net.evaluate(X, labels, weights) == expected
    assert net.evaluate(X, labels[:, None], weights) == expected
    one_hot = (ONE_HOT > 0.0).astype(dtype)
    assert net.evaluate(X, one_hot) == pytest.approx(net.evaluate(X, LABELS))


# --- arrays of a library ---------------------------------------------------------------------

LIBRARY_DTYPES = ["bool", "int8", "int32", "int64", "uint8", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", LIBRARY_DTYPES)
def test_every_real_dtype_of_a_library_is_taken(dtype, built, backend, xp):
    kind = getattr(xp, dtype, None)
    if kind is None:
        assert dtype == "float16"  # which is not in the standard
        return
    net = built[0]
    given = xp.astype(backend.asarray(np.abs(4.0 * X)), kind)
    labels, weights = (xp.astype(backend.asarray(a), kind) for a in (LABELS % 2, WEIGHTS > 0.0))
    result = net.forward(given)
    assert type(result) is type(given)
    plain = backend.to_numpy(given).astype(float)
    expected = net.forward(plain)
    assert_array_equal(backend.to_numpy(result), expected)
    measured = net.evaluate(given, labels, weights)
    assert measured == net.evaluate(plain, LABELS % 2, (WEIGHTS > 0.0).astype(float))


def test_strided_and_tracked_tensors_are_taken():
    torch = pytest.importorskip("torch")
    net = network().build(N_IN)
    expected = net.forward(X)
    for given in (
        torch.tensor(X, requires_grad=True),
        torch.nn.Parameter(torch.tensor(X, dtype=torch.float32)),
        torch.tensor(X.T.copy()).T,
        torch.tensor(X, dtype=torch.bfloat16),
    ):
        result = net.forward(given)
        assert isinstance(result, torch.Tensor)
        assert not result.requires_grad
        assert_allclose(result.numpy(), expected, rtol=1e-6)


# --- all of them ------------------------------------------------------------------------------


def test_one_row_and_one_feature_are_enough(backend):
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0).build(1, backend)
    for given in ([[2.0]], np.float32([[2.0]])[::-1], unaligned(np.float32([[2.0]]))):
        assert net.predict(given).shape == (1,)
        loss, _ = net.loss_and_gradients(given, net.predict(given), [3.0])
        assert loss == 0.0


def test_extreme_but_finite_numbers_are_taken(backend):
    for dtype, huge in (("float32", 1e37), ("float64", 1e300)):
        net = network(dtype=dtype).build(N_IN, backend)
        assert np.isfinite(net.forward(np.full((2, N_IN), huge))).all()


def test_what_is_passed_in_is_not_written_to(backend):
    plain = X.astype(np.float32), LABELS.copy(), WEIGHTS.astype(np.float32)
    placed = [backend.asarray(array.copy()) for array in plain]
    for X_, y, w in (plain, placed):
        net = network()
        net.fit(X_, y, sample_weight=w, epochs=2, batch_size=3, backend=backend)
        net.loss_and_gradients(X_, y, w)
    for array, reference in zip(placed, plain, strict=True):
        assert_array_equal(backend.to_numpy(array), reference)
    for array, reference in zip(plain, (X, LABELS, WEIGHTS), strict=True):
        assert_array_equal(array, reference)


# --- the scale of sample weights --------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0.5, 1e-5, 1e-9])
def test_weights_are_0_or_normal_numbers(share, dtype, backend):
    smallest = float(np.finfo(dtype).smallest_normal)
    X, y = np.ones((3, 2)), np.zeros(3)
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0, dtype=dtype).build(2)
    weights = np.array([0.0, smallest, 1.0])
    assert np.isfinite(net.evaluate(X, y, weights, backend=backend)["loss"])
    weights[2] = smallest * share
    if weights[2] == 0.0:
        return
    with pytest.raises(ValueError, match=rf"at least .* of {dtype}; .* Multiply all weights"):
        net.fit(X, y, sample_weight=weights, epochs=1, backend=backend)
    with pytest.raises(ValueError, match="sample_weight of validation_data must be 0 or"):
        net.fit(X, y, validation_data=(X, y, weights), epochs=1, backend=backend)


def test_weights_on_a_device_are_compared_on_the_host(backend, xp):
    """XLA compares subnormal numbers as if they were 0."""
    X, y = np.ones((2, 2)), np.zeros(2)
    weights = backend.asarray(np.array([2e-40, 1e-40], "float32"))
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
    with pytest.raises(ValueError, match="smallest normal number of float32"):
        net.fit(backend.asarray(X), backend.asarray(y), sample_weight=weights, epochs=1)


def test_weights_that_cannot_matter_are_zero(backend):
    """Those of an exponential decay, say, which end in subnormal numbers."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    weights = 0.2 ** np.arange(60.0)
    zeroed = np.where(weights < np.finfo("float32").smallest_normal, 0.0, weights)
    assert 0 < np.count_nonzero(zeroed) < np.count_nonzero(weights)
    results = []
    for w in (weights, zeroed, backend.asarray(weights)):
        net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
        net.fit(X, X[:, 0], sample_weight=w, epochs=1, backend=backend)
        results.append(np.array(backend.to_numpy(net.parameters[0]["W"])))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    exponent=st.integers(-126, 119),
    weights=st.lists(st.sampled_from([0.0, 1.0, 1.5, 7.0]), min_size=6, max_size=6),
)
def test_only_the_ratios_of_weights_matter(exponent, weights, backend):
    weights = np.array([1.0, *weights])
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(7, 2)), rng.normal(size=7)
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "huber", seed=0).build(2)

    def figures(weights):
        scores = net.evaluate(X, y, weights, metrics=["mse", "mae", "r2"], backend=backend)
        loss, gradients = net.loss_and_gradients(X, y, weights, backend=backend)
        return [*scores.values(), loss, *np.ravel(gradients[0]["W"])]

    assert figures(np.ldexp(weights, exponent)) == pytest.approx(figures(weights), 1e-5, 1e-6)


# --- a few rows, looked at in passing ---------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["float32", "float64"])
def test_plain_rows_are_what_the_whole_check_returns(given, dtype):
    X = np.linspace(-3.0, 1e18, 12).reshape(3, 4).astype(given)
    for rows in (X, X[::2], np.asfortranarray(X), X[:, ::-1]):
        plain = validation.plain_features(rows, dtype, 4)
        assert_array_equal(plain, validation.as_features(rows, dtype, 4), strict=True)
        assert (plain is rows) == (given == dtype)


@pytest.mark.parametrize(
    "X",
    [
        np.array([[1.0, np.nan]]), np.array([[1.0, -np.inf]]), np.array([[np.inf, -np.inf]]),
        np.full((1, 2), np.nan, "float32"), np.full((1, 2), 1e300), np.full((1, 2), 1e200),
        np.full((1, 2), 3e38, "float32"), np.ones(2), np.ones((1, 3)), np.ones((0, 2)),
        np.ones((1, 1, 2)), np.ones((1, 2), int), np.ones((1, 2), bool), np.ones((1, 2), "f2"),
        np.ones((1, 2), ">f4"), np.ones((1, 2), complex), np.array([["1", "2"]]),
        np.ma.ones((1, 2)), np.ones((1, 2)).view(np.recarray), [[1.0, 2.0]], None,
        np.ones((validation.PLAIN_SIZE, 2)),
    ],
    ids=lambda X: f"{type(X).__name__} {np.shape(X)} {np.asarray(X).dtype}",
)  # fmt: skip
def test_all_other_features_get_the_whole_check(X):
    assert validation.plain_features(X, "float32", 2) is None
    assert validation.plain_features(X, "float32", None) is None


def test_huge_numbers_are_accepted_without_a_warning():
    net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0).build(2)
    wide = bpnet.Network([bpnet.Dense(1)], "mse", seed=0, dtype="float64").build(2)
    huge = np.array([[3e38, -3e38]], "float32")
    assert np.isfinite(wide.predict(huge)).all()
    with pytest.raises(ValueError, match="finite in float32"):
        net.predict(np.full((1, 2), 1e39))


def test_a_single_row_does_not_trip_over_the_programs_float_errors():
    net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0).build(2)
    with np.errstate(all="raise"):
        tiny = net.predict(np.full((1, 2), 1e-42))
        with pytest.raises(ValueError, match="finite in float32"):
            net.predict(np.full((1, 2), 1e300))
    assert_allclose(tiny, 0.0, atol=1e-40)


def test_arrays_of_a_device_are_checked_like_those_of_the_host(backend):
    net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0).build(3, backend)
    for m in (1, validation.HOST_SIZE // 3 + 1):
        X = np.ones((m, 3), "float32")
        assert net.predict(backend.asarray(X)).shape == (m,)
        X[-1, 1] = np.inf
        with pytest.raises(ValueError, match=r"finite in float32, got 1 NaN or infinite"):
            net.predict(backend.asarray(X))
