"""A network: layers, a loss, and the parameters, on some backend."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from bpnet import backprop, inference
from bpnet.backend import Backend
from bpnet.backend.transfer import to_input_type
from bpnet.backend.typing import Array, Parameters
from bpnet.common.checks import check_flag, check_path, kind_of
from bpnet.common.history import History
from bpnet.model.model import Model
from bpnet.model.summary import summary
from bpnet.optimizers import Adam, Optimizer
from bpnet.random import generator

if TYPE_CHECKING:  # the methods import these when they need them: `import bpnet` stays light
    from bpnet.model.trace import Trace
    from bpnet.serialization.training_state import FinishedRun
    from bpnet.training.loop import Callback


class Network(Model):
    """A feed-forward network trained by backpropagation.

    The network is built, that is its weights are drawn, by :meth:`build` or when it first
    sees data. Its parameters live on the backend where it was last trained; host arrays are
    computed there too, and arrays of another library where they live. Results are of the
    kind of array that went in. A deep copy stays on the backend; a pickle holds arrays of the
    host and opens on the default backend (:func:`bpnet.get_backend`).

    Parameters
    ----------
    layers : sequence of Layer
        From the first hidden layer to the output. The last is a :class:`Dense`, linear
        wherever the loss owns a link: binary cross-entropy the sigmoid, categorical
        cross-entropy the softmax, Poisson the exponential.
    loss : str or Loss
        "binary_crossentropy", "categorical_crossentropy", "mean_squared_error",
        "mean_absolute_error", "huber", "poisson", or an instance of
        :class:`bpnet.losses.Loss`.
    seed : int or None, default None
        Seed >= 0 of weights, shuffles and masks, which are then the same on every backend.
        None draws one, kept as `seed`.
    dtype : {"float32", "float64"}, default "float32"
        Type of parameters and of all computations.

    Attributes
    ----------
    steps_taken, epochs_taken : int
        How often it was trained since its weights were drawn: masks and shuffles are drawn
        for these numbers.

    Raises
    ------
    ValueError, TypeError
        If a parameter is not allowed.

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

    # The state of the last training run, which `save` writes if the weights are still its own.
    _finished: FinishedRun | None = None
    _NOT_COPIED: ClassVar[dict[str, Any]] = Model._NOT_COPIED | {"_finished": None}

    # --- the passes -----------------------------------------------------------------------

    def forward(self, X: Any, *, backend: str | Backend | None = None) -> Array:
        """Compute the logits z_L, shape (m, n_L): what the link of the loss is applied to.

        Parameters
        ----------
        X : array (m, n_0)
            Finite features.
        backend : str, Backend or None
            Where to compute; None as described above.

        Raises
        ------
        ValueError, TypeError
            If X is not allowed; the network is then unchanged.
        """
        return self._infer(inference.logits, X, backend)

    def predict_proba(self, X: Any, *, backend: str | Backend | None = None) -> Array:
        """Compute the probability of each class, shape (m, n_classes), rows summing to 1.

        With a single output the columns are P(0) and P(1). With several outputs and binary
        cross-entropy, column k is the probability that label k is set.

        Raises
        ------
        ValueError
            If the loss is not one of classification, or X is not allowed.
        """
        if not self.is_classifier:
            raise ValueError(
                f"predict_proba needs the loss binary_crossentropy or "
                f"categorical_crossentropy; this network's is {self.loss.name!r}"
            )
        return self._infer(inference.probabilities, X, backend)

    def predict(self, X: Any, *, backend: str | Backend | None = None) -> Array:
        """Predict: classes for a classification loss, else the expected targets.

        Returns
        -------
        array
            Classes 0, 1, ... as int64, shape (m,); or with several outputs and binary
            cross-entropy 0 or 1 for each label, (m, n_L). For regression (m,) with one
            output, else (m, n_L).
        """
        return self._infer(inference.predictions, X, backend)

    def evaluate(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        backend: str | Backend | None = None,
    ) -> dict[str, float]:
        """Measure the network on labelled examples; dropout is inactive.

        Returns
        -------
        dict of str to float
            "loss", the weighted mean with penalties, as training minimises it; for
            classification also "accuracy", the weighted share of examples of which every
            label is right.
        """
        data = self.check_data(X, y, sample_weight)
        backend = self.choose_backend(backend, data.owner)
        parameters = self.parameters_on(backend, data.X)
        return self.evaluate_data(backend, parameters, data)

    def loss_and_gradients(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        backend: str | Backend | None = None,
    ) -> tuple[float, Parameters]:
        """Compute the loss and its gradients by backpropagation; dropout is inactive.

        Parameters
        ----------
        X : array (m, n_0)
            Features.
        y : array (m,) or (m, n_L)
            Targets.
        sample_weight : array (m,) or None
            Weights >= 0; the loss is their weighted mean.
        backend : str, Backend or None
            Where to compute.

        Returns
        -------
        loss : float
            Mean loss with penalties.
        gradients : list of dict of str to array
            dL/dW and dL/db in the structure of :attr:`parameters`.
        """
        data = self.check_data(X, y, sample_weight)
        backend = self.choose_backend(backend, data.owner)
        parameters = self.parameters_on(backend, data.X)
        compute = self.compiled(backend, backprop.loss_and_gradients)
        with backend.activate():
            loss, gradients = compute(parameters, *data.arrays_on(backend))
            return float(loss), [
                {name: to_input_type(g, backend, data.owner) for name, g in layer.items()}
                for layer in gradients
                if layer
            ]

    def trace(self, X: Any, y: Any, *, backend: str | Backend | None = None) -> Trace:
        """Note every z, a, delta, dW and db of one pass; prints as a table.

        The layers' own forward and backward run, once, as in :meth:`loss_and_gradients`;
        each quantity comes with its equation and the line of bpnet that computes it.

        Parameters
        ----------
        X : array (m, n_0) or (n_0,)
            Features of some examples, or of one.
        y : array (m,) or (m, n_L); for one example also a number or (n_L,)
            Targets.
        backend : str, Backend or None
            Where to compute.

        Returns
        -------
        Trace
            A mapping of names, such as "delta1", to arrays; ``print`` it.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(1)], loss="mean_squared_error", seed=0).build(2)
        >>> trace = net.trace([1.0, 2.0], 3.0)
        >>> list(trace)
        ['z1', 'a1', 'loss', 'dl/da1', 'delta1', 'dW1', 'db1']
        >>> trace.entries[5].equation, trace.entries[5].line.text
        ('dW1 = X^T delta1', 'xp.matmul(a_previous.T, delta)')
        """
        from bpnet.model.trace import trace

        return trace(self, X, y, backend)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        optimizer: Optimizer | None = None,
        epochs: int = 100,
        batch_size: int | None = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        callbacks: Iterable[Callback] = (),
        backend: str | Backend | None = None,
        progress: bool = False,
        resume_from: str | os.PathLike[str] | None = None,
        on_nonfinite: str = "raise",
        run_eagerly: bool = False,
    ) -> History:
        """Train by gradient descent; the network keeps what it has learnt so far.

        Shuffles and dropout masks go on where the last call has ended, so calls for one epoch
        each see the orders that a single call for all of them would.
        Everything is checked before anything changes. Ctrl-C ends training after the step
        under way: the network is usable and the history is returned.

        Parameters
        ----------
        X : array (m, n_0)
            Finite features.
        y : array (m,) or (m, n_L)
            Targets: labels 0, 1, ... for cross-entropies (or rows of probabilities).
        optimizer : Optimizer or None
            None is ``Adam(0.001)``. Its slots start from 0 in each call.
        epochs : int, default 100
            Passes over the examples.
        batch_size : int or None, default 32
            Examples in a step; None takes all of them, and more than m is m. A last,
            smaller batch is used too.
        shuffle : bool, default True
            Draw a new order of the examples in each epoch.
        sample_weight : array (m,) or None
            Weights >= 0 of the examples.
        validation_data : tuple (X, y) or (X, y, sample_weight) or None
            Examples to evaluate after each epoch.
        validation_split : float, default 0.0
            Share of the examples, drawn at random, to hold out for that instead.
        callbacks : iterable of Callback
            Called as :class:`bpnet.Callback` describes.
        backend : str, Backend or None
            Where to train; None takes the backend of the arrays passed in, else a
            `use_backend` block, else where the parameters live, else ``BPNET_BACKEND``,
            else NumPy. The parameters stay there.
        progress : bool, default False
            Show a progress bar (with tqdm) if stderr is a terminal.
        resume_from : path or None
            A file of :class:`bpnet.Checkpoint`: its training goes on, up to `epochs` in all,
            as if it had never stopped; with the same other arguments, bit for bit. The
            optimiser may be left out.
        on_nonfinite : {"raise", "restore", "ignore"}, default "raise"
            What to do at the end of an epoch in which loss, weights or the optimiser's slots
            have ceased to be finite, or where Ctrl-C ends it. "raise" and "restore" end
            training, go back to the weights of the last good epoch and name where it began:
            "raise" in an error, "restore" in ``history.stopped``. Both keep a copy of weights
            and slots on the device. "ignore" keeps none, looks at nothing and trains on; if
            memory then runs out, the weights may be lost on JAX, which notices it too late.
        run_eagerly : bool, default False
            Run each operation of a step as it is written, with nothing compiled, fused or
            replayed: slower, but a debugger or a print sees the arrays. As in Keras.

        Returns
        -------
        History
            The figures of each epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument is not allowed, or is not that of the training to resume; the
            network is then unchanged.
        bpnet.ModelFileError
            If `resume_from` is no whole checkpoint.
        NonFiniteError
            If training met a NaN or an infinity; its ``history`` has the figures so far.
        OutOfMemoryError
            If memory did not suffice; the network has the weights of the last good epoch.
        """
        from bpnet.callbacks.progress import with_progress
        from bpnet.serialization.training_state import FinishedRun, Resumption
        from bpnet.training.loop import Training
        from bpnet.training.state import TrainingState
        from bpnet.training.validation_split import hold_out

        resumed = None if resume_from is None else Resumption(self, resume_from, optimizer)
        state = (
            resumed.state
            if resumed
            else TrainingState(
                Adam() if optimizer is None else optimizer, self.steps_taken, self.epochs_taken
            )
        )
        shuffle = check_flag("shuffle", shuffle)
        data, validation = hold_out(
            self, self.check_data(X, y, sample_weight), validation_data, validation_split
        )
        training = Training(
            self, data,
            validation=validation, epochs=epochs, batch_size=batch_size,
            order=self._shuffled if shuffle else _in_order, shuffle=shuffle,
            callbacks=with_progress(callbacks, progress), backend=backend, state=state,
            on_nonfinite=on_nonfinite, run_eagerly=run_eagerly,
        )  # fmt: skip
        if resumed:
            resumed.hand_over(training)
        history = training.run()
        self._finished = FinishedRun(training)
        return history

    def _shuffled(self, epoch: int, rows: int) -> Any:
        return generator(self.seed, "shuffle", epoch).permutation(rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and weights to a file, for :func:`bpnet.load`.

        If the weights are those that the last epoch of :meth:`fit` left, the state of that
        training is in it, too, and ``fit(resume_from=path)`` goes on from there. It is a
        safetensors file without any code, written whole or not at all: an error or a crash
        leaves the file before. Needs the package safetensors.

        Parameters
        ----------
        path : path
            Where to; by custom it ends in ".safetensors".

        Raises
        ------
        ValueError
            If the network has no weights yet.
        TypeError
            If a layer, activation, loss or initialiser is not bpnet's own.
        OSError
            If it cannot be written.

        See Also
        --------
        bpnet.Checkpoint : Writes such a file while the network trains.
        """
        from bpnet.serialization import training_state
        from bpnet.serialization.safetensors_file import encode, write

        path = check_path("path", path)
        write(path, encode(*training_state.contents(self, self._finished)))

    def summary(self) -> str:
        """Describe the layers in a table: shapes and numbers of parameters.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)],
        ...                     loss="binary_crossentropy", seed=0).build(2)
        >>> print(net.summary())
        layer                     output     parameters
        1  Dense(3, 'tanh')       (m, 3)     9  W (2, 3), b (3,)
        2  Dense(1, 'identity')   (m, 1)     4  W (3, 1), b (1,)
        loss binary_crossentropy, float32 on numpy:cpu, 13 parameters
        """
        return summary(self)


def check_network(net: Any) -> Network:
    """Give `net`, which must be a network."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a bpnet Network, got {kind_of(net)}")
    return net


def _in_order(epoch: int, rows: int) -> Any:
    return range(rows)


def clone(net: Network) -> Network:
    """Return a network of the same layers, loss, seed and weights; unbuilt if `net` is.

    Parameters are shared until one of the two trains, which copies before it writes.
    """
    other = Network(net.layers, net.loss, net.seed, net.dtype)
    if net.n_inputs is not None:
        other.build(net.n_inputs, net.backend)
        other.set_parameters(*net.placement)
    return other
