"""MLflow: the metrics of each epoch in a run of an experiment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from bpnet.callbacks.tracking import Tracker, hyperparameters
from bpnet.common.checks import check_path, check_text
from bpnet.common.keywords import explains_keywords
from bpnet.training.loop import Training


class MLflowLogger(Tracker):
    """Log the metrics of each epoch, and once the hyperparameters, to a new run of MLflow.

    The step is the epoch. The run ends as FINISHED, KILLED by Ctrl-C or FAILED by an error. It
    is not MLflow's active run, so that several can be logged at a time, and no global state of
    MLflow changes.

    A checkpoint holds the run, and ``resume_from`` continues it: an epoch that it has is not
    logged again. Values that are NaN or infinite are logged as such.

    Parameters
    ----------
    experiment : str, default "Default"
        The name of the experiment, created if it does not exist.
    run_name : str or None, default None
        The name of the run; None lets MLflow choose one.
    tracking_uri : str, path or None, default None
        Where the runs are: the address of a server, a database such as "sqlite:///mlflow.db",
        or a folder. None is what MLflow is set to: ``mlflow.set_tracking_uri``,
        ``MLFLOW_TRACKING_URI``, or its default.

    Attributes
    ----------
    run_id : str or None
        The run, from the first epoch on.

    Raises
    ------
    ImportError
        If MLflow is not installed; mlflow-skinny suffices for a server or a folder.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_spiral(100, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)], "bce", seed=0)
    >>> where = "sqlite:///mlflow.db"
    >>> logger = bpnet.MLflowLogger("spirals", tracking_uri=where)  # doctest: +SKIP
    >>> history = net.fit(X, y, callbacks=[logger])  # doctest: +SKIP
    """

    @explains_keywords
    def __init__(
        self,
        experiment: str = "Default",
        *,
        run_name: str | None = None,
        tracking_uri: str | os.PathLike[str] | None = None,
    ) -> None:
        self.experiment = check_text("experiment", experiment)
        self.run_name = None if run_name is None else check_text("run_name", run_name)
        if tracking_uri is not None:
            tracking_uri = check_path("tracking_uri", tracking_uri)
        self.tracking_uri = tracking_uri
        self.run_id: str | None = None
        _import()

    def on_train_begin(self, training: Training) -> None:
        """Forget the previous run."""
        super().on_train_begin(training)
        self.run_id = None

    def begin(self, training: Training) -> int:
        """Create the run, or continue that of the checkpoint."""
        mlflow = _import()
        self._client = client = mlflow.MlflowClient(tracking_uri=self.tracking_uri)
        if self.run_id is not None:
            client.update_run(self.run_id, status="RUNNING")
            logged = client.get_metric_history(self.run_id, "loss")
            return max((metric.step for metric in logged), default=0)
        found = client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.experiment)
        self.run_id = client.create_run(experiment, run_name=self.run_name).info.run_id
        params = [
            mlflow.entities.Param(name, value if isinstance(value, str) else json.dumps(value))
            for name, value in hyperparameters(training).items()
        ]
        client.log_batch(self.run_id, params=params)
        return 0

    def write(self, epoch: int, metrics: dict[str, float]) -> None:
        """Log the metrics of an epoch."""
        now, mlflow = int(1000 * time.time()), _import()
        entries = [mlflow.entities.Metric(k, v, now, epoch) for k, v in metrics.items()]
        self._client.log_batch(self.run_id, metrics=entries)

    def end(self, training: Training, is_complete: bool) -> None:
        """End the run."""
        status = "FINISHED" if is_complete else "FAILED"
        if training.history.stopped == "interrupted":
            status = "KILLED"
        self._client.set_terminated(self.run_id, status)

    def state(self) -> dict[str, Any]:
        """Return the run."""
        return {} if self.run_id is None else {"run_id": self.run_id}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Continue the run."""
        self.run_id = check_text("run_id", state["run_id"])


def _import() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise ImportError(
            "MLflowLogger needs mlflow; install it with: pip install mlflow"
        ) from error
    return mlflow
