"""What to write instead of a wrong parameter, added to scikit-learn's error."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from numbers import Real
from typing import Any

from bpnet import activations, initializers, schedules
from bpnet.common.keywords import misplaced, unknown
from bpnet.common.suggestions import did_you_mean
from bpnet.estimators._losses import REGRESSION_LOSSES
from bpnet.optimizers import OPTIMIZERS

SOLVERS = ("lbfgs", "sgd", "adam")


def explains_settings(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method so that it explains keyword arguments of the estimator passed to it."""
    known = tuple(inspect.signature(method).parameters)[1:]

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (name := unknown(kwargs, known)) is not None:
            settings = self.get_params(deep=False)
            raise misplaced(method.__name__, name, known, type(self).__name__, settings)
        return method(self, *args, **kwargs)

    return wrapper


def hint(message: str, estimator: Any) -> str:
    """Return what to write instead of the parameter that an error is about; "" if unknown."""
    found = re.match("The '(\\w+)' parameter", message)
    value = getattr(estimator, found[1], None) if found else None
    if found is None or not isinstance(value, str | Real):
        return ""
    return _hint(found[1], value)


def _hint(name: str, value: Any) -> str:
    if name == "learning_rate" and isinstance(value, Real):
        return f"; a number is given as learning_rate_init={value}"
    if not isinstance(value, str):
        return ""
    if name in ("solver", "optimizer") and value in OPTIMIZERS:
        code = f"optimizer=bpnet.{type(OPTIMIZERS[value]).__name__}(0.001)"
        is_solver = name == "optimizer" and value in SOLVERS
        return f"; pass {f'solver={value!r} or ' if is_solver else ''}{code}"
    if name == "schedule" or (name == "learning_rate" and "cos" in value.lower()):
        return f"; pass schedule={schedules.example(value)}"
    allowed = {
        "activation": [*activations.ACTIVATIONS, *activations.ALIASES],
        "init": initializers.INITIALIZERS,
        "learning_rate": ("constant", "invscaling", "adaptive"),
        "loss": REGRESSION_LOSSES,
        "optimizer": OPTIMIZERS,
        "solver": SOLVERS,
    }
    return did_you_mean(value, allowed.get(name, ()))
