"""The optimizers by name."""

from __future__ import annotations

from bpnet.common.checks import described, instance_hint
from bpnet.common.suggestions import unknown_name
from bpnet.optimizers.adam import Adam, AdamW
from bpnet.optimizers.adaptive import Adagrad, RMSprop
from bpnet.optimizers.base import Optimizer
from bpnet.optimizers.sgd import SGD

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(), "adagrad": Adagrad(), "rmsprop": RMSprop(), "adam": Adam(), "adamw": AdamW(),
}  # fmt: skip

# How to get what a name alone does not say.
_HINTS = {
    "momentum": "; pass bpnet.SGD(0.01, momentum=0.9)",
    "nesterov": "; pass bpnet.SGD(0.01, momentum=0.9, nesterov=True)",
    "lbfgs": "; it is a solver of bpnet.MLPClassifier and bpnet.MLPRegressor",
}


def get(optimizer: str | Optimizer) -> Optimizer:
    """Look up an optimizer with its default settings; an Optimizer is returned unchanged.

    An unknown name raises ValueError, any other type TypeError.

    Examples
    --------
    >>> get("adam")
    Adam(0.001)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(
            f"optimizer must be a name or a bpnet optimizer such as bpnet.Adam(0.001), "
            f"got {described(optimizer)}{instance_hint(optimizer, Optimizer, '0.001')}"
        )
    if optimizer not in OPTIMIZERS:
        error = unknown_name("optimizer", optimizer, OPTIMIZERS)
        raise ValueError(f"{error}{_HINTS.get(optimizer.lower().replace('-', ''), '')}")
    return OPTIMIZERS[optimizer]
