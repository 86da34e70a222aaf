"""The network: layers, a loss and parameters on a backend."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from bpnet import optimizers
from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_warnings
from bpnet.common.attributes import OF_NETWORKS, missing
from bpnet.common.checks import check_flag, check_path, kind_of
from bpnet.common.history import History
from bpnet.common.keywords import methods_explain_keywords
from bpnet.model.predictor import Predictor
from bpnet.optimizers import Optimizer
from bpnet.serialization.portable import PortableModel

if TYPE_CHECKING:  # the methods import these lazily, to keep `import bpnet` light
    from bpnet.distributed import Communicator
    from bpnet.metrics.base import Metric
    from bpnet.training.continuation import LastRun
    from bpnet.training.loop import Callback


@methods_explain_keywords
class Network(Predictor, PortableModel):
    """A feed-forward network trained by backpropagation.

    The weights are initialized by :meth:`build` or when the network first sees data; if that is
    to predict, a warning says that they are random. While :meth:`fit` trains the network, other
    threads may use it, and see a copy of the weights between two steps; another fit is refused.

    The parameters live on the backend where the network was last trained. Host arrays are
    processed there too, arrays of another library where they live; results are returned as the
    same array type as the input. A deep copy stays on the backend; pickling stores host
    (NumPy) arrays, which unpickle to the default backend (:func:`bpnet.get_backend`). Data
    frames of numbers and bools are host data; their columns are known by :attr:`feature_names`.

    Parameters
    ----------
    layers : sequence of Layer
        From the first hidden layer to the output. The last is a :class:`Dense`, which must be
        linear if the loss has its own link function: sigmoid for binary cross-entropy, softmax
        for categorical cross-entropy, exponential for Poisson.
    loss : str or Loss
        "binary_crossentropy" or "bce", "categorical_crossentropy" or "cce",
        "mean_squared_error" or "mse", "mean_absolute_error" or "mae", "huber", "quantile" or
        "pinball", "poisson", or an instance of :class:`bpnet.losses.Loss`.
    seed : int or None, default None
        Seed >= 0 for weights, shuffling and dropout masks, which are identical on every
        backend. None draws a seed, stored as `seed`.
    dtype : {"float32", "float64"}, default "float32"
        Dtype of the parameters and of all computations.

    Attributes
    ----------
    steps_taken, epochs_taken : int
        Training steps and epochs since the weights were initialized; dropout masks and
        shuffling are seeded by these counters.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_spiral(200, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(16, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, optimizer=bpnet.Adam(0.01), epochs=3)
    >>> net.predict(X).shape
    (200,)
    """

    # What warm starts continue, and `save` writes if the weights are still the same.
    _last_run: LastRun | None = None
    _NOT_COPIED: ClassVar[dict[str, Any]] = PortableModel._NOT_COPIED | {"_last_run": None}

    if not TYPE_CHECKING:  # mypy would accept any attribute

        def __getattr__(self, name: str) -> Any:
            """Say what an attribute of another library's models is called here."""
            raise missing(self, name, OF_NETWORKS)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        optimizer: str | Optimizer | None = None,
        epochs: int = 100,
        batch_size: int | None = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        stratify: bool = False,
        metrics: str | Metric | Iterable[str | Metric] | None = None,
        training_metrics: bool = False,
        callbacks: Iterable[Callback] = (),
        backend: str | Backend | None = None,
        progress: bool = False,
        warm_start: bool = False,
        resume_from: str | os.PathLike[str] | None = None,
        on_nonfinite: str = "raise",
        run_eagerly: bool = False,
        communicator: str | Communicator | None = "auto",
    ) -> History:
        """Train by gradient descent, starting from the current weights.

        Shuffling and dropout masks continue where the last call ended, so repeated calls with
        ``epochs=1`` see the same order as one longer call. All arguments are checked before
        anything changes. Ctrl-C stops training after the current step: the network remains
        usable and the history is returned. A second Ctrl-C raises KeyboardInterrupt after a
        step, a third at once; the network then has the weights of the last good epoch.

        Parameters
        ----------
        X : array or data frame (m, n_0), stream, iterable of batches, or Loader
            Finite features. A stream (:class:`bpnet.streams.Source`) has the targets and
            weights, too, and is read block by block; arrays of HDF5 or Zarr larger than 64 MiB
            become one, and so do dask's arrays and frames. An iterable of (X, y) or (X, y,
            weights), such as a torch DataLoader, and a :class:`bpnet.Loader` yield the batches:
            y, batch_size, shuffle, sample_weight, validation_split, stratify keep their
            defaults.
        y : array (m,) or (m, n_L)
            Targets: labels 0, 1, ... for cross-entropies (or rows of probabilities).
        optimizer : str, Optimizer or None
            "sgd", "adagrad", "rmsprop", "adam" (as for None) or "adamw" with its defaults, or
            such as ``SGD(0.1, momentum=0.9)``. Its state is initialized in each call without
            `warm_start`.
        epochs : int, default 100
            Number of passes over the examples.
        batch_size : int or None, default 32
            Examples per step; None, or more than m, uses all. The last batch may be smaller.
        shuffle : bool, default True
            Shuffle the examples in each epoch; those of a stream as
            :func:`bpnet.streams.row_order` says.
        sample_weight : array (m,) or None
            Weights >= 0 of the examples.
        validation_data : tuple (X, y) or (X, y, sample_weight), stream, iterable, or None
            Examples to evaluate after each epoch, block by block if they are a stream.
        validation_split : float, default 0.0
            Fraction of the examples to hold out at random instead, among those of weight > 0.
        stratify : bool, default False
            Hold out the same proportion of each class (of single classes, not of labels).
        metrics : str, Metric, iterable of both, or None
            As in :meth:`evaluate`, of the validation examples: ``"val_..."`` in the history.
        training_metrics : bool, default False
            Evaluate the metrics on the training examples too, in another pass with the weights
            at the end of each epoch; "loss" remains the mean during the epoch.
        callbacks : iterable of Callback
            See :class:`bpnet.Callback`.
        backend : str, Backend or None
            Where to train and leave the parameters. None is the first there is: that of the
            arrays, a `use_backend` block, the parameters, ``BPNET_BACKEND``, NumPy.
        progress : bool, default False
            Show a progress bar (with tqdm) if stderr is a terminal.
        warm_start : bool, default False
            Continue the last call of fit or partial_fit: keep the state of its optimizer and
            the time of its schedules, so that ten calls with ``epochs=1`` equal one with
            ``epochs=10`` (without callbacks). The optimizer may be omitted; another one of the
            same kind, such as with a new learning rate, keeps the state, too. Files and copies
            have no last call; see `resume_from`.
        resume_from : path or None
            A file written by :class:`bpnet.Checkpoint`. Training continues, up to `epochs` in
            total, as if it had never stopped: bit for bit if the other arguments are the same.
            The optimizer may be omitted.
        on_nonfinite : {"raise", "restore", "ignore"}, default "raise"
            What to do at the end of an epoch, or on Ctrl-C, if the loss, weights or optimizer
            state are no longer finite. "raise" and "restore" stop training, restore the weights
            of the last good epoch and report where the problem began: "raise" in an error,
            "restore" in ``history.stopped``; NumPy does not warn then. Both keep a copy of
            weights and optimizer state on the device. "ignore" keeps no copy, checks nothing
            and continues; on JAX the weights may then be lost at a third Ctrl-C, or if memory
            runs out, which it reports too late.
        run_eagerly : bool, default False
            Run each operation of a step as written, with nothing compiled, fused or replayed:
            slower, but arrays are visible to a debugger or print. As in Keras.
        communicator : "auto", Communicator or None, default "auto"
            The processes that train together (:mod:`bpnet.distributed`). "auto" is all that a
            launcher of MPI has started, such as ``mpiexec -n 4 python train.py``: each takes
            its part of every batch, and all have the result of a single process. None trains
            in this process alone.

        Returns
        -------
        History
            The metrics of each epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid or differs from the run to resume; the network is left
            unchanged.
        bpnet.ModelFileError
            If `resume_from` is not an intact checkpoint.
        ComponentError
            If a loader yields other batches than it announced, or invalid ones; the network has
            the weights of the last good epoch (except with ``on_nonfinite="ignore"``).
        NonFiniteError
            If training produced a NaN or an infinity; its ``history`` has the metrics so far.
        OutOfMemoryError
            If memory ran out; the network has the weights of the last good epoch, as after any
            error within a step.
        RuntimeError
            If another call of ``fit`` is training the network.
        """
        from bpnet.callbacks.progress import with_progress
        from bpnet.data.loader import Shuffled, in_order
        from bpnet.serialization.training_state import Resumption
        from bpnet.training.continuation import LastRun, continued
        from bpnet.training.examples import examples_of
        from bpnet.training.loop import Training
        from bpnet.training.together import connected

        self.check_idle("fit")
        group = connected(self, communicator)
        rule = None if optimizer is None else optimizers.get(optimizer)
        last = self._last_run if check_flag("warm_start", warm_start) else None
        if warm_start and resume_from is not None:
            raise ValueError("pass either warm_start=True or resume_from, not both")
        resumed = None if resume_from is None else Resumption(self, resume_from, rule)
        state = resumed.state if resumed else continued(self, last, rule)
        shuffle = check_flag("shuffle", shuffle)
        data, validation, names = examples_of(
            self, X, y=y, sample_weight=sample_weight, batch_size=batch_size, shuffle=shuffle,
            validation_data=validation_data, validation_split=validation_split,
            stratify=stratify, feature_names=resumed.network.feature_names if resumed else None,
        )  # fmt: skip
        training = Training(
            self, data,
            validation=validation, metrics=metrics, training_metrics=training_metrics,
            epochs=epochs, batch_size=batch_size, on_nonfinite=on_nonfinite,
            order=Shuffled(self.seed) if shuffle else in_order,
            shuffle=shuffle, callbacks=with_progress(callbacks, progress), backend=backend,
            state=state, run_eagerly=run_eagerly, communicator=group,
        )  # fmt: skip
        if resumed:
            resumed.apply_to(training)
        training.callbacks.append(names)
        is_complete = False
        try:
            with without_float_warnings(on_nonfinite != "ignore"):
                history = training.run()
            is_complete = training.is_resumable
            return history
        finally:
            if self.is_built:
                self._last_run = LastRun(state, self.placement, is_complete)

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        optimizer: str | Optimizer | None = None,
        batch_size: int | None = 32,
        shuffle: bool = True,
        backend: str | Backend | None = None,
        on_nonfinite: str = "raise",
    ) -> History:
        """Train for one epoch on these examples, continuing the last call.

        For examples that arrive in parts: each part is an epoch for schedules and shuffling.
        Equal to ``fit(..., epochs=1, warm_start=True)``, whose parameters, results and errors
        these are.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
        >>> for part in range(3):
        ...     X, y = bpnet.datasets.make_moons(200, seed=part)
        ...     history = net.partial_fit(X, y, optimizer=bpnet.Adam(0.01))
        >>> net.epochs_taken, net.steps_taken
        (3, 21)
        """
        return self.fit(
            X, y,
            sample_weight=sample_weight, optimizer=optimizer, batch_size=batch_size,
            shuffle=shuffle, backend=backend, on_nonfinite=on_nonfinite,
            epochs=1, warm_start=True,
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and weights to a file, for :func:`bpnet.load`.

        If the weights are still those of the last epoch of :meth:`fit`, the file also holds the
        training state, and ``fit(resume_from=path)`` continues from there. The file is in
        safetensors format, contains no code and is written atomically: after an error or a
        crash, the previous file is intact. Requires safetensors.

        Parameters
        ----------
        path : path
            Output file; by convention it ends in ".safetensors".

        Raises
        ------
        ValueError
            If the network has no weights yet, or more than 5,000 layers.
        TypeError
            If a layer, activation, loss or initializer cannot describe itself
            (:meth:`bpnet.Layer.config`).
        OSError
            If the file cannot be written.

        See Also
        --------
        bpnet.Checkpoint : Writes such a file while the network trains.
        """
        from bpnet.serialization import training_state
        from bpnet.serialization.safetensors_file import encode, write

        path = check_path("path", path)
        state, last = None, self._last_run
        if last and last.is_complete and last.placement is self.placement:
            state = last.state if training_state.is_describable(last.state) else None
        write(path, encode(*training_state.contents(self, state)))


def check_network(net: Any) -> Network:
    """Return `net` if it is a network; raise TypeError otherwise."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a bpnet Network, got {kind_of(net)}")
    return net
