"""One network of a tabular estimator: how it is trained, and what it predicts."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_warnings
from bpnet.callbacks.progress import with_progress
from bpnet.common.history import History
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Shuffled
from bpnet.distributed import Communicator
from bpnet.estimators.tabular.architecture import layers_of, optimizer_of
from bpnet.estimators.tabular.callbacks import BestEpoch, Deadline, Report
from bpnet.estimators.tabular.examples import Examples
from bpnet.estimators.tabular.initialization import adapt_to_examples
from bpnet.estimators.tabular.preprocessing import Preprocessing, fit_preprocessing
from bpnet.estimators.tabular.presets import Settings
from bpnet.estimators.tabular.rows import InMemory, Streamed, part_of
from bpnet.estimators.tabular.table import Table
from bpnet.estimators.tabular.targets import (
    UNITS,
    ClippedRootMeanSquaredError,
    TargetScale,
    scale_of,
)
from bpnet.losses import Loss
from bpnet.metrics.base import Metric
from bpnet.network import Network
from bpnet.training.interrupt import INTERRUPTED
from bpnet.training.loop import Callback, Training
from bpnet.training.state import TrainingState

# Epochs after which the time of an epoch is known; compiling is part of the first.
_TRIAL = 2
# Steps of an epoch of the trial at most, so that it is short where an epoch is not.
_TRIAL_STEPS = 8
# Share of the time that is left for which epochs are planned: the rest is for what takes longer
# than in the trial, as the schedules end with the last epoch.
_PLANNED = 0.9


class Member(NamedTuple):
    """A trained network with the preprocessing of its inputs.

    Attributes
    ----------
    preprocessing : Preprocessing
        Fitted to the examples that the network was trained on.
    network : Network
        With the weights of the best epoch.
    history : History
        The metrics of each epoch.
    scale : TargetScale or None
        The scale of the targets of a regression.
    planned : float or None
        The number of epochs that the schedules were made for; below 1, the share of the
        examples that were trained on once. None for a member of a file.
    """

    preprocessing: Preprocessing
    network: Network
    history: History
    scale: TargetScale | None
    planned: float | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C has ended training."""
        return self.history.stopped == INTERRUPTED

    def outputs(self, table: Table, backend: Backend | None) -> Any:
        """Return probabilities of classes or predictions (m, n_outputs), on the host."""
        X = self.preprocessing.transform(table, self.network.dtype)
        if self.scale is None:
            return self.network.predict_proba(X, backend=backend)
        return self.scale.predictions(np, self.network.forward(X, backend=backend))


class Inputs(NamedTuple):
    """What is fitted to the examples before a network is trained."""

    preprocessing: Preprocessing
    scale: TargetScale | None


class Plan(NamedTuple):
    """What all members of an ensemble have in common.

    Attributes
    ----------
    settings : Settings
        The preset and what the user has changed.
    loss : Loss
        The loss.
    metric : str or Metric
        What the best epoch is chosen by.
    n_outputs, batch_size : int
        Units of the last layer, and examples per step.
    n_epochs : float
        Epochs; below 1, the share of the examples to train on once.
    missing_indicator, progress, verbose : bool
        As in the estimators.
    callbacks : sequence of Callback
        The user's own.
    dtype : str
        Of the network.
    backend : Backend
        Where to train.
    communicator : Communicator
        The processes that train together.
    """

    settings: Settings
    loss: Loss
    metric: str | Metric
    n_outputs: int
    n_epochs: float
    batch_size: int
    missing_indicator: bool
    progress: bool
    verbose: bool
    callbacks: Sequence[Callback]
    dtype: str
    backend: Backend
    communicator: Communicator

    def train(
        self, training: Examples, validation: Examples | None, seed: int, seconds: float | None
    ) -> Member:
        """Return a network trained on some examples.

        Parameters
        ----------
        training, validation : Examples, Examples or None
            With validation examples, the network has the weights of its best epoch.
        seed : int
            Seeds the weights, the order of the examples and the dropout.
        seconds : float or None
            The time that it may take. The number of epochs, and so the schedules, are chosen
            by the time of a trial, which is part of it.
        """
        deadline = None if seconds is None else Deadline(time.perf_counter() + seconds)
        inputs = self.inputs_of(training)
        rows = InMemory(self.dataset(inputs, training))
        held_out = None if validation is None else self.dataset(inputs, validation)
        return self.train_on(inputs, rows, held_out, seed, deadline)

    def inputs_of(self, training: Examples) -> Inputs:
        """Return what is fitted to the examples to train on, or to a sample of them."""
        preprocessing = fit_preprocessing(
            training.table, self.settings.max_one_hot_size, self.missing_indicator
        )
        scale = None
        if training.y.ndim == 2:
            scale = scale_of(training.y, training.w, self.settings.clip_output)
        return Inputs(preprocessing, scale)

    def train_on(
        self, inputs: Inputs, data: InMemory | Streamed, validation: Dataset | None, seed: int,
        deadline: Deadline | None,
    ) -> Member:  # fmt: skip
        """Return a network trained on examples as it takes them, within the time."""
        epochs: float = self.n_epochs
        if deadline is not None and epochs > 1:
            trial, share = self._trial(inputs, data, validation, seed, deadline)
            if trial.is_interrupted:
                return trial._replace(planned=int(epochs))
            planned = self._affordable(deadline, share)
            epochs = min(epochs, planned if planned < 1.0 else int(planned))
            if planned < 1.0:
                n_rows = max(1, int(planned * data.n_rows))
                warnings.warn(
                    f"the time is too short for one epoch: trained on {n_rows:,} of the "
                    f"{data.n_rows:,} examples, each once", stacklevel=2,
                )  # fmt: skip
        if epochs < 1:
            data = data.part(epochs, seed)
        member = self._run(inputs, data, validation, seed, max(1, int(epochs)), deadline)
        return member._replace(planned=float(epochs) if epochs < 1 else int(epochs))

    def _trial(
        self, inputs: Inputs, data: InMemory | Streamed, validation: Dataset | None, seed: int,
        deadline: Deadline,
    ) -> tuple[Member, float]:  # fmt: skip
        """Return what a few epochs on some of the examples have trained, and their share."""
        some = InMemory(data.sample)
        rows = min(_TRIAL_STEPS * self.batch_size, some.n_rows)
        share = rows / data.n_rows
        if share < 1.0:
            some = some.part(rows / some.n_rows, seed)
            validation = None if validation is None else part_of(validation, share, seed)
        return self._run(inputs, some, validation, seed, _TRIAL, deadline, quiet=True), share

    def _affordable(self, deadline: Deadline, share: float) -> float:
        """Return how many epochs there is time for after a trial."""
        found = affordable(deadline.seconds, _PLANNED * deadline.left, share)
        return float(self.communicator.all_gather(found)[0])

    def _run(
        self, inputs: Inputs, data: InMemory | Streamed, validation: Dataset | None,
        seed: int, epochs: int, deadline: Deadline | None, *, quiet: bool = False,
    ) -> Member:  # fmt: skip
        settings, (preprocessing, scale) = self.settings, inputs
        layers = layers_of(settings, preprocessing, self.n_outputs, epochs)
        network = Network(layers, self.loss, seed, self.dtype).build(data.n_inputs, "numpy")
        if settings.init == "data":
            adapt_to_examples(network, data.sample.X)
        optimizer = optimizer_of(settings, epochs)
        rows = min(self.batch_size, data.n_rows)
        loader = data.loader(network, self.backend, rows, seed)
        metric = self._metric(scale)
        training = Training(
            network, loader,
            validation=validation, metrics=metric, epochs=epochs, batch_size=rows,
            order=Shuffled(seed), shuffle=True,
            callbacks=self._callbacks(
                metric if validation else None, deadline, "" if scale is None else UNITS, quiet
            ),
            backend=self.backend, state=TrainingState(optimizer, layers=network.layers),
            loss_weighting="rows",  # the batches of an epoch are not all examples
            on_nonfinite="restore", communicator=self.communicator,
        )  # fmt: skip
        try:
            with without_float_warnings():
                return Member(preprocessing, network, training.run(), scale)
        finally:
            loader._end_reading()

    def _metric(self, scale: TargetScale | None) -> str | Metric:
        """Return the metric, that of the predictions themselves if it is the default."""
        if self.metric == "rmse" and scale is not None and self.settings.clip_output:
            return ClippedRootMeanSquaredError(*scale.limits)
        return self.metric

    def _callbacks(
        self, metric: str | Metric | None, deadline: Deadline | None, units: str, quiet: bool
    ) -> list[Callback]:
        """Return the callbacks; `metric` is None without validation examples.

        `units` are those of the losses and metrics, "" if they need none.
        """
        own: list[Callback] = []  # first, as what they stop is seen by all others
        if metric is not None:
            name = metric if isinstance(metric, str) else metric.name
            own.append(BestEpoch(f"val_{name}", self.settings.early_stopping))
        if deadline is not None:
            own.append(deadline)
        if quiet:
            return own
        report = [Report(units)] if self.verbose else []
        return with_progress([*own, *self.callbacks, *report], self.progress, units)

    def dataset(self, inputs: Inputs, examples: Examples) -> Dataset:
        """Return examples as a network takes them, on the host."""
        X, y = inputs.preprocessing.transform(examples.table, self.dtype), examples.y
        if inputs.scale is not None:
            y = inputs.scale.standardized(y).astype(self.dtype)
        w = None if examples.w is None else examples.w.astype(self.dtype)
        return Dataset(X, y, w, None, self.dtype)


def affordable(trial: Sequence[float], left: float, share: float = 1.0) -> float:
    """Return how many epochs fit into the time that is left, at least that of the trial.

    The first epoch of a run takes longer, by as much as that of the trial: it compiles again.

    Parameters
    ----------
    trial : sequence of float
        The seconds of each epoch of the trial, fewer than `_TRIAL` if it was all spent.
    left : float
        Seconds.
    share : float, default 1.0
        The share of the examples that the trial was made with.
    """
    if len(trial) < _TRIAL:
        return share
    return max(share, share * (1.0 + (left - trial[0]) / trial[-1]))
