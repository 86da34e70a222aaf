"""Compiled functions, shared by all models of equal description.

The keys hold everything that a compiled function depends on besides its arguments: backend,
description, matrix precision. Equal descriptions have equal keys, whatever their weights, seeds
and learning rates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.precision import wanted_precision
from bpnet.common.component import Component, is_own, nested
from bpnet.common.recent import Recent
from bpnet.layers import Layer
from bpnet.losses import Loss
from bpnet.model.description import Description

# Kept in memory; the least recently used are dropped.
LIMIT = 64

Compiled = Callable[..., Any]


class CompiledFunctions(Recent[Compiled]):
    """A bounded cache of compiled functions, which may be borrowed."""

    def __init__(self, limit: int = LIMIT) -> None:
        super().__init__(limit)

    def borrow(self, key: Hashable, make: Callable[[], Compiled]) -> Compiled:
        """Return a function that nobody else uses until :meth:`give_back`.

        That is needed only if it keeps memory between calls, and so has a `release` method.
        """
        function = self._pop(key) or make()
        if not hasattr(function, "release"):
            self._put(key, function)
        return function

    def give_back(self, key: Hashable, function: Compiled) -> None:
        """Free the memory of a borrowed function, and offer it to others."""
        if release := getattr(function, "release", None):
            release()
            self._put(key, function)


FUNCTIONS = CompiledFunctions()


class Compiling(Description):
    """A description that compiles pure functions of itself."""

    def __init__(
        self, layers: Iterable[Layer], loss: str | Loss, seed: int | None, dtype: str
    ) -> None:
        super().__init__(layers, loss, seed, dtype)
        self._compiled: dict[Hashable, Callable[..., Any]] = {}
        self._unique: object = object()

    def compiled(
        self,
        backend: Backend,
        function: Callable[..., Any],
        *static: Any,
        key: Hashable = None,
    ) -> Callable[..., Any]:
        """Compile a pure function ``function(xp, spec, *static, ...)`` for a backend, once.

        Models of equal description share it. `key` is what it depends on of `static`, by
        default all.
        """
        compiled: Callable[..., Any] = self.shared(
            (backend, function, static if key is None else key),
            lambda: backend.compile_pure(
                functools.partial(function, backend.xp, self.spec, *static)
            ),
            (part for part in static if isinstance(part, Component)),
        )
        return compiled

    def compiled_inference(
        self, backend: Backend, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Compile a function of :mod:`bpnet.inference` for a backend, once."""
        compiled: Callable[..., Any] = self.shared(
            (backend, function), lambda: self._compile_inference(backend, function), ()
        )
        return compiled

    def _compile_inference(
        self, backend: Backend, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        spec = self.spec
        if not self._is_own:
            return backend.compile_pure(functools.partial(function, backend.xp, spec))
        return backend.compile_inference(
            lambda xp, parameters, X: function(xp, spec, parameters, X)
        )

    def shared(
        self, key: tuple[Hashable, ...], make: Callable[[], Any], parts: Iterable[Any]
    ) -> Any:
        """Return what `make` compiles of some components, shared by equal models."""
        key = (*key, wanted_precision())
        compiled = self._compiled.get(key)
        if compiled is None:
            if len(self._compiled) >= LIMIT:
                self._compiled.clear()
            compiled = FUNCTIONS.get((self.spec, self.sharing(parts), *key), make)
            self._compiled[key] = compiled
        return compiled

    def sharing(self, parts: Iterable[Any] = ()) -> Hashable:
        """Return what the keys of compiled functions have besides descriptions.

        Functions with code of the user's own, which may depend on anything, are not shared with
        other networks.
        """
        if self._is_own and all(is_own(c) for part in parts for c in nested(part)):
            return None
        return self._unique

    @functools.cached_property
    def _is_own(self) -> bool:
        """Whether all of the layers and the loss is bpnet's own code."""
        return all(is_own(c) for part in (self.loss, *self.layers) for c in nested(part))
