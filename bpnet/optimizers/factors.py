"""How the parameters are updated that a layer trains at another rate, or with another decay."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bpnet.errors import ComponentError
from bpnet.optimizers.base import Optimizer, SpecialRules


class HasFactors(Protocol):
    """A layer, which says the factors of its parameters."""

    bias_names: tuple[str, ...]

    def factors(self, name: str) -> tuple[float, float]:
        """Return the factors of learning rate and weight decay of a parameter."""
        ...


def special_rules(
    optimizer: Optimizer,
    layers: Sequence[HasFactors],
    names: Sequence[Sequence[str]],
    fuse: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda rule: rule,
) -> dict[str, SpecialRules]:
    """Return `special` for :meth:`Optimizer.update`, {} if all factors of all parameters are 1.

    Parameters
    ----------
    optimizer : Optimizer
        Whose weight decay is multiplied, or spares the biases.
    layers : sequence of Layer
        The layers, which say the factors.
    names : sequence of sequence of str
        The names of each layer's parameters.
    fuse : callable, optional
        ``Backend.fuse``; without it, a rule runs as written.

    Raises
    ------
    ComponentError
        If there are such parameters, but the optimizer has an `update` of its own that does
        not take them.
    """
    rules: dict[float, Callable[..., Any]] = {}

    def rule_of(decay: float) -> Callable[..., Any]:
        if decay not in rules:
            rules[decay] = fuse(functools.partial(optimizer.decayed_rule, decay_factor=decay))
        return rules[decay]

    found: SpecialRules = []
    for layer, layer_names in zip(layers, names, strict=True):
        special = {}
        for name in layer_names:
            rate, decay = layer.factors(name)
            if name in layer.bias_names and not optimizer.decay_biases:
                decay = 0.0
            if (rate, decay) != (1.0, 1.0):
                special[name] = (rate, rule_of(decay))
        found.append(special)
    if not any(found):
        return {}
    _check_update(optimizer)
    return {"special": found}


def _check_update(optimizer: Optimizer) -> None:
    taken = inspect.signature(optimizer.update).parameters
    if "special" in taken or any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return
    raise ComponentError(
        f"the optimizer {optimizer!r} has its own update, without the parameter `special`, so "
        f"it cannot train the parameters of a layer at different rates: add it, as in "
        f"Optimizer.update, or train layers without learning_rate_factors and "
        f"weight_decay_factors, with decay_biases=True"
    )
