"""Every public callable of bpnet and its parameters, found by introspection."""

from __future__ import annotations

import fnmatch
import functools
import importlib
import inspect
import types

import bpnet

# Modules whose names are public, too, besides those of `bpnet` itself.
MODULES = {
    name: f"bpnet.{name}"
    for name in (
        "activations", "cli", "datasets", "distributed", "initializers", "interchange", "learn",
        "losses", "metrics", "optimizers", "plot", "random", "schedules",
    )
} | {"sanity": "bpnet.diagnosis.sanity", "streams": "bpnet.data.streams"}  # fmt: skip

# Public names that are not in `__all__`, as they need scikit-learn.
ESTIMATORS = ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor")

# Names to which users pass no values, by the reason why the tables omit them.
EXEMPT = {
    "deprecated: sets what has another name": ("Network.model", "schedules.WarmUp.then"),
    "an implementer's contract: called by bpnet, with what it has checked": (
        "*.f", "*.df", "Backend", "Backend.*", "Callback.*",
        "*.on_*", "*.setup", "*.teardown", "*.state", "*.restore", "*.due",
        "*Logger.begin", "*Logger.write", "*Logger.end", "*Logger.head", "*Logger.line",
        "Layer.*", "Dense.*", "Dropout.*", "Embedding.*", "ParametricActivation.*",
        "PeriodicEmbedding.*", "Scale.*", "LayerNorm.*", "BatchNorm.*", "Residual.*",
        "Frozen.*", "Loader.*",
        "streams.*.read", "streams.*.weights", "streams.*.where", "streams.*.first",
        "streams.*.failure", "streams.*.read_blocks",
        "*.link", "*.value", "*.error",
        "*.value_and_error", "*.n_targets", "*.best_predictions",
        "optimizers.Optimizer", "optimizers.special_rules", "*.rule", "*.scalars", "*.init",
        "*.decayed_rule", "*.update", "*.point", "*.restarted", "*.observe", "*.prepared",
        "schedules.*.__call__",  # called before each step with the time
        "initializers.*.__call__", "initializers.zeros", "initializers.glorot_*",
        "initializers.he_*", "initializers.lecun_*", "initializers.orthogonal",
        "distributed.*.all_reduce", "distributed.*.broadcast", "distributed.*.all_gather",
        "distributed.*.abort", "distributed.*.aborting", "distributed.*.barrier",
        "History.append", "metrics.*.check", "metrics.*.sums",
        "metrics.*.result", "metrics.*.values",
    ),
    "starts MPI in this process: tests/distributed/test_mpi.py passes values in others": (
        "distributed.MPI", "distributed.NCCL",
    ),
    "a part of a compiled step, which sees arrays and no user": (
        "losses.mean_loss", "losses.output_error", "losses.sum_of_weights", "losses.one_hot",
        "losses.smoothed",
        "optimizers.global_norm", "random.uniform_bits", "random.nested_key",
        "initializers.draw",
        "initializers.shape_of",
    ),
    "between bpnet's own modules, which check before": (
        "Network.set_parameters", "Network.lend", "Network.take_back",
        "Network.choose_backend", "Network.parameters_on", "Network.parameters_for",
        "Network.compiled", "Network.compiled_inference", "Network.contexts",
        "Network.set_average_penalty", "Network.set_seed",
        "Network.sharing", "Network.shared", "Network.infer",
        "Network.check_names", "Network.remember_names", "Network.check_idle",
        "Network.check_inputs",
        "Network.unchanged_on_error",
        "Network.parameters_to_predict",
        "initializers.name_of", "schedules.check_value", "schedules.example",
        "Network.check_data", "Network.check_metrics", "Network.evaluate_data",
        "sanity.initial_loss", "sanity.update_ratio",
    ),
}  # fmt: skip


@functools.cache
def parameters(exempt=False):
    """Return ``{"Network.fit": ("X", "y", ...), ...}``, with or without exempt names."""
    found = {}
    seen = set()
    for name in (*bpnet.__all__, *ESTIMATORS):
        value = getattr(bpnet, name)
        if not isinstance(value, types.ModuleType):
            _add(found, seen, name, value)
    for module_name in MODULES:
        module = importlib.import_module(MODULES[module_name])
        for name, value in vars(module).items():
            own = getattr(value, "__module__", "").startswith(module.__name__)
            if own and not name.startswith("_") and not isinstance(value, types.ModuleType):
                _add(found, seen, f"{module_name}.{name}", value)
    return {
        name: names
        for name, names in found.items()
        if exempt or (names and not is_exempt(name))
    }


def is_exempt(name):
    return any(fnmatch.fnmatch(name, p) for patterns in EXEMPT.values() for p in patterns)


def _add(found, seen, name, value):
    if inspect.isfunction(value) and value not in seen:
        seen.add(value)
        found[name] = _names(value)
    elif inspect.isclass(value) and value not in seen:
        seen.add(value)
        is_result = issubclass(value, tuple) and hasattr(value, "_fields")
        if is_result or issubclass(value, BaseException):
            return  # created by bpnet only
        for method, function in inspect.getmembers_static(value):
            _add_method(found, seen, name, value, method, function)


def _add_method(found, seen, owner, kind, method, function):
    if isinstance(function, property):
        if function.fset is not None and not method.startswith("_"):
            found[f"{owner}.{method}"] = (method,)
        return
    function = getattr(function, "fn", function)  # unwrap sklearn's available_if
    ours = str(getattr(function, "__module__", "")).startswith("bpnet")
    public = not method.startswith("_") or method in ("__init__", "__call__")
    if not (ours and public and inspect.isfunction(function)):
        return
    if function not in seen or owner in ESTIMATORS:
        seen.add(function)
        key = owner if method == "__init__" else f"{owner}.{method}"
        found[key] = tuple(_with_shared(kind, function))


def _with_shared(kind, function):
    """Return the parameter names, replacing **shared by those of the base class."""
    names = [name for name in _names(function)[1:] if not name.startswith("**")]
    if function.__name__ != "__init__":
        names += [name[2:] for name in _names(function) if name.startswith("**")]
    elif any(name.startswith("**") for name in _names(function)):
        names += _with_shared(kind.__base__, kind.__base__.__init__)
    return dict.fromkeys(names)


def _names(function):
    return tuple(
        f"**{name}" if parameter.kind is inspect.Parameter.VAR_KEYWORD else name
        for name, parameter in inspect.signature(function).parameters.items()
    )
