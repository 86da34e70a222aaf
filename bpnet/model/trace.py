"""Every quantity of a forward and backward pass, with its equation and line of code."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bpnet import backprop, losses
from bpnet.activations import Identity
from bpnet.backend import Backend
from bpnet.backend.registry import backend_of
from bpnet.backend.transfer import to_device, to_input_type
from bpnet.backend.typing import Array, LayerParameters, Namespace, Parameters
from bpnet.common.component import label
from bpnet.common.tables import align, cut
from bpnet.data.frames import is_frame
from bpnet.data.validation import as_array
from bpnet.layers import Dense, Dropout, Layer
from bpnet.model.model import Model
from bpnet.model.recorder import Recorder, recording

# Maximum number of elements printed of an array, and of characters in a line.
_SHOWN, _WIDTH = 6, 100

# Formulas of the link and error of each loss; n is the number of outputs.
_LINKS = {
    "binary_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "poisson": "exp",
}
_ERRORS = {
    "binary_crossentropy": "(p - y) / n",
    "categorical_crossentropy": "p - y",
    "mean_squared_error": "2 (a - y) / n",
    "mean_absolute_error": "sign(a - y) / n",
    "huber": "clip(a - y) / n",
    "quantile": "([a > y] - q) / n",
    "poisson": "(p - y) / n",
}


_PACKAGE = Path(__file__).parents[1]


class Line(NamedTuple):
    """A line of code, printed as ``layers/dense.py:123   z = xp.matmul(...)``.

    Attributes
    ----------
    file : str
        The file within bpnet; of a file elsewhere, its name.
    number : int
        Line number, from 1.
    text : str
        The statement, without indentation.
    """

    file: str
    number: int
    text: str

    @property
    def place(self) -> str:
        """File and line number."""
        return f"{self.file}:{self.number}"

    def __str__(self) -> str:
        return f"{self.place}   {self.text}"


class Entry(NamedTuple):
    """One quantity of a pass.

    Attributes
    ----------
    name : str
        Such as "z1", "delta2" or "dW1", with the number of the layer, from 1; "dW2_1" for a
        parameter "W2" of layer 1.
    value : array
        The value, in the array type of the input.
    equation : str
        Its equation, in the notation of bpnet.
    line : Line
        The line of bpnet that computes it.
    """

    name: str
    value: Array
    equation: str
    line: Line

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return tuple(self.value.shape)


class Trace(Mapping[str, Array]):
    """The result of :meth:`bpnet.Network.trace`: arrays by name, such as ``trace["dW1"]``.

    Prints as a table, with the line of code below each quantity. Entries are in order of
    computation: forward from "z1" to "loss", then backward from the output error "deltaL" of
    the last layer L to "db1".

    Attributes
    ----------
    entries : tuple of Entry
        Name, value, equation and line of code of each quantity.
    """

    def __init__(self, entries: tuple[Entry, ...], host: dict[str, Any]) -> None:
        self.entries = entries
        self._by_name = {entry.name: entry for entry in entries}
        self._host = host

    def __getitem__(self, name: str) -> Array:
        return self._by_name[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __str__(self) -> str:
        rows = [("quantity", "shape")]
        rows += [(e.equation, str(e.shape)) for e in self.entries]
        room = _WIDTH - max(map(len, align(rows))) - 3
        values = ["value", *(short(self._host[e.name], room) for e in self.entries)]
        table = align([(*row, value) for row, value in zip(rows, values, strict=True)])
        code = [cut(f"    {e.line}", _WIDTH) for e in self.entries]
        below = (f"{line}\n{of}" for line, of in zip(table[1:], code, strict=True))
        return "\n".join([table[0], *below])

    def __repr__(self) -> str:
        return f"Trace({', '.join(self)})"


def trace(net: Model, X: Any, y: Any, backend: str | Backend | None = None) -> Trace:
    """Run a forward and backward pass and record every quantity, for `Network.trace`."""
    backend_of(X=X, y=y)
    if not is_frame(X) and (X := as_array("X", X)).ndim == 1:  # one example: a batch of one
        X, y = X[None, ...], as_array("y", y)[None, ...]
    data = net.check_data(X, y, None)
    backend = net.choose_backend(backend, data.owner)
    parameters = net.parameters_on(backend, data.X)
    recorders, recorded = recording(net.spec)
    with backend.activate():
        X, y, _ = data.arrays_on(backend)
        loss, gradients = backprop.loss_and_gradients(backend.xp, recorded, parameters, X, y)
        entries = [
            *_forward(backend.xp, net, recorders, y, loss),
            *_backward(backend.xp, net, recorders, gradients),
        ]
        host = {entry.name: backend.to_numpy(entry.value) for entry in entries}
        entries = [
            e._replace(value=to_input_type(e.value, backend, data.owner)) for e in entries
        ]
    return Trace(tuple(entries), host)


def layer_activations(net: Model, X: Any) -> list[tuple[str, Any]]:
    """Return the names and host activations of all layers but the last (or of the only one)."""
    X, owner = net.check_inputs(X)
    backend = net.choose_backend(None, owner)
    parameters = net.parameters_on(backend, X)
    recorders, recorded = recording(net.spec)
    with backend.activate():
        backprop.forward(backend.xp, recorded, parameters, to_device(X, backend))
        return [
            (f"{number}  {recorder.layer!r}", backend.to_numpy(recorder.a))
            for number, recorder in enumerate(recorders[:-1] or recorders, start=1)
        ]


def _forward(
    xp: Namespace, net: Model, recorders: Sequence[Recorder], y: Array, loss: Array
) -> Iterator[Entry]:
    """Yield z and a of all layers, the prediction, and the loss with its error."""
    for k, recorder in enumerate(recorders, start=1):
        layer, before = net.layers[k - 1], _input(k)
        if isinstance(layer, Dense) and layer.keeps_z:
            _, z, _ = recorder.cache
            equation = f"z{k} = {before} W{k}{_root(layer, k)} + b{k}"
            yield Entry(f"z{k}", z, equation, _line_in(layer.forward, "z"))
            equation = f"a{k} = " + (f"z{k}" if _is_linear(layer) else f"{_f(layer)}(z{k})")
            yield Entry(f"a{k}", recorder.a, equation, _line_in(layer.activation.f, "return"))
        else:  # the first return statement of dropout is for outside of training
            line = _line_in(layer.forward, "return", 0 if isinstance(layer, Dropout) else -1)
            yield Entry(f"a{k}", recorder.a, f"a{k} = {_kind(layer)} of {before}", line)
    lossname, L, z = net.loss.name, len(recorders), recorders[-1].a
    if not net.loss.identity_link:
        equation = f"p = {_LINKS.get(lossname, 'link')}(a{L})"
        yield Entry("p", net.spec.loss.link(xp, z), equation, _line_in(net.loss.link, "return"))
    penalties = _penalty(net.layers)
    equation = f"loss = mean of {lossname}(y, a{L}){penalties}"
    yield Entry("loss", loss, equation, _line_in(net.loss.value, "return"))
    equation = f"dl/da{L} = {_ERRORS.get(lossname, 'error of the loss')}"
    error = net.spec.loss.error(xp, y, z)
    yield Entry(f"dl/da{L}", error, equation, _line_in(net.loss.error, "return"))


def _backward(
    xp: Namespace, net: Model, recorders: Sequence[Recorder], gradients: Parameters
) -> Iterator[Entry]:
    """Yield the error, delta and gradients of all layers, from the last to the first."""
    L = len(recorders)
    for k in range(L, 0, -1):
        recorder, layer = recorders[k - 1], net.layers[k - 1]
        is_delta = k == L and isinstance(layer, Dense) and layer.keeps_z and _is_linear(layer)
        name = f"delta{k}" if is_delta else f"dL/da{k}"
        if k == L:
            equation, line = f"dl/da{k} / m", _line_in(losses.output_error, "return", 0)
        else:
            after = net.layers[k]
            through = f"dL/da{k + 1} through {_kind(after)}"
            is_dense = isinstance(after, Dense)
            equation = f"delta{k + 1} W{k + 1}^T{_root(after, k + 1)}" if is_dense else through
            line = _line_in(after.backward, "return")
        yield Entry(name, recorder.error, f"{name} = {equation}", line)
        if isinstance(layer, Dense) and layer.keeps_z:
            yield from _dense_backward(xp, k, recorder, layer, gradients[k - 1], is_delta)
        else:
            line = _line_in(layer.backward, "return")
            for parameter, gradient in gradients[k - 1].items():
                is_numbered = parameter[-1:].isdigit()  # dW21 is that of W in layer 21
                name = f"d{parameter}{'_' if is_numbered else ''}{k}"
                yield Entry(name, gradient, f"{name} by {_kind(layer)}", line)


def _dense_backward(
    xp: Namespace,
    k: int,
    recorder: Recorder,
    layer: Dense,
    gradients: LayerParameters,
    has_delta: bool,
) -> Iterator[Entry]:
    """Yield delta, unless it is the output error already yielded, then dW and db."""
    if not has_delta:
        _, z, a = recorder.cache
        linear = _is_linear(layer)
        equation = f"delta{k} = dL/da{k}" + ("" if linear else f" * {_f(layer)}'(z{k})")
        line = _line_in(layer.delta, "return", 0 if linear else -1)
        yield Entry(f"delta{k}", layer.delta(xp, z, a, recorder.error), equation, line)
    penalty = _penalty([layer], f"W{k}")
    equation = f"dW{k} = {_input(k)}^T delta{k}{_root(layer, k)}{penalty}"
    yield Entry(f"dW{k}", gradients["W"], equation, _line_in(layer.backward, "W"))
    equation = f"db{k} = sum over rows of delta{k}"
    yield Entry(f"db{k}", gradients["b"], equation, _line_in(layer.backward, "b"))


def _input(k: int) -> str:
    """Return the name of the input of layer k."""
    return "X" if k == 1 else f"a{k - 1}"


def _root(layer: Layer, k: int) -> str:
    """Return the divisor of W in the neural tangent parametrization."""
    is_ntk = isinstance(layer, Dense) and layer.parametrization == "ntk"
    return f" / sqrt(n{k - 1})" if is_ntk else ""


def _f(layer: Dense) -> str:
    return label(layer.activation)


def _kind(layer: Layer) -> str:
    """Return the name of a layer's class."""
    return type(layer).__name__


def _is_linear(layer: Dense) -> bool:
    return isinstance(layer.activation, Identity)


def _penalty(layers: Sequence[Layer], W: str = "") -> str:
    """Format the regularization term of the loss, or of its gradient with respect to W."""
    penalized = [layer for layer in layers if isinstance(layer, Dense) and layer.l1 + layer.l2]
    if not penalized:
        return ""
    if not W:
        return " + penalties"
    (layer,) = penalized
    l1 = f" + {layer.l1:g} sign({W})" if layer.l1 else ""
    return l1 + (f" + {layer.l2:g} {W}" if layer.l2 else "")


def short(values: Any, room: float = math.inf, digits: int = 4) -> str:
    """Format numbers on one line, abbreviating long arrays, and those too wide for the room."""
    flat = [f"{value + 0.0:.{digits}g}" for value in values.ravel().tolist()]  # not "-0"
    width = values.shape[1] if values.ndim == 2 else len(flat)
    rows = [" ".join(flat[i : i + width]) for i in range(0, len(flat), max(1, width))]
    if len(flat) <= _SHOWN and len(text := "; ".join(rows)) <= room:
        return text
    for shown in range(min(_SHOWN, len(flat)), 1, -1):
        if len(text := " ".join([*flat[: shown - 1], "...", flat[-1]])) <= room:
            break
    return text


def line_of(function: Callable[..., Any], target: str, which: int = -1) -> Line:
    """Find the line where a function computes something; LookupError if it does not.

    Parameters
    ----------
    function : callable
        A function or method written in Python.
    target : str
        The name of an assigned variable, the key of an entry in a dict, or "return".
    which : int, default -1
        Index among several return statements.

    Examples
    --------
    >>> from bpnet.activations import tanh
    >>> line_of(tanh.df, "return").text
    'return 1.0 - a * a'
    """
    source, first = inspect.getsourcelines(function)
    source_text = textwrap.dedent("".join(source))
    found = sorted(_matching(ast.parse(source_text), target), key=lambda node: node.lineno)
    if not found:
        raise LookupError(f"{function.__qualname__} computes no {target!r}")
    if target == "return":
        found = [found[which]]
    parts = [ast.get_source_segment(source_text, node) or "" for node in found]
    return Line(
        _file_of(function),
        first + found[0].lineno - 1,
        "; ".join(" ".join(part.split()) for part in parts),
    )


def _file_of(function: Callable[..., Any]) -> str:
    """Return the file of a function within bpnet, or the name of a file elsewhere."""
    path = Path(inspect.getsourcefile(function) or "")
    return path.relative_to(_PACKAGE).as_posix() if _PACKAGE in path.parents else path.name


def _line_in(function: Callable[..., Any], target: str, which: int = -1) -> Line:
    """Find that line in a component, perhaps a user's own, written in another way."""
    try:
        return line_of(function, target, which)
    except LookupError:
        source, first = inspect.getsourcelines(function)
        return Line(_file_of(function), first, source[0].strip())
    except (OSError, TypeError):  # entered in a shell, or not written in Python
        return Line(function.__module__, 0, getattr(function, "__qualname__", ""))


def _matching(tree: ast.AST, target: str) -> Iterator[ast.stmt | ast.expr]:
    """Yield the nodes that compute the target."""
    for node in ast.walk(tree):
        match node:
            case ast.Return() if target == "return":
                yield node
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AugAssign(target=ast.Name(id=name))
            ) if name == target:
                yield node
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == target:
                        yield value
