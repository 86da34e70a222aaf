"""Checks of what a user's own layers, activations and losses return.

Wrappers check shapes and dtypes in each pass, and that no input is modified, and pass
everything on. In a compiled step they run while it is traced, and cost nothing later. bpnet's
own components are not wrapped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from bpnet.activations import Activation
from bpnet.backend import unmodified
from bpnet.backend.compat import array_namespace, is_array
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import kind_of
from bpnet.common.component import is_own, nested
from bpnet.errors import ComponentError
from bpnet.layers import Context, Dense, Frozen, Layer, ParametricActivation, Residual
from bpnet.losses import Loss
from bpnet.model.hints import PREVIOUS, WIDTH, missing_return, noted


def checked_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Wrap the layers that are not bpnet's own, and such activations of a Dense."""
    return tuple(_checked(layer, f"layer {k}") for k, layer in enumerate(layers, start=1))


def checked_loss(loss: Loss) -> Loss:
    """Wrap a loss that is not bpnet's own."""
    return loss if all(map(is_own, nested(loss))) else CheckedLoss(loss)


def unchecked(layer: Layer) -> Layer:
    """Return the layer that a wrapper checks, or the layer itself."""
    return layer.layer if isinstance(layer, CheckedLayer) else layer


def unchecked_cache(layer: Layer, cache: Any) -> Any:
    """Return the cache of the layer itself."""
    return cache[0] if isinstance(layer, CheckedLayer) else cache


def _checked(layer: Layer, place: str) -> Layer:
    if not is_own(layer):
        return CheckedLayer(layer, place)
    if isinstance(layer, Frozen):
        return layer.replace(layer=_checked(layer.layer, place))
    if isinstance(layer, Residual):
        return layer.replace(
            layers=tuple(
                _checked(inner, f"{place}, layer {k} of its Residual")
                for k, inner in enumerate(layer.layers, start=1)
            )
        )
    if isinstance(layer, Dense | ParametricActivation) and not is_own(layer.activation):
        kept = {"init": layer.init} if isinstance(layer, Dense) else {}
        return layer.replace(activation=CheckedActivation(layer.activation, place), **kept)
    return layer


class CheckedLayer(Layer):
    """A layer that checks what `layer` returns."""

    def __init__(self, layer: Layer, place: str) -> None:
        self.layer, self.place = layer, place
        self.bias_names = layer.bias_names

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Check the activations."""
        where = f"{self.place}, {self.layer!r}: forward"

        def forward(a: Array, *values: Array) -> Any:
            return self.layer.forward(
                xp, dict(zip(parameters, values, strict=True)), a, context
            )

        with noted(where, "forward(xp, parameters, a_previous, context)", parameters,
                   a_previous=a_previous):  # fmt: skip
            result = unmodified.call(where, forward, a_previous, *parameters.values())
        if not isinstance(result, tuple) or len(result) != 2:
            _refuse(where, "a tuple (a, cache)", _kind(result), missing_return(result))
        a, cache = result
        width = self.layer.n_outputs(a_previous.shape[1])
        hint = WIDTH if is_array(a) and tuple(a.shape) != tuple(a_previous.shape) else ""
        _check(where, "a", a, (a_previous.shape[0], width), a_previous, hint)
        return a, (cache, a_previous)

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Check the error of the previous layer and the gradients."""
        cache, a_previous = cache
        where = f"{self.place}, {self.layer!r}: backward"

        def backward(e: Array, _: Array, *values: Array) -> Any:
            given = dict(zip(parameters, values, strict=True))
            return self.layer.backward(xp, given, cache, e, propagate)

        # The cache may have a_previous, too.
        with noted(where, "backward(xp, parameters, cache, error, propagate)", parameters,
                   a_previous=a_previous, error=error):  # fmt: skip
            result = unmodified.call(where, backward, error, a_previous, *parameters.values())
        if not isinstance(result, tuple) or len(result) != 2:
            hint = missing_return(result)
            _refuse(where, "a tuple (dL/da_previous, gradients)", _kind(result), hint)
        previous, gradients = result
        if propagate or previous is not None:
            shape = tuple(a_previous.shape)
            _check(where, "dL/da_previous", previous, shape, error, PREVIOUS)
        trained = dict.fromkeys(filter(self.layer.is_trained, parameters))
        due = f"gradients in a dict with the keys {list(trained)}"
        self._check_arrays(where, parameters, gradients, trained.keys(), due)
        return previous, gradients

    def is_trained(self, name: str) -> bool:
        """Delegate."""
        return self.layer.is_trained(name)

    def factors(self, name: str) -> tuple[float, float]:
        """Delegate."""
        return self.layer.factors(name)

    def updated(
        self, xp: Namespace, parameters: LayerParameters, cache: Any
    ) -> LayerParameters:
        """Check the new values of what is not trained by gradients."""
        cache, _ = cache
        where = f"{self.place}, {self.layer!r}: updated"

        def updated(*values: Array) -> Any:
            return self.layer.updated(xp, dict(zip(parameters, values, strict=True)), cache)

        values = unmodified.call(where, updated, *parameters.values())
        others = [name for name in parameters if not self.layer.is_trained(name)]
        given = values if isinstance(values, dict) else {}
        due = f"new values in a dict, with some of the keys {others} or {{}}"
        self._check_arrays(where, parameters, values, set(others) & given.keys(), due, "")
        return values  # type: ignore[no-any-return]

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Check the penalty."""
        penalty = self.layer.penalty(xp, parameters)
        where = f"{self.place}, {self.layer!r}: penalty"
        if is_array(penalty):
            like = next(iter(parameters.values()), penalty)
            _check(where, "an array (or a Python number, or None)", penalty, (), like)
        elif penalty is not None and not isinstance(penalty, int | float):
            _refuse(where, "a number or a 0-d array, or None", _kind(penalty))
        return penalty

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Check the gradients of the penalty."""
        gradients = self.layer.penalty_gradients(xp, parameters)
        given = gradients if isinstance(gradients, dict) else {}
        penalized = {name for name in parameters.keys() & given if self.is_trained(name)}
        where = f"{self.place}, {self.layer!r}: penalty_gradients"
        due = f"gradients in a dict, with some of the keys {list(parameters)} or {{}}"
        self._check_arrays(where, parameters, gradients, penalized, due)
        return gradients

    def _check_arrays(
        self, where: str, parameters: LayerParameters, arrays: Any, names: Any, due: str,
        what: str = "the gradient of ",
    ) -> None:  # fmt: skip
        """Check that there are arrays like the parameters of these names."""
        if not isinstance(arrays, dict) or arrays.keys() != names:
            got = list(arrays) if isinstance(arrays, dict) else _kind(arrays)
            _refuse(where, due, str(got))
        for name in names:
            p = parameters[name]
            hint = f"it has the shape of {name}" if what else ""
            _check(where, f"{what}{name}", arrays[name], tuple(p.shape), p, hint)


class CheckedActivation(Activation):
    """An activation that checks what `activation` returns."""

    def __init__(self, activation: Activation, place: str) -> None:
        self.activation, self.place = activation, place
        self.name, self.default_init = activation.name, activation.default_init  # type: ignore[misc]

    def f(self, xp: Namespace, z: Array) -> Array:
        """Check f(z)."""
        return self._checked("f", lambda z: self.activation.f(xp, z), z)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Check f'(z)."""
        return self._checked("df", lambda z, a: self.activation.df(xp, z, a), z, a)

    def _checked(self, method: str, function: Callable[..., Any], z: Array, *a: Array) -> Array:
        where = f"activation {self.activation!r} of {self.place}: {method}"
        takes = f"{method}(xp, z{', a' if a else ''})"
        with noted(where, takes, {}, z=z):
            result = unmodified.call(where, function, z, *a)
        _check(where, "an array like z", result, tuple(z.shape), z)
        return result


class CheckedLoss(Loss):
    """A loss that checks what `loss` returns."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.name, self.targets = loss.name, loss.targets  # type: ignore[misc]
        self.identity_link = loss.identity_link  # type: ignore[misc]

    def link(self, xp: Namespace, z: Array) -> Array:
        """Check the predictions."""
        predictions = unmodified.call(self._where("link"), lambda z: self.loss.link(xp, z), z)
        return self._checked("link", "predictions", predictions, z, tuple(z.shape))

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Check the losses."""
        values = self._called("value", xp, y, z)
        return self._checked("value", "the loss of each example", values, z, (z.shape[0],))

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Check the errors."""
        errors = self._called("error", xp, y, z)
        return self._checked("error", "dl/dz", errors, z, tuple(z.shape))

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Check both."""
        method = "value_and_error"
        result: tuple[Array, Array] = self._called(method, xp, y, z)
        if not isinstance(result, tuple) or len(result) != 2:
            _refuse(self._where(method), "a tuple (value, error)", _kind(result))
        self._checked(method, "the loss of each example", result[0], z, (z.shape[0],))
        self._checked(method, "dl/dz", result[1], z, tuple(z.shape))
        return result

    def _where(self, method: str) -> str:
        return f"loss {self.loss!r}: {method}"

    def _called(self, method: str, xp: Namespace, y: Array, z: Array) -> Any:
        function = functools.partial(getattr(self.loss, method), xp)
        with noted(self._where(method), f"{method}(xp, y, z)", {}, y=y, z=z):
            return unmodified.call(self._where(method), function, unmodified.copied(y), z)

    def _checked(self, method: str, what: str, array: Any, z: Array, shape: Any) -> Array:
        _check(self._where(method), what, array, shape, z)
        return array


def _check(
    where: str, what: str, array: Any, shape: tuple[int, ...], like: Array, hint: str = ""
) -> None:
    """Check that an array has this shape, and the library and dtype of `like`.

    `hint` is what helps if its shape is wrong.
    """
    got = tuple(array.shape) if is_array(array) else None
    if got != shape or library(array) != library(like) or array.dtype != like.dtype:
        due = f"shape {shape} and dtype {like.dtype} ({library(like)})"
        if got is None:
            hint = missing_return(array)
        elif library(array) != library(like):
            hint = f"compute with xp instead of {library(array)}"
        elif got == shape:
            hint = "compute with the arrays that are given, xp and Python's numbers"
        elif got == shape[::-1]:
            hint = f"it is transposed{hint and f': {hint}'}"
        _refuse(where, f"{what} of {due}", _kind(array), hint)


def library(array: Array) -> str:
    """Return the name of an array's library, also of one traced by JAX."""
    name: str = array_namespace(array).__name__
    return name.removeprefix("array_api_compat.").partition(".")[0]


def _kind(value: Any) -> str:
    """Describe what was returned."""
    if not is_array(value):
        return kind_of(value)
    return f"shape {tuple(value.shape)} and dtype {value.dtype} ({library(value)})"


def _refuse(where: str, due: str, got: str, hint: str = "") -> None:
    raise ComponentError(f"{where} must return {due}; got {got}{hint and f' ({hint})'}")
