"""The commands ``bpnet info`` and ``bpnet diagnose``: what a model file says."""

from __future__ import annotations

from typing import Any

from bpnet.cli.failures import UserError
from bpnet.cli.model_file import Loaded, read
from bpnet.cli.output import Output, number
from bpnet.cli.results import Measured, rows_of
from bpnet.common.plurals import number_of
from bpnet.diagnosis.report import Diagnosis, diagnose
from bpnet.estimators import MLPClassifier, MLPRegressor, TabularRegressor
from bpnet.estimators.tabular.targets import UNITS
from bpnet.interchange import from_sklearn
from bpnet.network import Network


def info(path: str, as_json: bool) -> int:
    """Print a saved model: its network, columns and training; return the exit status."""
    output, loaded = Output(as_json), read(path)
    network = _network(loaded.model)
    output.table(_head(path, loaded))
    output.say(f"\n{network.summary()}")
    record = loaded.record
    if record.get("columns"):
        output.say()
        output.table(
            [
                ("column", "kind", "gaps", "different values"),
                *((c["name"], c["kind"], f"{c['missing']:,}", f"{c['distinct']:,}")
                  for c in record["columns"]),
            ]
        )  # fmt: skip
    elif loaded.features:
        output.say(f"\ncolumns: {', '.join(loaded.features)}")
    if record.get("test"):
        output.say()
        output.table(rows_of([Measured(**one) for one in record["test"]]))
    output.document(
        {"class": type(loaded.model).__name__, "parameters": network.n_parameters,
         "layers": [repr(layer) for layer in network.layers], "columns": loaded.features,
         "record": record}
    )  # fmt: skip
    return 0


def _network(model: Any) -> Network:
    """Return the network of an estimator, or the network itself."""
    if isinstance(model, MLPClassifier | MLPRegressor):
        return from_sklearn(model)
    network: Network = getattr(model, "network_", model)
    return network


def _head(path: str, loaded: Loaded) -> list[tuple[str, str]]:
    """Return what is known of a model as a whole."""
    model, record = loaded.model, loaded.record
    rows = [("file", path), ("model", type(model).__name__)]
    if loaded.target:
        rows.append(("target", f"{loaded.target} ({record.get('task', 'unknown task')})"))
    if loaded.is_classifier:
        labels = list(map(str, model.classes_.tolist()))
        shown = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
        rows.append(("classes", f"{len(labels)}: {shown}"))
    rows += _training(model, record)
    for left_out in record.get("left_out", ()):
        rows.append(("left out", f"{left_out['name']}: {left_out['reason']}"))
    if record.get("command"):
        rows += [("command", record["command"]), ("created", str(record.get("created")))]
    return rows


def _training(model: Any, record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how long a model was trained, and the metrics of the epoch that was kept."""
    history: Any = getattr(model, "history_", None)
    if history is None or not hasattr(history, "epochs"):
        return []
    seconds = record["training"]["seconds"] if "training" in record else history.seconds
    kept = history.best_epoch or history.epochs
    metrics = {name: values[kept - 1] for name, values in history.items()}
    shown = ", ".join(
        f"{name} {number(value)}"
        for name, value in getattr(model, "metrics_", metrics).items()
        if "/" not in name and name != "data_loss"  # of a sample, for the diagnosis
    )
    if isinstance(model, TabularRegressor):
        shown += f", of {UNITS}"
    return [
        ("trained", f"{number_of(history.epochs, 'epoch')} in {seconds:.1f} s"),
        (f"{'best' if history.best_epoch else 'last'} epoch", f"{kept}: {shown}"),
    ]


def described(found: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as the record of a model holds it."""
    return {"name": found.name, "text": str(found)}


def diagnosis(path: str, as_json: bool) -> int:
    """Print what was wrong with a model's training; the exit status is 1 if something was.

    Raises
    ------
    UserError
        If the file does not hold what a diagnosis needs.
    """
    output, loaded = Output(as_json), read(path)
    found = loaded.record.get("diagnosis")
    history: Any = getattr(loaded.model, "history_", None)
    if found is None and getattr(history, "facts", None) is not None:
        found = described(diagnose(history))
    if not isinstance(found, dict):
        command = loaded.record.get("command")
        how = command.replace(" --no-diagnose", "") if command else (
            "in Python, pass callbacks=[bpnet.GradientFlow()], and the history to "
            "bpnet.diagnose"
        )  # fmt: skip
        raise UserError(
            f"{path!r} was trained without recording gradients, which a diagnosis needs; "
            f"train again: {how}"
        )
    output.say(str(found.get("text")))
    output.document(found)
    return 0 if found.get("name") == "healthy" else 1
