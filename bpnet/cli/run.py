"""The options of ``bpnet train``, and what a finished run hands to its report."""

from __future__ import annotations

from typing import Any, NamedTuple

from bpnet.cli.plan import Choices, Plan
from bpnet.cli.results import Measured, Predictions
from bpnet.cli.split import Split
from bpnet.diagnosis.report import Diagnosis


class Options(NamedTuple):
    """The options of the command; its help describes them."""

    data: str
    choices: Choices
    separator: str | None
    encoding: str | None
    sample: int | None
    stream: bool
    test_size: float
    preset: str
    epochs: float
    time_limit: float
    seed: int
    early_stopping: bool | None
    diagnose: bool
    backend: str | None
    out: str | None
    force: bool
    as_json: bool


class Run(NamedTuple):
    """A finished run, for the report.

    Attributes
    ----------
    options : Options
        Of the command.
    plan : Plan
        What was learned.
    split : Split
        The rows that were trained and tested on.
    model : estimator
        The fitted one.
    predictions : Predictions
        Of the test rows.
    results : list of Measured
        Its metrics.
    diagnosis : Diagnosis or None
        Of the training, if gradients were recorded.
    record : dict
        What the model file says about all that.
    """

    options: Options
    plan: Plan
    split: Split
    model: Any
    predictions: Predictions
    results: list[Measured]
    diagnosis: Diagnosis | None
    record: dict[str, Any]
