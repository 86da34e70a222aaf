"""The commands ``bpnet info`` and ``bpnet diagnose``: what a model file says."""

from __future__ import annotations

from typing import Any

from bpnet.cli.failures import UserError
from bpnet.cli.model_file import Loaded, read
from bpnet.cli.output import Output, number
from bpnet.cli.results import Measured, rows_of
from bpnet.diagnosis.report import Diagnosis, diagnose


def info(path: str, as_json: bool) -> int:
    """Print a saved model: its network, columns and training; return the exit status."""
    output, loaded = Output(as_json), read(path)
    network = getattr(loaded.model, "network_", loaded.model)
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
    history: Any = getattr(model, "history_", None)
    if history is not None and hasattr(history, "epochs"):
        last = ", ".join(
            f"{name} {number(value)}" for name, value in model.metrics_.items()
            if "/" not in name and name != "data_loss"  # of a sample, for the diagnosis
        )  # fmt: skip
        seconds = record["training"]["seconds"] if "training" in record else history.seconds
        rows.append(("trained", f"{history.epochs} epochs in {seconds:.1f} s"))
        rows.append(("best epoch", f"{model.best_epoch_}: {last}"))
    for left_out in record.get("left_out", ()):
        rows.append(("left out", f"{left_out['name']}: {left_out['reason']}"))
    if record.get("command"):
        rows += [("command", record["command"]), ("created", str(record.get("created")))]
    return rows


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
