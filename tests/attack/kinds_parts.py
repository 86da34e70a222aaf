"""Parts that users write: layers, losses, activations, optimizers and so on, with mistakes.

Whatever a part returns by mistake, the error names the part, the method, what is due and what
came; the network keeps its weights and remains usable.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack import Probe, bind, kind, must_refuse, must_warn
from available import available

import bpnet
from bpnet.errors import ComponentError

M, N_IN, WIDTH = 6, 3, 4
X = np.random.default_rng(0).normal(size=(M, N_IN))
Y = np.stack([X[:, 0] - 0.5, X[:, 1] + 0.5], axis=1)
ERRORS = (ValueError, TypeError, ComponentError)

# Backends whose arrays can be modified.
MUTABLE = available("numpy", "torch:cpu")

Change = Callable[[Any, Any], Any]


class Gain(bpnet.Layer):
    """Multiplies by a vector; one method returns something else."""

    def __init__(self, method: str = "", change: Change | None = None) -> None:
        self.method, self.change = method, change

    def _changed(self, method: str, xp: Any, result: Any) -> Any:
        if self.change is None or method != self.method:
            return result
        return self.change(xp, result)

    def n_outputs(self, n_inputs: int) -> int:
        return self._changed("n_outputs", np, n_inputs)

    def initial_parameters(self, rng: Any, n_inputs: int) -> dict[str, Any]:
        return self._changed("initial_parameters", np, {"gain": np.full(n_inputs, 1.5)})

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        return self._changed("parameter_shapes", np, {"gain": (n_inputs,)})

    def forward(self, xp: Any, parameters: Any, a_previous: Any, context: Any) -> Any:
        result = a_previous * parameters["gain"], a_previous
        return self._changed("forward", xp, result)

    def backward(
        self, xp: Any, parameters: Any, cache: Any, error: Any, propagate: bool = True
    ) -> Any:
        result = error * parameters["gain"], {"gain": xp.sum(error * cache, axis=0)}
        return self._changed("backward", xp, result)

    def penalty(self, xp: Any, parameters: Any) -> Any:
        return self._changed("penalty", xp, None)

    def schedules(self) -> Any:
        return self._changed("schedules", np, {})


def other_dtype(xp: Any, array: Any) -> Any:
    return xp.astype(array, xp.float32 if array.dtype == xp.float64 else xp.float64)


def of_numpy(xp: Any, array: Any) -> Any:
    return np.ones(tuple(array.shape), "float32")


# Mistakes that any array can be; with a single one, a (m, 1) is of the right shape.
ARRAYS: dict[str, Change] = {
    "column": lambda xp, a: a[:, :1] if a.ndim == 2 else a[:, None],
    "row": lambda xp, a: a[:1],
    "scalar": lambda xp, a: xp.sum(a),
    "transposed": lambda xp, a: a.T if a.ndim == 2 else a[None, :],
    "flat": lambda xp, a: xp.reshape(a, (-1,)) if a.ndim == 2 else a[:2],
    "list": lambda xp, a: [[0.0]],
    "float": lambda xp, a: 0.5,
    "None": lambda xp, a: None,
    "text": lambda xp, a: "0.5",
    "another dtype": other_dtype,
    "integers": lambda xp, a: xp.astype(a, xp.int64),
    "booleans": lambda xp, a: a > 0,
    "additional axis": lambda xp, a: a[None, ...],
    "tuple of one": lambda xp, a: (a,),
    "generator": lambda xp, a: (row for row in (1, 2)),
    "NumPy scalar": lambda xp, a: np.float32(0.5),
}


def network(middle: Any = None, loss: Any = "mse", first: Any = "tanh", **settings: Any) -> Any:
    layers = [bpnet.Dense(WIDTH, first), middle or bpnet.Dropout(0.0), bpnet.Dense(2)]
    return bpnet.Network(layers, loss if loss != "mse" else "mean_squared_error",
                         seed=0, **settings)  # fmt: skip


def fit(net: Any, on: str | None, **arguments: Any) -> Any:
    return net.fit(X, Y, backend=on, **({"epochs": 1, "batch_size": 4} | arguments))


FORWARD: dict[str, Callable[[Any, Any], Any]] = {
    "fit": fit,
    "eagerly": lambda net, on: fit(net, on, run_eagerly=True),
    "gradients": lambda net, on: net.loss_and_gradients(X, Y, backend=on),
    "evaluate": lambda net, on: net.evaluate(X, Y, backend=on),
    "predict": lambda net, on: net.predict(X, backend=on),
    "trace": lambda net, on: net.trace(X, Y, backend=on),
    "check": lambda net, on: bpnet.check_gradients(net, X, Y, samples=1, backend=on),
}
BACKWARD = {name: FORWARD[name] for name in ("fit", "eagerly", "gradients", "trace", "check")}


def weights(net: Any) -> list[bytes]:
    host = net.backend.to_numpy
    return [host(p).tobytes() for layer in net.parameters for p in layer.values()]


def refused(net: Any, use: Callable[[Any, Any], Any], on: str, *words: str) -> None:
    """A use of the network must be refused, and leave it as it was."""
    net.build(N_IN, on)
    before = weights(net)
    must_refuse(lambda: use(net, on), *words, errors=ERRORS)
    assert weights(net) == before, "the weights are changed"
    assert net.steps_taken == net.epochs_taken == 0


def refused_argument(on: str, *words: str, errors: Any = ERRORS, **arguments: Any) -> None:
    """An argument of fit must be refused, and leave a network that can be trained."""
    net, fresh = network().build(N_IN, on), network().build(N_IN, on)
    before = weights(net)
    must_refuse(lambda: fit(net, on, **arguments), *words, errors=errors)
    assert weights(net) == before, "the weights are changed"
    assert fit(net, on)["loss"] == fit(fresh, on)["loss"]


def some(rng: np.random.Generator, uses: dict[str, Any]) -> Any:
    """Return one of the uses, by name."""
    name = list(uses)[int(rng.integers(len(uses)))]
    return name, uses[name]


@kind("user-written parts", slow=True)
def user_written_parts(rng: np.random.Generator) -> Iterator[Probe]:
    backends = available("numpy", "torch:cpu", "jax")

    def backend() -> Any:  # mostly NumPy, which compiles fastest
        chosen = int(rng.integers(12))
        return backends[chosen if chosen < len(backends) else 0]

    yield from _layers(rng, backend)
    yield from _activations(rng, backend)
    yield from _losses(rng, backend)
    yield from _optimizers(rng, backend)
    yield from _schedules(rng, backend)
    yield from _initializers(backend)
    yield from _metrics(backend)
    yield from _callbacks(backend)


# --- layers -----------------------------------------------------------------------------------


def _layers(rng: np.random.Generator, backend: Any) -> Iterator[Probe]:
    places: dict[str, tuple[str, Callable[[Change], Change], dict[str, Any]]] = {
        "a": ("forward", lambda c: lambda xp, r: (c(xp, r[0]), r[1]), FORWARD),
        "error": ("backward", lambda c: lambda xp, r: (c(xp, r[0]), r[1]), BACKWARD),
        "gradient": (
            "backward", lambda c: lambda xp, r: (r[0], {"gain": c(xp, r[1]["gain"])}), BACKWARD
        ),
    }  # fmt: skip
    for place, (method, make, uses) in places.items():
        for mistake, change in ARRAYS.items():
            if place == "gradient" and mistake in ("row", "scalar"):
                change = functools.partial(lambda c, xp, a: c(xp, a), ARRAYS["scalar"])
            for use, act in dict([("fit", FORWARD["fit"]), some(rng, uses)]).items():
                on = backend()
                layer = Gain(method, make(change))
                yield Probe(
                    f"layer: {place} is {mistake}, in {use} on {on}",
                    bind(refused, network(layer), act, on, "layer 2", "Gain", method, "got"),
                )
    whole = {
        "forward None": ("forward", lambda xp, r: None),
        "forward alone": ("forward", lambda xp, r: r[0]),
        "forward list": ("forward", lambda xp, r: list(r)),
        "backward None": ("backward", lambda xp, r: None),
        "no gradients": ("backward", lambda xp, r: (r[0], {})),
        "more gradients": ("backward", lambda xp, r: (r[0], r[1] | {"b": r[1]["gain"]})),
        "gradients as list": ("backward", lambda xp, r: (r[0], [r[1]["gain"]])),
        "penalty vector": ("penalty", lambda xp, r: xp.ones(2)),
        "penalty text": ("penalty", lambda xp, r: "1"),
        "penalty complex": ("penalty", lambda xp, r: 1j),
    }
    for mistake, (method, change) in whole.items():
        on, (use, act) = backend(), some(rng, BACKWARD)
        yield Probe(
            f"layer: {mistake}, in {use} on {on}",
            bind(refused, network(Gain(method, change)), act, on, "layer 2", "Gain", method),
        )
    built = {
        "n_outputs 2.0": ("n_outputs", lambda xp, r: 2.0),
        "n_outputs 0": ("n_outputs", lambda xp, r: 0),
        "n_outputs -1": ("n_outputs", lambda xp, r: -1),
        "n_outputs None": ("n_outputs", lambda xp, r: None),
        "initial_parameters complex": (
            "initial_parameters", lambda xp, r: {"gain": np.full(WIDTH, 1j)}
        ),
        "initial_parameters text": ("initial_parameters", lambda xp, r: {"gain": ["a"] * 4}),
        "initial_parameters digits": (
            "initial_parameters", lambda xp, r: {"gain": ["1"] * WIDTH}
        ),
        "initial_parameters object": (
            "initial_parameters", lambda xp, r: {"gain": np.full(WIDTH, None)}
        ),
        "initial_parameters NaN": (
            "initial_parameters", lambda xp, r: {"gain": np.full(WIDTH, np.nan)}
        ),
        "initial_parameters None": ("initial_parameters", lambda xp, r: None),
        "parameter_shapes list": ("parameter_shapes", lambda xp, r: {"gain": [WIDTH]}),
        "parameter_shapes other": ("parameter_shapes", lambda xp, r: {"gain": (WIDTH, 1)}),
        "schedules None": ("schedules", lambda xp, r: None),
        "schedules number": ("schedules", lambda xp, r: {"rate": 0.1}),
    }  # fmt: skip
    for mistake, (method, change) in built.items():
        layer = Gain(method, change)
        yield Probe(
            f"layer: {mistake}",
            bind(must_refuse, bind(fit, network(layer), None), "layer 2", "Gain", method,
                 errors=ERRORS),
        )  # fmt: skip
    for on in MUTABLE:
        yield Probe(f"layer: a view of its input on {on}", bind(_views_are_right, on))
        yield Probe(f"layer: its input itself on {on}", bind(_itself_is_right, on))
        for what in ("a_previous", "error", "gain", "cache"):
            yield Probe(f"layer: writes to {what} on {on}", bind(_writing, what, on))


class Reversed(bpnet.Layer):
    """Returns a view of what it is given."""

    def forward(self, xp: Any, parameters: Any, a_previous: Any, context: Any) -> Any:
        return xp.flip(a_previous, axis=1), None

    def backward(
        self, xp: Any, parameters: Any, cache: Any, error: Any, propagate: bool = True
    ) -> Any:
        return xp.flip(error, axis=1), {}


class Same(bpnet.Layer):
    """Returns what it is given."""

    def forward(self, xp: Any, parameters: Any, a_previous: Any, context: Any) -> Any:
        return a_previous, a_previous

    def backward(
        self, xp: Any, parameters: Any, cache: Any, error: Any, propagate: bool = True
    ) -> Any:
        return error, {}


def _views_are_right(on: str) -> None:
    net = network(Reversed(), dtype="float64").build(N_IN, on)
    assert bpnet.check_gradients(net, X, Y, samples=3, backend=on).passed
    eager = network(Reversed(), dtype="float64").build(N_IN, on)
    losses = fit(net, on, epochs=3)["loss"]
    assert np.allclose(losses, fit(eager, on, epochs=3, run_eagerly=True)["loss"], rtol=1e-12)


def _itself_is_right(on: str) -> None:
    with_same, without = network(Same()).build(N_IN, on), network().build(N_IN, on)
    assert fit(with_same, on, epochs=3)["loss"] == fit(without, on, epochs=3)["loss"]


class Writes(bpnet.Layer):
    """Modifies what it is given instead of computing anew."""

    def __init__(self, what: str, in_place: bool) -> None:
        self.what, self.in_place = what, in_place

    def initial_parameters(self, rng: Any, n_inputs: int) -> dict[str, Any]:
        return {"gain": np.full(n_inputs, 1.5)}

    def _doubled(self, name: str, array: Any) -> Any:
        if name != self.what:
            return array
        if self.in_place:
            array *= 2.0
            return array
        return array * 2.0

    def forward(self, xp: Any, parameters: Any, a_previous: Any, context: Any) -> Any:
        a_previous = self._doubled("a_previous", a_previous)
        gain = self._doubled("gain", parameters["gain"])
        return a_previous * gain, (a_previous, gain)

    def backward(
        self, xp: Any, parameters: Any, cache: Any, error: Any, propagate: bool = True
    ) -> Any:
        a, gain = cache
        a, error = self._doubled("cache", a), self._doubled("error", error)
        return error * gain, {"gain": xp.sum(error * a, axis=0)}


def _refused_or_right(make: Callable[[bool], Any], use: Callable[[Any], Any]) -> None:
    """A part that writes in place is refused, or gives what it does without that."""
    due, found = use(make(False)), None
    try:
        found = use(make(True))
    except ComponentError as error:
        if "must not modify" not in str(error):
            raise
    assert found in (None, due), f"wrong results: {found}, expected {due}"


def _writing(what: str, on: str) -> None:
    def losses(net: Any) -> Any:
        values = net.evaluate(X, Y, backend=on), net.loss_and_gradients(X, Y, backend=on)[0]
        return values, fit(net, on, epochs=3)["loss"], weights(net)

    _refused_or_right(lambda in_place: network(Writes(what, in_place)).build(N_IN, on), losses)


# --- activations and losses -------------------------------------------------------------------


class Cubic(bpnet.activations.Activation):
    """z + z^3 / 10, or something else."""

    name = "cubic"

    def __init__(self, method: str = "", change: Change | None = None) -> None:
        self.method, self.change = method, change

    def f(self, xp: Any, z: Any) -> Any:
        a = z + 0.1 * z * z * z
        return self.change(xp, a) if self.change and self.method == "f" else a

    def df(self, xp: Any, z: Any, a: Any) -> Any:
        d = 1.0 + 0.3 * z * z
        return self.change(xp, d) if self.change and self.method == "df" else d


class CubicWrites(Cubic):
    """Modifies what it is given."""

    def f(self, xp: Any, z: Any) -> Any:
        if self.method == "z":
            z *= 2.0
            return z
        return z * 2.0

    def df(self, xp: Any, z: Any, a: Any) -> Any:
        if self.method == "a":
            a *= 0.0
            return a + 2.0
        return 0.0 * a + 2.0


def _activations(rng: np.random.Generator, backend: Any) -> Iterator[Probe]:
    for method, uses in (("f", FORWARD), ("df", BACKWARD)):
        for mistake, change in ARRAYS.items():
            on, (use, act) = backend(), some(rng, uses)
            net = network(first=Cubic(method, change))
            yield Probe(
                f"activation: {method} is {mistake}, in {use} on {on}",
                bind(refused, net, act, on, "Cubic", "layer 1", f": {method} ", "got"),
            )
    for init in ("wrong", None, 5, "HeNormal"):
        wrong = type("Own", (Cubic,), {"default_init": init})
        yield Probe(
            f"activation: default_init={init!r}",
            bind(must_refuse, bind(lambda kind: bpnet.Dense(2, kind()), wrong), "Own",
                 "default_init", errors=ERRORS),
        )  # fmt: skip
    for name in (None, 5, ["cubic"]):
        wrong = type("Own", (Cubic,), {"name": name})
        yield Probe(
            f"activation: name={name!r}",
            bind(must_refuse, bind(lambda kind: bpnet.Dense(2, kind()), wrong), "Own", "name",
                 errors=ERRORS),
        )  # fmt: skip
    for on in MUTABLE:
        for what in ("z", "a"):

            def make(in_place: bool, what: str = what, on: str = on) -> Any:
                return network(first=CubicWrites(what if in_place else "")).build(N_IN, on)

            def losses(net: Any, on: str = on) -> Any:
                return net.loss_and_gradients(X, Y, backend=on)[0], fit(net, on)["loss"]

            yield Probe(
                f"activation: writes to {what} on {on}", bind(_refused_or_right, make, losses)
            )
        constant = Cubic("f", lambda xp, a: a + float("nan"))
        yield Probe(
            f"activation: NaN on {on}",
            bind(must_refuse, bind(fit, network(first=constant), on), "layer 1",
                 errors=bpnet.NonFiniteError),
        )  # fmt: skip


class Absolute(bpnet.losses.Loss):
    """The mean absolute error, or something else."""

    name = "absolute"
    identity_link = True

    def __init__(self, method: str = "", change: Change | None = None) -> None:
        self.method, self.change = method, change

    def _changed(self, method: str, xp: Any, result: Any) -> Any:
        return self.change(xp, result) if self.change and self.method == method else result

    def link(self, xp: Any, z: Any) -> Any:
        return self._changed("link", xp, z)

    def value(self, xp: Any, y: Any, z: Any) -> Any:
        return self._changed("value", xp, xp.mean(xp.abs(z - y), axis=1))

    def error(self, xp: Any, y: Any, z: Any) -> Any:
        return self._changed("error", xp, xp.sign(z - y) / z.shape[1])


class Unnamed(bpnet.losses.Loss):
    """A loss that does not say its name."""

    identity_link = True
    link, value, error = Absolute.link, Absolute.value, Absolute.error
    method = change = None
    _changed = Absolute._changed


class AbsoluteWrites(Absolute):
    """Modifies what it is given."""

    def value(self, xp: Any, y: Any, z: Any) -> Any:
        if self.method == "z":
            z -= y
            return xp.mean(xp.abs(z), axis=1)
        if self.method == "y":
            y -= z
            return xp.mean(xp.abs(y), axis=1)
        return super().value(xp, y, z)


def _losses(rng: np.random.Generator, backend: Any) -> Iterator[Probe]:
    values = {n: FORWARD[n] for n in ("fit", "eagerly", "gradients", "evaluate", "trace")}
    errors = {n: FORWARD[n] for n in ("fit", "eagerly", "gradients", "trace", "check")}
    links = {"predict": FORWARD["predict"]}
    elementwise = {"a loss of each output": lambda xp, v: xp.stack([v, v], axis=1)}
    for method, uses in (("value", values), ("error", errors), ("link", links)):
        changes = ARRAYS | (elementwise if method == "value" else {})
        for mistake, change in changes.items():
            on, (use, act) = backend(), some(rng, uses)
            net = network(loss=Absolute(method, change))
            yield Probe(
                f"loss: {method} is {mistake}, in {use} on {on}",
                bind(refused, net, act, on, "loss Absolute", method, "got"),
            )
    for what, value in {
        "name None": {"name": None},
        "name 5": {"name": 5},
        "name ''": {"name": ""},
        "targets None": {"targets": None},
        "targets list": {"targets": ["real"]},
        "targets singular": {"targets": "label"},
        "identity_link text": {"identity_link": "yes"},
    }.items():
        wrong = type("Own", (Absolute,), value)
        yield Probe(
            f"loss: {what}",
            bind(must_refuse, bind(lambda kind: network(loss=kind()), wrong), "Own",
                 next(iter(value)), errors=ERRORS),
        )  # fmt: skip
    yield Probe("loss: without a name", bind(_has_a_name, Unnamed))
    for on in MUTABLE:
        for what in ("z", "y"):

            def make(in_place: bool, what: str = what, on: str = on) -> Any:
                return network(loss=AbsoluteWrites(what if in_place else "")).build(N_IN, on)

            def losses(net: Any, on: str = on) -> Any:
                y = Y.astype("float32")
                first = (
                    net.evaluate(X, y, backend=on),
                    net.loss_and_gradients(X, y, backend=on)[0],
                )
                again = net.evaluate(X, y, backend=on), fit(net, on, epochs=2)["loss"]
                assert np.array_equal(y, Y.astype("float32")), "the targets are changed"
                return first, again

            yield Probe(
                f"loss: writes to {what} on {on}", bind(_refused_or_right, make, losses)
            )


def _has_a_name(kind: Any) -> None:
    net = network(loss=kind())
    assert repr(net.loss.name) in repr(net)


# --- optimizers -------------------------------------------------------------------------------


class Momentum(bpnet.optimizers.Optimizer):
    """Heavy ball, or something else."""

    state_names: Any = ("v",)

    def __init__(self, change: Any = None, in_place: str = "") -> None:
        super().__init__(0.1)
        self.change, self.in_place = change, in_place

    def rule(self, xp: Any, p: Any, g: Any, *numbers: Any) -> Any:
        v, rate = numbers[0], numbers[1]
        if self.in_place == "v":
            v *= 0.9
            v += g
        elif self.in_place == "g":
            g += 0.9 * v
            v = g
        else:
            v = 0.9 * v + g
        if self.in_place == "p":
            p -= rate * v
            new = p
        else:
            new = p - rate * v
        return (new, v) if self.change is None else self.change(xp, new, v)


def _optimizers(rng: np.random.Generator, backend: Any) -> Iterator[Probe]:
    rules: dict[str, Any] = {
        "p alone": lambda xp, p, v: p,
        "None": lambda xp, p, v: None,
        "without state": lambda xp, p, v: (p,),
        "more state": lambda xp, p, v: (p, v, v),
        "a generator": lambda xp, p, v: (a for a in (p, v)),
        "a dict": lambda xp, p, v: {"p": p, "v": v},
        "a set of state": lambda xp, p, v: (p, {"v": v}),
    }
    for mistake, change in ARRAYS.items():
        if mistake in ("column", "row", "transposed", "flat"):
            continue
        rules[f"p as {mistake}"] = bind(lambda c, xp, p, v: (c(xp, p), v), change)
        rules[f"state as {mistake}"] = bind(lambda c, xp, p, v: (p, c(xp, v)), change)
    for mistake, change in rules.items():
        on, eagerly = backend(), bool(rng.integers(2))
        yield Probe(
            f"optimizer: {mistake}{', eagerly' if eagerly else ''} on {on}",
            bind(refused_argument, on, "optimizer", "Momentum", "got",
                 optimizer=Momentum(change), run_eagerly=eagerly),
        )  # fmt: skip
    attributes: dict[str, dict[str, Any]] = {
        "state_names text": {"state_names": "v"},
        "state_names numbers": {"state_names": (1,)},
        "state_names None": {"state_names": None},
        "state_names twice": {"state_names": ("v", "v")},
        "n_state -1": {"n_state": -1},
        "n_state 1.5": {"n_state": 1.5},
        "scalars None": {"scalars": lambda self, xp, learning_rate, t: None},
        "scalars number": {"scalars": lambda self, xp, learning_rate, t: 1.0},
        "init None": {"init": lambda self, xp, parameters: None},
        "init another shape": {
            "init": lambda self, xp, parameters: [
                {n: {"v": xp.zeros((1,))} for n in p} for p in parameters
            ]
        },
        "init another name": {
            "init": lambda self, xp, parameters: [
                {n: {"m": 0.0 * a} for n, a in p.items()} for p in parameters
            ]
        },
        "init another dtype": {
            "init": lambda self, xp, parameters: [
                {n: {"v": xp.astype(p[n], xp.int64)} for n in p} for p in parameters
            ]
        },
        "update None": {"update": lambda self, *arguments: None},
        "update gradients": {"update": lambda self, xp, rule, p, g, s, *rest: g},
        "learning_rate None": {"learning_rate": None},
        "learning_rate text": {"learning_rate": "fast"},
        "weight_decay text": {"weight_decay": "much"},
        "settings list": {"settings": [1, 2]},
    }
    for mistake, members in attributes.items():
        own = dict(members)
        plain = {n: own.pop(n) for n in ("learning_rate", "weight_decay") if n in own}
        if plain:

            def begin(self: Any, plain: Any = plain) -> None:
                bpnet.optimizers.Optimizer.__init__(self, 0.1)
                self.change, self.in_place = None, ""
                for name, value in plain.items():
                    setattr(self, name, value)

            own["__init__"] = begin
        kind_ = type("Own", (Momentum,), own)
        on = backend()
        yield Probe(
            f"optimizer: {mistake} on {on}",
            bind(_refused_optimizer, on, kind_, next(iter(members))),
        )
    for on in MUTABLE:
        for what in ("p", "g", "v"):
            for eagerly in (False, True):

                def make(in_place: bool, what: str = what) -> Any:
                    return Momentum(in_place=what if in_place else "")

                def trained(optimizer: Any, on: str = on, eagerly: bool = eagerly) -> Any:
                    net = network().build(N_IN, on)
                    history = fit(net, on, optimizer=optimizer, epochs=3, run_eagerly=eagerly)
                    return history["loss"], weights(net)

                yield Probe(
                    f"optimizer: writes to {what}{', eagerly' if eagerly else ''} on {on}",
                    bind(_refused_or_right, make, trained),
                )


def _refused_optimizer(on: str, kind_: Any, word: str) -> None:
    net = network().build(N_IN, on)
    before = weights(net)
    must_refuse(lambda: fit(net, on, optimizer=kind_()), "Own", word, errors=ERRORS)
    assert weights(net) == before, "the weights are changed"


# --- schedules --------------------------------------------------------------------------------


class Given(bpnet.schedules.Schedule):
    """A schedule that returns what it is given."""

    def __init__(self, rate: Any = 0.1, memory: Any = None, observed: Any = None) -> None:
        self.rate, self.memory, self.observed = rate, memory, observed

    def __call__(self, epoch: float) -> Any:
        return self.rate() if callable(self.rate) else self.rate

    def initial_state(self) -> Any:
        return {} if self.memory is None else self.memory

    def observe(self, state: Any, logs: Any) -> Any:
        return state if self.observed is None else self.observed[0]


def _raises() -> float:
    raise ZeroDivisionError("of its own")


def _schedules(rng: np.random.Generator, backend: Any) -> Iterator[Probe]:
    values: dict[str, Any] = {
        "None": None, "NaN": float("nan"), "inf": float("inf"), "-inf": -float("inf"),
        "-1": -1.0, "text": "0.1", "an array of two": np.array([0.1, 0.2]), "complex": 0.1j,
        "an empty list": [], "a dict": {"rate": 0.1}, "True": True, "huge": 10**400,
        "an array of text": np.array(["0.1"]), "a NumPy NaN": np.float32("nan"),
    }  # fmt: skip
    for name, value in values.items():
        on = backend()
        for where, words in (("rate", ("learning_rate",)), ("decay", ("weight_decay",))):
            given = Given(value)
            make = bpnet.SGD(given) if where == "rate" else bpnet.SGD(0.1, weight_decay=given)
            yield Probe(
                f"schedule: {name} as {where} on {on}",
                bind(refused_argument, on, "schedule", "Given", *words, optimizer=make),
            )
        layer = bpnet.Dropout(Given(value))
        yield Probe(
            f"schedule: {name} as dropout on {on}",
            bind(refused, network(layer), fit, on, "schedule", "Given", "rate"),
        )
    on = backend()
    yield Probe(
        "schedule: raises",
        bind(refused_argument, on, "of its own", optimizer=bpnet.SGD(Given(_raises)),
             errors=(ZeroDivisionError, ComponentError)),
    )  # fmt: skip
    for name, memory in {"a list": [1], "a number": 5, "text": "memory"}.items():
        yield Probe(
            f"schedule: initial_state is {name}",
            bind(refused_argument, "numpy", "Given", "initial_state", "dict",
                 optimizer=bpnet.SGD(Given(memory=memory))),
        )  # fmt: skip
        yield Probe(
            f"schedule: observe returns {name}",
            bind(_refused_after_an_epoch, "Given", "observe", "dict",
                 optimizer=bpnet.SGD(Given(observed=[memory]))),
        )  # fmt: skip
    yield Probe(
        "schedule: observe returns None",
        bind(_refused_after_an_epoch, "Given", "observe", "dict",
             optimizer=bpnet.SGD(Given(observed=[None]))),
    )  # fmt: skip
    for name, memory in {
        "a set": {"seen": {1, 2}},
        "an object": {"seen": object()},
        "a number as name": {1: 2.0},
        "complex": {"seen": 1j},
        "a NumPy array": {"seen": np.zeros(2)},
        "bytes": {"seen": b"1"},
    }.items():
        for how in ("save", "checkpoint"):
            yield Probe(f"schedule: {name} in memory, {how}", bind(_not_saved, memory, how))
    for name, prepared in {"None": None, "number": 0.1}.items():
        own = type("Own", (Given,), {"prepared": bind(_prepared, prepared)})
        yield Probe(
            f"schedule: prepared returns {name}",
            bind(refused_argument, "numpy", "Own", "prepared", optimizer=bpnet.SGD(own())),
        )


def _prepared(result: Any, *_: Any) -> Any:
    return result


def _refused_after_an_epoch(*words: str, **arguments: Any) -> None:
    """The weights are those of the last good epoch, and the network can be trained."""
    net, fresh = network().build(N_IN), network().build(N_IN)
    must_refuse(lambda: fit(net, None, epochs=3, **arguments), *words, errors=ERRORS)
    assert net.steps_taken == 2 * net.epochs_taken
    assert np.isfinite(fit(net, None)["loss"]).all()
    assert np.isfinite(fit(fresh, None)["loss"]).all()


class Remembers(Given):
    """A schedule with a memory that is not an argument."""

    held: Any = None

    def initial_state(self) -> Any:
        return self.held


def _not_saved(memory: Any, how: str) -> None:
    net = network().build(N_IN)
    optimizer = bpnet.SGD(type("Remembers", (Remembers,), {"held": memory})())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        if how == "checkpoint":
            callbacks = [bpnet.Checkpoint(path)]
            must_refuse(
                lambda: fit(net, None, optimizer=optimizer, callbacks=callbacks),
                "Remembers", "memory", errors=ERRORS,
            )  # fmt: skip
        else:
            fit(net, None, optimizer=optimizer)
            must_refuse(lambda: net.save(path), "Remembers", "memory", errors=ERRORS)
        assert not path.exists(), "a file was written"


# --- initializers, metrics, callbacks ---------------------------------------------------------


def _initializers(backend: Any) -> Iterator[Probe]:
    results: dict[str, Callable[[int, int], Any]] = {
        "another shape": lambda n, m: np.zeros((m, n + 1)),
        "a vector": lambda n, m: np.zeros(n * m),
        "a number": lambda n, m: 0.1,
        "NaN": lambda n, m: np.full((n, m), np.nan),
        "infinite in float32": lambda n, m: np.full((n, m), 1e300),
        "objects": lambda n, m: np.full((n, m), None),
        "text": lambda n, m: np.full((n, m), "a"),
        "complex": lambda n, m: np.zeros((n, m), complex),
        "None": lambda n, m: None,
        "ragged": lambda n, m: [[0.0], [1.0, 2.0]],
        "dates": lambda n, m: np.zeros((n, m), "datetime64[s]"),
    }
    for name, result in results.items():
        for argument in ("init", "bias_init"):

            def wrong(rng: Any, n_in: int, n_out: int, result: Any = result) -> Any:
                return result(n_in, n_out)

            layers = [bpnet.Dense(5, "relu"), bpnet.Dense(2, **{argument: wrong})]
            net = bpnet.Network(layers, "huber", seed=0)
            on = backend()
            yield Probe(
                f"{argument}: {name} on {on}",
                bind(must_refuse, bind(fit, net, on), "layer 2", argument, "wrong",
                     errors=ERRORS),
            )  # fmt: skip
    yield Probe(
        "init: other arguments",
        bind(must_refuse, bind(fit, network(bpnet.Dense(3, init=lambda shape: 0.0)), None),
             "layer 2", "init", "(rng, n_in, n_out)", errors=ERRORS),
    )  # fmt: skip
    yield Probe(
        "init: a list is taken",
        bind(fit, network(bpnet.Dense(1, init=lambda rng, n, m: [[0.1] * m] * n)), None),
    )


class Own(bpnet.metrics.Metric):
    """The sum of weights, or something else."""

    direction = "min"

    def __init__(self, method: str = "", change: Any = None) -> None:
        self.method, self.change = method, change

    def sums(self, xp: Any, loss: Any, y: Any, z: Any, w: Any) -> Any:
        sums = xp.reshape(xp.sum(w), (1,))
        return self.change(xp, sums) if self.method == "sums" else sums

    def result(self, sums: Any, total_weight: float) -> Any:
        value = float(sums[0]) / total_weight
        return self.change(np, value) if self.method == "result" else value


class Rows(Own):
    """As many sums as rows."""

    def sums(self, xp: Any, loss: Any, y: Any, z: Any, w: Any) -> Any:
        return w


def _metrics(backend: Any) -> Iterator[Probe]:
    results: dict[str, Any] = {
        "None": None, "text": "0.5", "an array": np.zeros(2), "True": True, "complex": 1j,
        "a list": [0.5], "a dict": {},
    }  # fmt: skip
    for name, value in results.items():
        on, metric = backend(), Own("result", bind(lambda v, xp, r: v, value))
        words = ("metric 'Own'", "result", "got")
        yield Probe(
            f"metric: result is {name} on {on}",
            bind(refused_argument, on, *words, metrics=metric, validation_data=(X, Y)),
        )
        yield Probe(
            f"metric: result is {name}, evaluate on {on}",
            bind(refused, network(), bind(_evaluated, metric), on, *words),
        )
    for name, change in ARRAYS.items():
        if name in ("transposed", "flat", "row"):
            continue
        on, metric = backend(), Own("sums", change)
        yield Probe(
            f"metric: sums are {name} on {on}",
            bind(refused_argument, on, "metric 'Own'", "sums", "got", metrics=metric,
                 validation_data=(X, Y)),
        )  # fmt: skip
    many = np.zeros((4100, N_IN)), np.zeros((4100, 2))
    yield Probe(
        "metric: as many sums as rows",
        bind(must_refuse, lambda: network().evaluate(*many, metrics=Rows()), "metric 'Rows'",
             "as many", errors=ERRORS),
    )  # fmt: skip
    for name, members in {
        "name None": {"name": None},
        "name 5": {"name": 5},
        "direction": {"direction": "up"},
        "no direction": {"direction": None},
        "name loss": {"name": "loss"},
    }.items():
        wrong = type("Wrong", (Own,), members)
        yield Probe(
            f"metric: {name}",
            bind(
                must_refuse, bind(_evaluated, wrong(), network(), None), "Wrong", errors=ERRORS
            ),
        )
    yield Probe("metric: NaN is a value", bind(_nan_metric))
    for on in MUTABLE:
        for what in ("y", "z", "w"):
            for whole in (False, True):
                yield Probe(
                    f"metric: writes to {what}{' of all rows' if whole else ''} on {on}",
                    bind(_metric_writes, what, whole, on),
                )


class SumsWrite(bpnet.metrics.Metric):
    """Modifies what it is given."""

    direction = "min"

    def __init__(self, what: str = "") -> None:
        self.what = what

    def sums(self, xp: Any, loss: Any, y: Any, z: Any, w: Any) -> Any:
        array = {"y": y, "z": z, "w": w}[self.what]
        array *= 2.0
        return xp.reshape(xp.sum(array), (1,))

    def result(self, sums: Any, total_weight: float) -> float:
        return float(sums[0])


class ValueWrites(bpnet.metrics.WholeMetric):
    """Modifies what it is given, all rows at once."""

    direction = "min"

    def __init__(self, what: str = "") -> None:
        self.what = what

    def value(self, xp: Any, loss: Any, y: Any, z: Any, w: Any) -> Any:
        array = {"y": y, "z": z, "w": w}[self.what]
        array *= 2.0
        return xp.sum(array)


def _metric_writes(what: str, whole: bool, on: str) -> None:
    y, weight = Y.astype("float32"), np.ones(M, "float32")
    metric = (ValueWrites if whole else SumsWrite)(what)
    must_refuse(
        lambda: network().evaluate(X, y, weight, metrics=[metric, "mse"], backend=on),
        "metric", type(metric).__name__, "modify", errors=ERRORS,
    )  # fmt: skip
    assert np.array_equal(y, Y.astype("float32")), "the targets are changed"
    assert np.all(weight == 1.0), "the weights are changed"


def _evaluated(metric: Any, net: Any, on: Any) -> Any:
    return net.evaluate(X, Y, metrics=metric, backend=on)


def _nan_metric() -> None:
    metric = Own("result", lambda xp, r: float("nan"))
    assert np.isnan(network().evaluate(X, Y, metrics=metric)["Own"])


def _callbacks(backend: Any) -> Iterator[Probe]:
    hooks = (
        "on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end",
        "on_epoch_recorded", "on_train_end", "setup", "teardown",
    )  # fmt: skip
    for hook in hooks:
        signatures = {
            "none": lambda self: None,
            "of Keras": lambda self, epoch, logs: None,
        }
        for name, function in signatures.items():
            wrong = type("Own", (bpnet.Callback,), {hook: function})
            yield Probe(
                f"callback: {hook} with arguments {name}",
                bind(refused_argument, "numpy", "Own", f"{hook}(self, training)",
                     callbacks=[wrong()]),
            )  # fmt: skip
    right = {
        "defaults": lambda self, training, logs=None: None,
        "any": lambda self, *arguments, **more: None,
    }
    for name, function in right.items():
        own = type("Own", (bpnet.Callback,), {"on_epoch_end": function})
        yield Probe(f"callback: {name} is right", bind(fit, network(), None, callbacks=own()))
    foreign = {
        "on_train_batch_end": "on_batch_end", "on_epoch_start": "on_epoch_begin",
        "on_train_start": "on_train_begin", "on_fit_end": "on_train_end",
        "on_training_epoch_end": "on_epoch_end", "on_epoch_ends": "on_epoch_end",
        "on_batch_ended": "on_batch_end",
    }  # fmt: skip
    for name, hook in foreign.items():
        own = type("Own", (bpnet.Callback,), {name: lambda self, training: None})
        yield Probe(
            f"callback: {name} is never called",
            bind(must_warn, bind(fit, network(), None, callbacks=own()), "Own", name, hook),
        )
    for name, adds in {
        "a list": ["gain"],
        "a direction": {"gain": "up"},
        "numbers": {1: "min"},
        "text": "gain",
    }.items():
        own = type("Own", (bpnet.Callback,), {"adds": adds})
        yield Probe(
            f"callback: adds is {name}",
            bind(refused_argument, "numpy", "Own", "adds", callbacks=[own()]),
        )
    for name, value in {
        "a class": bpnet.EarlyStopping,
        "a function": print,
        "None": [None],
        "a name": "early",
    }.items():
        yield Probe(
            f"callback: {name}",
            bind(refused_argument, "numpy", "callbacks must be", callbacks=value),
        )
    yield Probe("callback: raises", bind(_a_raising_callback))


def _a_raising_callback() -> None:
    class Raises(bpnet.Callback):
        def on_epoch_end(self, training: Any) -> None:
            raise RuntimeError("of its own")

    net = network().build(N_IN)
    must_refuse(lambda: fit(net, None, callbacks=Raises()), "of its own", errors=RuntimeError)
    assert np.isfinite(fit(net, None)["loss"]).all()
