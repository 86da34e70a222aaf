"""The fitted attributes of the tabular estimators in a file, and setting them from one."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.common.checks import check_flag
from bpnet.common.history import History
from bpnet.estimators._files import FileState
from bpnet.estimators.tabular.member import Member
from bpnet.estimators.tabular.preprocessing import Encoder, Preprocessing
from bpnet.estimators.tabular.schema import Schema
from bpnet.estimators.tabular.table import LEVELS
from bpnet.estimators.tabular.targets import TargetScale
from bpnet.network import Network


def file_state(estimator: Any) -> dict[str, Any]:
    """Return the fitted attributes that both estimators have."""
    return {
        "schema": estimator._schema._asdict(),
        "members": [_described(member) for member in estimator._members],
        "n_outputs_": estimator.n_outputs_,
    }


def restore_file_state(estimator: Any, state: FileState) -> None:
    """Set these attributes.

    Raises
    ------
    ValueError, TypeError, LookupError
        If they are malformed, or do not fit together.
    """
    estimator._schema = schema = _schema(FileState(state.take("schema", dict)))
    estimator.n_outputs_ = n_outputs = state.count("n_outputs_", 1)
    members = state.take("members", list)
    if not members:
        raise ValueError("members must be one or more")
    estimator._members = [_member(FileState(one), schema, n_outputs) for one in members]
    estimator.n_features_in_ = schema.n_columns
    if schema.names is not None:
        estimator.feature_names_in_ = np.array(schema.names, dtype=object)


def _described(member: Member) -> dict[str, Any]:
    encoders = [encoder._asdict() for encoder in member.preprocessing.encoders]
    return {
        "preprocessing": member.preprocessing._asdict() | {"encoders": encoders},
        "network": member.network,
        "history": member.history,
        "scale": None if member.scale is None else member.scale._asdict(),
    }


def _schema(state: FileState) -> Schema:
    names, categorical = (
        state.take("names", tuple, type(None)),
        state.take("categorical", tuple),
    )
    if names is not None:
        is_known = all(isinstance(name, str) for name in names) and len(set(names)) == len(
            names
        )
        if not is_known or len(names) != len(categorical):
            raise ValueError("names must be different strings, one for each column")
    _check_rest(state)
    return Schema(names, tuple(check_flag("categorical", one) for one in categorical))


def _member(state: FileState, schema: Schema, n_outputs: int) -> Member:
    preprocessing = _preprocessing(FileState(state.take("preprocessing", dict)), schema)
    network = state.take("network", Network)
    found, due = (network.n_inputs, network.n_outputs), (preprocessing.n_outputs, n_outputs)
    if found != due:
        raise ValueError(f"network must have {due} inputs and outputs, got {found}")
    history = state.take("history", History)
    scale = state.take("scale", dict, type(None))
    if (scale is None) is not network.is_classifier:
        raise ValueError("scale must be that of a regression, or None")
    if scale is not None:
        scale = _scale(FileState(scale), n_outputs)
    _check_rest(state)
    return Member(preprocessing, network, history, scale)


def _preprocessing(state: FileState, schema: Schema) -> Preprocessing:
    n_categories = sum(schema.categorical)
    n_numbers = schema.n_columns - n_categories
    encoders = [_encoder(FileState(one)) for one in state.take("encoders", list)]
    if len(encoders) != n_categories:
        raise ValueError(f"encoders must be {n_categories}, got {len(encoders)}")
    indicated = state.array("indicated", (n_numbers,), "bool")
    hot = sum(encoder.width for encoder in encoders if not encoder.embedded)
    n = n_numbers + int(indicated.sum()) + hot
    arrays = {
        name: _finite(name, state.array(name, (size,), "float64"))
        for name, size in (("filler", n_numbers), ("center", n), ("scale", n))
    }
    _check_rest(state)
    return Preprocessing(**arrays, indicated=indicated, encoders=encoders)


def _encoder(state: FileState) -> Encoder:
    levels = state.take("levels", list)
    if not all(isinstance(level, LEVELS) for level in levels) or len(set(levels)) < len(levels):
        raise ValueError("levels must be different strings or numbers")
    encoder = Encoder(levels, state.take("has_gaps", bool), state.take("embedded", bool))
    _check_rest(state)
    return encoder


def _scale(state: FileState, n_outputs: int) -> TargetScale:
    arrays = {name: state.array(name, (n_outputs,), "float64") for name in TargetScale._fields}
    _check_rest(state)
    for name in ("mean", "deviation"):
        _finite(name, arrays[name])
    if not np.all(arrays["low"] <= arrays["high"]):
        raise ValueError("low must be at most high")
    return TargetScale(**arrays)


def _finite(name: str, array: Any) -> Any:
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array


def _check_rest(state: FileState) -> None:
    if state:
        raise ValueError(f"it holds the unexpected entry {min(state)!r}")
