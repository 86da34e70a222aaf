"""Sample weights that are too small for their dtype, and weights of any other scale.

Libraries treat subnormal numbers differently: XLA flushes them to 0. So a weight is 0 or a
normal number, and then only the ratios of the weights matter. A few subnormal ones among others
are taken for 0.
"""

import contextlib
import warnings

import numpy as np
from attack import Probe, bind, kind, must_equal, must_refuse
from available import available

import bpnet

rng = np.random.default_rng(5)
X, Y = rng.normal(size=(16, 3)), (np.arange(16) % 3 == 0).astype(float)
TINY = {"float32": 2.0**-126, "float64": 2.0**-1022}


def network(dtype="float32", loss="binary_crossentropy", l2=0.0):
    layers = [bpnet.Dense(4, "tanh", l2=l2), bpnet.Dense(1)]
    return bpnet.Network(layers, loss, seed=0, dtype=dtype).build(3)


def changed(weights, index, value):
    weights = np.array(weights, dtype=float)
    weights[index] = value
    return weights


# --- what is refused ----------------------------------------------------------------------


class Few(bpnet.Loader):
    """The examples in one batch."""

    def __init__(self, weights):
        self.weights = weights
        super().__init__(*X.shape, 16, total_weight=float(np.sum(weights)))

    def batches(self, epoch):
        yield X, Y, self.weights


def uses(spec):
    """Yield each way to pass weights to a network."""

    def on(net):
        return net.fit(X, Y, epochs=1, backend=spec)

    yield "fit", lambda net, w: net.fit(X, Y, sample_weight=w, epochs=1, backend=spec)
    yield (
        "split",
        lambda net, w: net.fit(
            X, Y, sample_weight=w, epochs=1, validation_split=0.25, backend=spec
        ),
    )
    yield (
        "validation",
        lambda net, w: net.fit(X, Y, epochs=1, validation_data=(X, Y, w), backend=spec),
    )
    yield "evaluate", lambda net, w: (on(net), net.evaluate(X, Y, w))
    yield "gradients", lambda net, w: net.loss_and_gradients(X, Y, w, backend=spec)
    yield "loader", lambda net, w: net.fit(Few(w), epochs=1, backend=spec)


def refused_by(use, weights, dtype):
    net = network(dtype)
    before = net.forward(X)
    message = must_refuse(lambda: use(net, weights), "weight", dtype)
    assert "multiply" in message.lower(), f"no way to mend it: {message}"
    assert "callback" not in message, message
    assert "fit" not in str(use) or (net.forward(X) == before).all()


def taken_for_zero(use, weights, dtype):
    """Beside ordinary weights a subnormal one is 0, bit for bit."""
    a, b = network(dtype), network(dtype)
    found, expected = use(a, weights), use(b, np.where(weights < TINY[dtype], 0.0, weights))
    must_equal(np.asarray(a.forward(X)), np.asarray(b.forward(X)))
    assert told(found) == told(expected)


def told(found):
    """Return a result as text, a history without its seconds."""
    if isinstance(found, tuple):
        return [told(part) for part in found]
    return str(found.history if isinstance(found, bpnet.History) else found)


def taken_for_zero_by_estimator(estimator, weights, dtype):
    features, zeroed = X.astype(dtype), np.where(weights < TINY[dtype], 0.0, weights)
    found = [*estimator.fit(features, Y, weights).coefs_]
    for a, b in zip(found, estimator.fit(features, Y, zeroed).coefs_, strict=True):
        must_equal(a, b)


def refused_by_check(weights):
    """The gradient check computes in float64, in which these are normal."""
    check = bpnet.check_gradients(network(), X, Y, sample_weight=weights, samples=3)
    assert check.max_relative_error < 1e-5


def estimators():
    shared = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
    for solver in ("adam", "lbfgs"):
        yield bpnet.MLPClassifier(**shared, solver=solver), solver
        yield bpnet.MLPRegressor(**shared, solver=solver), solver


def refused_by_estimator(estimator, weights, dtype):
    features = X.astype(dtype)
    must_refuse(lambda: estimator.fit(features, Y, weights), "sample_weight", dtype, "multiply")


def accepted(dtype, weights, spec):
    """The smallest normal number is a weight, and so is 0."""
    net = network(dtype)
    history = net.fit(X, Y, sample_weight=weights, epochs=2, backend=spec)
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(np.asarray(net.forward(X))).all()


# --- what does not depend on the scale ----------------------------------------------------


def figures(spec, weights, dtype, loss):
    """Train, evaluate and differentiate with some weights."""
    net = network(dtype, loss)
    history = net.fit(
        X, Y, sample_weight=weights, validation_data=(X, Y, weights), epochs=2, batch_size=8,
        optimizer=bpnet.SGD(0.1), backend=spec,
    )  # fmt: skip
    suited = {
        "binary_crossentropy": ["accuracy", "f1", "roc_auc", "balanced_accuracy"],
        "huber": ["mse", "mae", "rmse", "r2"],
    }
    scores = net.evaluate(X, Y, weights, metrics=suited[loss])
    value, gradients = net.loss_and_gradients(X, Y, weights)
    found = [history["loss"], history["val_loss"], *scores.values(), value]
    found += [array for layer in (*gradients, *net.parameters) for array in layer.values()]
    return [np.array(part) for part in found]  # copies


def independent_of(scale, weights, spec, dtype, loss):
    expected = figures(spec, weights, dtype, loss)
    found = figures(spec, weights * scale, dtype, loss)
    precision = 1e-5 if dtype == "float32" else 1e-12
    for a, b in zip(found, expected, strict=True):
        assert np.allclose(a, b, rtol=precision, atol=precision), (
            f"got {a!r:.60}, not {b!r:.60}"
        )


def independent_estimator(make, scale, dtype, weights):
    features = X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = (make().fit(features, Y, w) for w in (weights, weights * scale))
        scores = [m.score(features, Y, w) for m, w in ((a, weights), (b, weights * scale))]
    assert np.allclose(a.coefs_[0], b.coefs_[0], rtol=1e-3, atol=1e-4)
    assert np.allclose(*scores, rtol=1e-4)


def penalized(scale):
    """The penalties of a network do not depend on sample weights."""
    weights = np.full(16, scale)
    net, plain = network(l2=0.5), network()
    expected = 0.25 * float((net.parameters[0]["W"] ** 2).sum())
    found = net.evaluate(X, Y, weights)["loss"] - plain.evaluate(X, Y, weights)["loss"]
    assert np.isclose(found, expected, rtol=1e-4), f"got {found}, expected {expected}"


def blamed(loader_weights):
    """Where no callback could have set the weights, none is blamed."""
    try:
        network().fit(Few(loader_weights), epochs=1)
    except (bpnet.NonFiniteError, ValueError) as error:
        if "callback" in str(error):
            raise AssertionError(str(error)) from error


@kind("subnormal weights", slow=True)
def subnormal(rng):
    for spec in ("numpy", *available("torch:cpu", "jax", "array_api_strict:device1")):
        for dtype, tiny in TINY.items():
            if (spec, dtype) == ("jax", "float64"):
                continue  # compiles as much again
            cases = {
                "all": np.full(16, tiny * rng.uniform(0.01, 0.9)),
                "one": changed(rng.uniform(1.0, 2.0, 16), rng.integers(16), tiny / 2.0),
                "flushed": changed(np.ones(16), 3, 1e-60 if dtype == "float32" else tiny / 1e9),
            }
            for case, weights in cases.items():
                for name, use in uses(spec):
                    if name == "split" and case != "all":
                        continue
                    if spec not in ("numpy", "jax") and rng.integers(4):
                        continue
                    oracle = refused_by if case == "all" else taken_for_zero
                    yield Probe(
                        f"{case}, {dtype}, {name} on {spec}", bind(oracle, use, weights, dtype)
                    )
            smallest = changed(np.full(16, tiny), slice(0, 4), 0.0)
            yield Probe(f"smallest, {dtype} on {spec}", bind(accepted, dtype, smallest, spec))
    yield Probe("gradient check", bind(refused_by_check, np.full(16, 1e-40)))
    with contextlib.suppress(ImportError):
        for dtype, tiny in TINY.items():
            for estimator, solver in estimators():
                for value in (tiny / 3.0, tiny / 1e9):
                    name = f"{type(estimator).__name__} {solver}, {dtype}, {value:g}"
                    weights = changed(np.ones(16), 2, value)
                    run = bind(taken_for_zero_by_estimator, estimator, weights, dtype)
                    yield Probe(name, run)
                    run = bind(refused_by_estimator, estimator, np.full(16, value), dtype)
                    if value > 0.0:
                        yield Probe(f"all: {name}", run)
        for exponent in (-120, -40, 60, 120):
            for estimator, solver in estimators():
                make = bind(type(estimator), **estimator.get_params() | {"alpha": 0.0})
                weights = rng.uniform(1.0, 2.0, 16)
                yield Probe(
                    f"{type(estimator).__name__} {solver}, 2^{exponent}",
                    bind(independent_estimator, make, 2.0**exponent, "float32", weights),
                )
    for spec in ("numpy", *available("torch:cpu", "jax")):
        exponents = [-126, -124, 60, 119, *rng.integers(-126, 119, 3).tolist()]
        for number, exponent in enumerate(exponents):
            weights = np.ldexp(rng.uniform(1.0, 2.0, 16), rng.integers(0, 4, 16))
            weights[rng.integers(16)] = 0.0
            yield Probe(
                f"{number}: scaled by 2^{exponent} on {spec}",
                bind(independent_of, 2.0**exponent, weights, spec, "float32",
                     "huber" if spec == "jax" or number % 2 else "binary_crossentropy"),
            )  # fmt: skip
    for exponent in (-1022, -1000, 1000):
        weights = rng.uniform(1.0, 2.0, 16)
        yield Probe(
            f"scaled by 2^{exponent} in float64",
            bind(independent_of, 2.0**exponent, weights, "numpy", "float64", "huber"),
        )
    for exponent in (-100, -20, 0, 50):
        yield Probe(f"penalty, 2^{exponent}", bind(penalized, 2.0**exponent))
    for value in (2.0**-126, 1e-40, 1e-45):
        yield Probe(f"blame, {value:g}", bind(blamed, np.full(16, value)))
