"""A data profile as plain data for files, and back."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

from bpnet.diagnosis.data_profile import DataProfile
from bpnet.diagnosis.gradient_flow import METRICS
from bpnet.diagnosis.simple_models import Agreement


def described(profile: DataProfile) -> dict[str, Any]:
    """Return a profile as a dict of numbers, strings, tuples and dicts."""
    agreement, outcome = profile.agreement._asdict(), dict(profile.outcome)
    return profile._asdict() | {"agreement": agreement, "outcome": outcome}


def profile_from(parts: Any) -> DataProfile:
    """Return the profile of :func:`described`.

    Raises
    ------
    ValueError
        If it is malformed, naming the entry.
    """
    agreement = _checked(Agreement, parts.get("agreement"), "its agreement")
    profile: DataProfile = _checked(
        DataProfile, parts | {"agreement": agreement}, "the data profile"
    )
    layers = range(1, len(profile.activations) + 1)
    due = {"data_loss"} | {f"{name}/{k}" for name in METRICS for k in layers}
    if set(profile.start) != due:
        raise ValueError("the data profile lacks metrics of the start, or has others")
    return profile


def _checked(kind: Any, parts: Any, what: str) -> Any:
    """Return a named tuple of values whose types are those that it declares."""
    hints = get_type_hints(kind)
    due = set(hints) - set(kind._field_defaults)
    if not isinstance(parts, dict) or not due <= set(parts) <= set(hints):
        raise ValueError(f"{what} must have the entries {', '.join(hints)}")
    for name, value in parts.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"{name} of {what} is malformed")
    return kind(**parts)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type, or of a tuple or mapping of types."""
    kinds = get_args(hint)
    if get_origin(hint) is tuple:
        if type(value) is not tuple:
            return False
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if kinds:
        return isinstance(value, dict) and all(
            _fits(name, kinds[0]) and _fits(part, kinds[1]) for name, part in value.items()
        )
    return type(value) is hint
