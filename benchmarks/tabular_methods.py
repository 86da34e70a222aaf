"""What is compared on tables: scikit-learn, LightGBM, pytabkit's RealMLP, and bpnet's.

Each method takes raw columns, where categories have pandas' dtype and gaps are NaN, and has its
library's defaults. Each is a function of the kind of outcome ("classes" or "number"), the seed
and the number of threads, and returns an unfitted estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

Method = Callable[[str, int, int], Any]


def _dummy(kind: str, seed: int, threads: int) -> Any:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyClassifier() if kind == "classes" else DummyRegressor()


def _sklearn(kind: str, seed: int, threads: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = _columns(StandardScaler(), OneHotEncoder(handle_unknown="ignore"))
    if kind == "classes":
        return make_pipeline(columns, MLPClassifier(random_state=seed))
    network = make_pipeline(columns, MLPRegressor(random_state=seed))
    return TransformedTargetRegressor(network, transformer=StandardScaler())


def _hgb(kind: str, seed: int, threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    found = {"classes": HistGradientBoostingClassifier, "number": HistGradientBoostingRegressor}
    return found[kind](random_state=seed)


def _lgbm(kind: str, seed: int, threads: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    found = {"classes": LGBMClassifier, "number": LGBMRegressor}
    return found[kind](random_state=seed, n_jobs=threads, verbose=-1)


def _pytabkit(preset: str, kind: str, seed: int, threads: int) -> Any:
    import pytabkit
    from sklearn.pipeline import make_pipeline

    ending = "Classifier" if kind == "classes" else "Regressor"
    network = getattr(pytabkit, f"RealMLP_{preset}_{ending}")(
        device="cpu", random_state=seed, n_threads=threads
    )
    # Its documentation asks for gaps in numbers to be filled, and for nothing else.
    return make_pipeline(_columns("passthrough", "passthrough"), network)


def _bpnet(
    preset: str, backend: str, kind: str, seed: int, threads: int, **settings: Any
) -> Any:
    import bpnet

    found = bpnet.TabularClassifier if kind == "classes" else bpnet.TabularRegressor
    return found(preset=preset, random_state=seed, backend=backend, **settings)


def _columns(numbers: Any, categories: Any) -> Any:
    """Return a transformer of a frame that fills the gaps in numbers by medians."""
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    median = SimpleImputer(strategy="median", keep_empty_features=True)
    of_kind = {
        kind: make_column_selector(dtype_include=kind) for kind in ("number", "category")
    }
    parts = [
        ("numbers", make_pipeline(median, numbers), of_kind["number"]),
        ("categories", categories, of_kind["category"]),
    ]
    columns = ColumnTransformer(parts, verbose_feature_names_out=False)
    return columns.set_output(transform="pandas") if numbers == "passthrough" else columns


METHODS: dict[str, Method] = {
    "dummy": _dummy,
    "sklearn": _sklearn,
    "hgb": _hgb,
    "lgbm": _lgbm,
    "pytabkit-td-s": partial(_pytabkit, "TD_S"),
    "pytabkit-td": partial(_pytabkit, "TD"),
} | {
    f"bpnet-{preset}{suffix}": partial(_bpnet, preset, backend)
    for backend, suffix in (("numpy", ""), ("jax", ":jax"))
    for preset in ("plain", "td-s", "td")
}
# All epochs, as published and as pytabkit does by default.
METHODS |= {
    f"bpnet-{preset}:full{suffix}": partial(_bpnet, preset, backend, early_stopping=False)
    for backend, suffix in (("numpy", ""), ("jax", ":jax"))
    for preset in ("td-s", "td")
}
PEERS = tuple(name for name in METHODS if not name.startswith("bpnet"))
OURS = tuple(name for name in METHODS if name not in PEERS)
