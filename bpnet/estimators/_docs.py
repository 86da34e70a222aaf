"""The documentation that the two estimators share."""

from __future__ import annotations

import inspect
from typing import TypeVar

Class = TypeVar("Class", bound=type)

_PARAMETERS = """
hidden_layer_sizes : int or array-like of int, default (100,)
    Units of each hidden layer.
activation : str, Activation or sequence of them, default "relu"
    "identity", "logistic" (or "sigmoid"), "tanh", "relu" or any other activation of
    :mod:`bpnet.activations`; a sequence has one for each hidden layer.
solver : {"lbfgs", "sgd", "adam"}, default "adam"
    How weights are found: L-BFGS of SciPy, gradient descent, or Adam.
alpha : float, default 0.0001
    Strength of the L2 penalty ``alpha / 2 * sum(W^2)``, which is divided by the batch's
    number of examples (the sum of their weights).
batch_size : int or "auto", default "auto"
    Examples in a step; "auto" is ``min(200, n_samples)``. Not for "lbfgs".
learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
    For "sgd": constant; ``learning_rate_init / (t + 1) ** power_t`` after t examples; or
    divided by 5 whenever training would end for want of improvement.
learning_rate_init : float, default 0.001
    The first learning rate. For "sgd" and "adam".
power_t : float, default 0.5
    The power of "invscaling".
max_iter : int, default 200
    Epochs at most; for "lbfgs" iterations.
shuffle : bool, default True
    Draw a new order of the examples in each epoch.
random_state : int, RandomState or None, default None
    For first weights, shuffles, validation split and dropout: the same numbers as
    scikit-learn draws, on every backend.
tol : float, default 0.0001
    What counts as improvement of loss or score; for "lbfgs" the gradient's limit.
verbose : bool or int, default False
    Print each epoch's loss.
warm_start : bool, default False
    Let `fit` go on from where it ended: weights, optimiser, learning rate, shuffles. Ten
    epochs and ten more equal twenty.
momentum : float, default 0.9
    For "sgd", from 0 to 1.
nesterovs_momentum : bool, default True
    Whether the momentum is Nesterov's.
early_stopping : bool, default False
    Hold out `validation_fraction` of the examples (of each class, with several classes too),
    end training when their score no longer improves, and restore the best weights.
validation_fraction : float, default 0.1
    Share of the examples to hold out.
beta_1, beta_2 : float, default 0.9 and 0.999
    Memory of Adam's two moments.
epsilon : float, default 1e-8
    Adam's divisor is at least this.
n_iter_no_change : int or inf, default 10
    Epochs without improvement that are borne.
max_fun : int, default 15000
    For "lbfgs": evaluations of the loss at most.
dropout : float or sequence of float, default 0.0
    Share of each hidden layer's activations that a training step drops.
clip_norm : float or None, default None
    Scale the gradients of a step so that their global 2-norm is at most this.
optimizer : bpnet optimizer or None, default None
    Any of :mod:`bpnet.optimizers`, with its own learning rate, instead of `solver`.
schedule : bpnet schedule or None, default None
    Any of :mod:`bpnet.schedules`, instead of `learning_rate` and `learning_rate_init`. Its
    time goes on in warm starts.
init : str, callable or None, default None
    How weights start, as in :class:`bpnet.Dense`; biases are then 0. None is scikit-learn's
    way, Glorot-uniform for weights and biases.
callbacks : Callback, sequence of Callback or None, default None
    Called as :class:`bpnet.Callback` describes; not a :class:`bpnet.Checkpoint`, which
    writes networks with losses of :mod:`bpnet.losses` only.
dtype : {"float32", "float64"} or None, default None
    Of weights and computations; None is that of X if it is float32, else float64.
backend : str, Backend or None, default None
    Where to compute, such as "cupy:0" or "torch:cuda:0". None is where X lives.
progress : bool, default False
    Show a progress bar (with tqdm).
"""

_ATTRIBUTES = """
coefs_, intercepts_ : list of array
    Weights W_l (n_{l-1}, n_l) and biases b_l (n_l,) of each layer: arrays of the kind that X
    was; a pickle has them as NumPy arrays.
loss_ : float
    Loss of the last epoch.
best_loss_ : float or None
    The smallest; None with early stopping.
loss_curve_ : list of float
    Loss of each epoch, while it ran, penalty included. Not for "lbfgs".
validation_scores_, validation_loss_curve_ : list of float or None
    Score and loss of the held-out examples after each epoch of early stopping.
best_validation_score_ : float or None
    The score of the weights that were restored.
n_iter_ : int
    Epochs (for "lbfgs" iterations) of the last call.
t_ : int
    Examples that training has seen.
n_layers_, n_outputs_ : int
    Number of layers, with that of the features; units of the last.
out_activation_ : str
    What turns the last layer's values into predictions.
n_features_in_ : int
    Number of features.
feature_names_in_ : array of str
    Their names, where X had names.
"""


def documented(cls: Class) -> Class:
    """Put the shared texts where a class's docstring says so."""
    text = inspect.getdoc(cls) or ""
    for mark, shared in (("<parameters>", _PARAMETERS), ("<attributes>", _ATTRIBUTES)):
        text = text.replace(mark, shared.strip())
    cls.__doc__ = text
    return cls
