"""What a model computes from examples: predictions, metrics, loss and gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bpnet import backprop, inference
from bpnet.backend import Backend
from bpnet.backend.transfer import to_input_type
from bpnet.backend.typing import Array, Parameters
from bpnet.common.keywords import methods_explain_keywords
from bpnet.data.dataset import Dataset
from bpnet.data.streams.recognize import as_source, refuse_streams
from bpnet.model.blockwise import examples_stream
from bpnet.model.model import Model

if TYPE_CHECKING:  # imported when they are used, to keep `import bpnet` light
    from bpnet.metrics.base import Metric
    from bpnet.model.trace import Trace


@methods_explain_keywords
class Predictor(Model):
    """A model with the public methods that leave its parameters alone."""

    def forward(self, X: Any, *, backend: str | Backend | None = None) -> Array:
        """Return the logits z_L, shape (m, n_L), before the link function of the loss.

        Parameters
        ----------
        X : array (m, n_0), stream, or iterable of batches
            Finite features; all but an array are read block by block, without targets.
        backend : str, Backend or None
            Where to compute; None as described above.

        Raises
        ------
        ValueError, TypeError
            If X is invalid; the network is left unchanged.
        """
        return self._infer(inference.logits, X, backend)

    def predict_proba(self, X: Any, *, backend: str | Backend | None = None) -> Array:
        """Return the probability of each class, shape (m, n_classes), rows summing to 1.

        With a single output the columns are P(0) and P(1). With several outputs and binary
        cross-entropy, column k is the probability that label k is set.

        Raises
        ------
        ValueError
            If the loss is not a classification loss, or X is invalid.
        """
        if not self.is_classifier:
            raise ValueError(
                f"predict_proba needs the loss binary_crossentropy or "
                f"categorical_crossentropy; the loss of this network is {self.loss.name!r}"
            )
        return self._infer(inference.probabilities, X, backend)

    def predict(self, X: Any, *, backend: str | Backend | None = None) -> Array:
        """Predict classes for a classification loss, otherwise the expected targets.

        Returns
        -------
        array
            For classification int64: classes 0, 1, ... of shape (m,), or with binary
            cross-entropy and several outputs 0 or 1 per label, shape (m, n_L). For regression
            shape (m,) with one output, otherwise (m, n_L).
        """
        return self._infer(inference.predictions, X, backend)

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        metrics: str | Metric | Iterable[str | Metric] | None = None,
        backend: str | Backend | None = None,
    ) -> dict[str, float]:
        """Evaluate the network on labeled examples; dropout is inactive.

        A stream in the place of X includes the targets and weights (:mod:`bpnet.streams`), and
        so does an iterable of batches. They are evaluated block by block.

        `metrics` are names or instances of :mod:`bpnet.metrics`, refused if they do not suit
        the loss. None is "accuracy" for classification, the weighted fraction of examples with
        every label correct, else no metric.

        Returns
        -------
        dict of str to float
            "loss", the weighted mean with penalties that training minimizes, and the metrics.
        """
        source = as_source(X, y, sample_weight)
        data = (
            self.check_data(X, y, sample_weight)
            if source is None
            else examples_stream(self, source)
        )
        backend = self.choose_backend(backend, data.owner)
        checked = self.check_metrics(
            metrics, lambda: data.y if isinstance(data, Dataset) else data.sample(2).y, backend
        )
        parameters = self.parameters_to_predict(backend, data.n_inputs, stacklevel=4)
        return self.evaluate_data(backend, parameters, data, checked)

    def loss_and_gradients(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        backend: str | Backend | None = None,
    ) -> tuple[float, Parameters]:
        """Return the loss and its gradients by backpropagation; dropout is inactive.

        Parameters
        ----------
        X, y, sample_weight, backend
            As in :meth:`fit`, but arrays only; the loss is the weighted mean. Of a loader,
            pass some examples: ``X, y = loader.sample(32)``.

        Returns
        -------
        loss : float
            With penalties.
        gradients : list of dict of str to array
            dL/dW and dL/db, structured like :attr:`parameters`, without what is not trained by
            gradients, such as running statistics.
        """
        refuse_streams(X, y)
        data = self.check_data(X, y, sample_weight)
        backend = self.choose_backend(backend, data.owner)
        parameters = self.parameters_on(backend, data.X)
        compute = self.compiled(backend, backprop.loss_and_gradients)
        with backend.activate():
            loss, gradients = compute(parameters, *data.arrays_on(backend))
            return float(loss), [
                {name: to_input_type(g, backend, data.owner) for name, g in layer.items()}
                for layer, p in zip(gradients, parameters, strict=True)
                if p
            ]

    def trace(self, X: Any, y: Any, *, backend: str | Backend | None = None) -> Trace:
        """Record every z, a, delta, dW and db of one forward and backward pass.

        The layers' own forward and backward run once, as in :meth:`loss_and_gradients`; each
        quantity comes with its equation and the line of bpnet that computes it.

        Parameters
        ----------
        X : array (m, n_0) or (n_0,)
            Features of several examples, or of one.
        y : array (m,) or (m, n_L); for one example also a number or (n_L,)
            Targets.
        backend : str, Backend or None
            Where to compute.

        Returns
        -------
        Trace
            A mapping of names, such as "delta1", to arrays; prints as a table.

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

    def summary(self) -> str:
        """Return a table of the layers with output shapes and parameter counts.

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
        from bpnet.model.summary import summary

        return summary(self)
