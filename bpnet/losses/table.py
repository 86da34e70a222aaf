"""The losses by name."""

from __future__ import annotations

from typing import get_args

from bpnet.common.checks import kind_of
from bpnet.common.component import is_own
from bpnet.common.suggestions import unknown_name
from bpnet.errors import ComponentError
from bpnet.losses.base import Loss, TargetKind
from bpnet.losses.crossentropy import BinaryCrossentropy, CategoricalCrossentropy
from bpnet.losses.poisson import Poisson
from bpnet.losses.quantile import Quantile
from bpnet.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        BinaryCrossentropy(), CategoricalCrossentropy(), MeanSquaredError(),
        MeanAbsoluteError(), Huber(), Quantile(), Poisson(),
    )
}  # fmt: skip

# Short names that a loss can be given by; its own name is the one in LOSSES.
ALIASES = {
    "bce": "binary_crossentropy", "cce": "categorical_crossentropy",
    "mse": "mean_squared_error", "mae": "mean_absolute_error", "pinball": "quantile",
}  # fmt: skip


def get(loss: str | Loss) -> Loss:
    """Look up a loss by name or short name; a Loss is returned unchanged.

    An unknown name raises ValueError, any other type TypeError, and a Loss of your own that
    describes itself wrongly ComponentError.
    """
    if isinstance(loss, Loss):
        _check_description(loss)
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a name or a bpnet Loss, got {kind_of(loss)}")
    name = ALIASES.get(loss, loss)
    if name not in LOSSES:
        raise unknown_name("loss", loss, [*LOSSES, *ALIASES])
    return LOSSES[name]


def _check_description(loss: Loss) -> None:
    """Check what a loss of the user's own says of itself."""
    name, identity_link, kinds = loss.name, loss.identity_link, get_args(TargetKind)
    if not is_own(loss) and (not isinstance(name, str) or not name):
        raise ComponentError(f"name of the loss {loss!r} must be a str; got {name!r}")
    if not isinstance(identity_link, bool):
        raise ComponentError(
            f"identity_link of the loss {loss!r} must be True or False; got {identity_link!r}"
        )
    if loss.targets not in kinds:
        raise ComponentError(
            f"targets of the loss {loss!r} must be one of {', '.join(kinds)}; got "
            f"{loss.targets!r}"
        )
