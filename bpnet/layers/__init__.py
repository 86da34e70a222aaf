"""Layers: the forward pass of activations and the backward pass of errors.

The layer interface
-------------------
A layer is a frozen :class:`bpnet.common.component.Component` and holds no arrays. Its
parameters are a dict of arrays that the caller keeps and passes in, so that a training step
stays a pure function.

``n_outputs(n_inputs)``
    the width of the output; raises if the width of the input does not fit;
``initial_parameters(rng, n_inputs)``
    the initial parameters as NumPy arrays in float64, {} if there are none;
``parameter_shapes(n_inputs)``
    their shapes, by default those of `initial_parameters`;
``forward(xp, parameters, a_previous, context)``
    returns ``(a, cache)``: the activations (m, n_out), and what the backward pass needs;
``backward(xp, parameters, cache, error, propagate)``
    takes ``error = dL/da`` (m, n_out) and returns ``(dL/da_previous, gradients)``, with
    gradients in the structure of the parameters; dL/da_previous may be None if `propagate`
    is false;
``penalty(xp, parameters)`` and ``penalty_gradients(xp, parameters)``
    the regularization term of the loss, or None, and its gradients, or {}.

All computations use Array API operations of the namespace `xp`, preserve dtype and device, and
do not modify their inputs. What a layer of your own returns is checked.

An attribute that is a :class:`bpnet.schedules.Schedule` changes during training: its value in
the current step is ``context.values[name]``, a 0-d array.
"""

from bpnet.layers.base import Context, Layer
from bpnet.layers.dense import Dense
from bpnet.layers.dropout import Dropout
from bpnet.layers.embedding import Embedding
from bpnet.layers.parametric import ParametricActivation
from bpnet.layers.periodic import PeriodicEmbedding
from bpnet.layers.scale import Scale

__all__ = [
    "Context",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "ParametricActivation",
    "PeriodicEmbedding",
    "Scale",
]
