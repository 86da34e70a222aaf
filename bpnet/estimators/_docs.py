"""Documentation shared by the two estimators."""

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
    SciPy's L-BFGS, stochastic gradient descent, or Adam.
alpha : float, default 0.0001
    Strength of the L2 penalty ``alpha / 2 * sum(W^2)``, which is divided by the number of
    examples in the batch (the sum of their weights).
batch_size : int or "auto", default "auto"
    Examples per step; "auto" is ``min(200, n_samples)``. Not for "lbfgs".
learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
    For "sgd": constant; ``learning_rate_init / (t + 1) ** power_t`` after t examples; or
    divided by 5 whenever training would stop for lack of improvement.
learning_rate_init : float, default 0.001
    The initial learning rate. For "sgd" and "adam".
power_t : float, default 0.5
    The exponent of "invscaling".
max_iter : int, default 200
    Maximum number of epochs; for "lbfgs" of iterations.
shuffle : bool, default True
    Shuffle the examples in each epoch.
random_state : int, RandomState or None, default None
    Seeds initial weights, shuffling, validation split and dropout: the same random numbers as
    in scikit-learn, on every backend.
tol : float, default 0.0001
    Minimum improvement of loss or score; for "lbfgs" the gradient tolerance. It is absolute, as
    in scikit-learn, so scale regression targets to a variance near 1, for example with
    :class:`sklearn.compose.TransformedTargetRegressor`. One too coarse for them is a warning.
verbose : bool or int, default False
    Print the loss of each epoch.
warm_start : bool, default False
    Continue from the previous `fit`: weights, optimizer, learning rate and shuffling. Ten
    epochs and ten more equal twenty.
momentum : float, default 0.9
    For "sgd", from 0 to 1.
nesterovs_momentum : bool, default True
    Whether to use Nesterov's momentum.
early_stopping : bool, default False
    Hold out `validation_fraction` of the examples (stratified, also for several classes), stop
    when their score no longer improves, and restore the best weights. Examples of weight 0 are
    not held out. The `validation_data` of `fit` take their place.
validation_fraction : float, default 0.1
    Fraction of the examples to hold out.
beta_1, beta_2 : float, default 0.9 and 0.999
    Decay rates of Adam's two moments.
epsilon : float, default 1e-8
    Added to Adam's denominator.
n_iter_no_change : int or inf, default 10
    Epochs with no improvement before stopping.
max_fun : int, default 15000
    For "lbfgs": maximum number of loss evaluations.
dropout : float or sequence of float, default 0.0
    Fraction of each hidden layer's activations to drop in training.
clip_norm : float or None, default None
    Scale the gradients of a step so that their global 2-norm is at most this.
optimizer : bpnet optimizer or None, default None
    Any of :mod:`bpnet.optimizers`, with its own learning rate, instead of `solver`.
schedule : bpnet schedule or None, default None
    Any of :mod:`bpnet.schedules`, instead of `learning_rate` and `learning_rate_init`. Warm
    starts continue it.
init : str, callable or None, default None
    Weight initializer, as in :class:`bpnet.Dense`, with biases 0. None initializes weights and
    biases like scikit-learn, Glorot-uniform.
callbacks : Callback, sequence of Callback or None, default None
    See :class:`bpnet.Callback`. :class:`bpnet.Checkpoint` is not supported, because it only
    writes networks with losses of :mod:`bpnet.losses`.
dtype : {"float32", "float64"} or None, default None
    Dtype of weights and computations; None is float32 if X is, otherwise float64.
backend : str, Backend or None, default None
    Where to compute, such as "cupy:0" or "torch:cuda:0". None is where X lives.
progress : bool, default False
    Show a progress bar (with tqdm).
"""

_ATTRIBUTES = """
coefs_, intercepts_ : list of array
    Weights W_l (n_{l-1}, n_l) and biases b_l (n_l,) of each layer, of the same array type as X;
    NumPy arrays after pickling.
loss_ : float
    Loss of the last epoch; NaN or infinite only if early stopping restored other weights, or
    those of the last epoch are finite.
best_loss_ : float or None
    The smallest loss; None with early stopping.
loss_curve_ : list of float
    Training loss of each epoch, penalty included. Not for "lbfgs".
validation_scores_, validation_loss_curve_ : list of float or None
    Score and loss of the held-out examples after each epoch, with early stopping or
    `validation_data`; NaN for epochs without.
best_validation_score_ : float or None
    With early stopping, the score of the restored weights.
history_ : History
    The metrics of each epoch of the last call, for :func:`bpnet.plot.history`. Not for "lbfgs".
n_iter_ : int
    Epochs (for "lbfgs" iterations) of the last call.
t_ : int
    Number of examples seen in training.
n_layers_, n_outputs_ : int
    Number of layers, including the input; number of output units.
out_activation_ : str
    The output activation.
n_features_in_ : int
    Number of features.
feature_names_in_ : array of str
    Names of the features, if X has names.
"""


def documented(cls: Class) -> Class:
    """Insert the shared documentation into a class's docstring."""
    text = inspect.getdoc(cls) or ""
    for mark, shared in (("<parameters>", _PARAMETERS), ("<attributes>", _ATTRIBUTES)):
        text = text.replace(mark, shared.strip())
    cls.__doc__ = text
    return cls
