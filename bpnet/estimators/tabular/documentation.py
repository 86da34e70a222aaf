"""Documentation shared by the two tabular estimators."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

Class = TypeVar("Class", bound=type)

_PARAMETERS = """
preset : {"td", "td-s", "plain"}, default "td"
    Where the defaults come from. "td" is RealMLP with its tuned defaults, "td-s" its simpler,
    faster version, without embeddings, dropout, weight decay, parametric activations and
    data-dependent initialization. "plain" is a usual network, for comparison: three hidden
    layers of 256 units, relu, He initialization, Adam at a constant 0.001; the columns are
    prepared in the same way. Where a parameter below is None, the preset says its value.
categorical_features : "auto" or sequence of str, int or bool, default "auto"
    The columns that hold categories. Those of which their dtypes say so always do: categories,
    text, bools, and objects that are not all numbers. Others, such as codes that are stored as
    numbers, are given by names, by numbers or by a mask of all columns.
max_one_hot_size : float or None, default None
    Categories of at most so many codes are one-hot encoded, counting one for what is missing
    or unknown; others are embedded. "td": 9; "td-s", "plain": infinity.
missing_indicator : bool, default True
    Add a column for each column of numbers with gaps, which says where they are. The gaps
    themselves are filled with the median.
hidden_layer_sizes : sequence of int or None, default None
    Units of the hidden layers. All presets: (256, 256, 256).
activation : str, Activation or None, default None
    Of the hidden layers. "td", "td-s": "selu" for classes, "mish" for numbers; "plain": "relu".
parametric_activation : bool or None, default None
    Learn how far each unit is from linear (:class:`bpnet.ParametricActivation`). "td": True.
parametrization : {"standard", "ntk"} or None, default None
    As in :class:`bpnet.Dense`. "td", "td-s": "ntk".
init : {"data", "normal", "default"} or None, default None
    Initial weights and biases: adapted to the training examples, layer by layer; all N(0, 1),
    with a last layer of zeros; or the defaults of :class:`bpnet.Dense`. "td": "data"; "td-s":
    "normal"; "plain": "default".
scale_layer : bool or None, default None
    Learn a factor for each input, a soft selection of columns (:class:`bpnet.Scale`). "td",
    "td-s": True.
num_embedding : {"pbld", "none"} or None, default None
    How numbers are embedded (:class:`bpnet.PeriodicEmbedding`). "td": "pbld".
num_embedding_frequencies, num_embedding_size : int or None, default None
    Cosines and features of each number. All presets: 16 and 4.
num_embedding_sigma : float or None, default None
    Standard deviation of the initial frequencies. All presets: 0.1.
category_embedding_size : int or None, default None
    Features of each category that is embedded. All presets: 8.
dropout : float or None, default None
    Fraction of each hidden layer's activations to drop in training. "td": 0.15.
<label_smoothing>learning_rate : float or None, default None
    The highest learning rate of Adam. "td": <rates>; "plain": 0.001.
bias_learning_rate_factor, scale_learning_rate_factor : float or None, default None
    Factors of the learning rate of biases and of the scale layer. "td", "td-s": 0.1 and 6.
activation_learning_rate_factor, num_embedding_learning_rate_factor : float or None
    The same of parametric activations and of the embedding of numbers. "td": 0.1 and 0.1.
weight_decay : float or None, default None
    Decoupled weight decay, not of biases. "td": 0.02.
learning_rate_schedule, dropout_schedule, weight_decay_schedule : str or None, default None
    How they go with time: "constant", "coslog4", "cosine", "flat_cosine" or "one_cycle" of
    :mod:`bpnet.schedules`, over all epochs. "td", "td-s": "coslog4" for the learning rate;
    "td": "flat_cosine" for the others; "plain": "constant".
beta_1, beta_2, epsilon : float or None, default None
    Of :class:`bpnet.AdamW`. All presets: 0.9 and 1e-8; beta_2 is 0.95, for "plain" 0.999.
<clip_output>n_epochs : int or float, default 256
    Number of passes over the examples; a float below 1 is the share of them that is trained on,
    each once.
batch_size : int, default 256
    Examples per step. A last batch with fewer examples is left out of an epoch, another one
    each time.
validation_fraction : float, default 0.2
    Fraction of the examples, of each class in proportion, that is not trained on but used to
    choose the best epoch. 0 takes the weights of the last epoch.
metric : str, Metric or None, default None
    What the best epoch is chosen by: a metric of :mod:`bpnet.metrics`. None is <metric>. Of
    equal epochs it is the last.
early_stopping : bool or None, default None
    Stop at the first epoch after 20 + 2 times the best one. "td" and "td-s" do: on 25
    tables a third of the epochs, for scores as good on average. False trains all `n_epochs`, as
    published. Without validation examples nothing stops.
time_budget : float or None, default None
    Seconds that `fit` may take. The number of epochs, at most `n_epochs`, and with it the
    length of all schedules is chosen by the duration of two trial epochs of up to 8 batches;
    training starts anew then, and ends with the epoch in which the time ends. If the machine
    becomes busier, that is before the end of the schedules; ``history_.stopped`` says so. With
    no time for an epoch, a random part of the examples is trained on, each once, and a
    UserWarning says how many. Results then depend on the speed of the machine.
n_ensemble : int, default 1
    Number of networks, whose predictions are averaged.
ensemble : {"seed", "bag"}, default "seed"
    How the networks differ: only in their seeds; or also in their training examples, of which
    each holds out another of `n_ensemble` parts instead of `validation_fraction`.
random_state : int, RandomState or None, default None
    Seeds the validation split, weights, order of the examples and dropout, the same on every
    backend.
dtype : {"float32", "float64"}, default "float32"
    Dtype of weights and computations.
backend : str, Backend or None, default None
    Where to compute, such as "jax", "cupy:0" or "torch:cuda:0". None is where X lives, else
    the default backend.
communicator : "auto", Communicator or None, default None
    The processes that train each network together, as in :meth:`bpnet.Network.fit`; all call
    `fit` with the same examples. None trains in this process alone, as a grid search needs.
progress : bool, default False
    Show a progress bar (with tqdm).
callbacks : Callback, sequence of Callback or None, default None
    See :class:`bpnet.Callback`; they see the training of each network.
verbose : bool or int, default False
    Print the metrics of each epoch.
"""

_ATTRIBUTES = """
networks_, histories_ : list of Network, list of History
    The trained networks, and the metrics of each of their epochs.
network_, history_ : Network, History
    The first of them.
best_epoch_ : int
    The epoch, from 1, whose weights the first network has.
planned_epochs_ : int, float or None
    What `n_epochs` there was time for: with it and no `time_budget`, `fit` does the same,
    unless the time ended before them, after ``history_.epochs``. None after loading from a
    file.
metrics_ : dict of str to float
    The metrics in the best epoch, the mean over all networks; ``"val_..."`` are those of the
    validation examples.
n_outputs_ : int
    Number of outputs.
n_features_in_ : int
    Number of columns.
feature_names_in_ : array of str
    Names of the columns, if X has names.
"""


def documented(**own: str) -> Callable[[Class], Class]:
    """Return a decorator that inserts the shared documentation into a class's docstring.

    The keywords take the place of marks in it.
    """

    def insert(cls: Class) -> Class:
        text = inspect.getdoc(cls) or ""
        for mark, shared in (("<parameters>", _PARAMETERS), ("<attributes>", _ATTRIBUTES)):
            text = text.replace(mark, shared.strip())
        for mark, words in own.items():
            text = text.replace(f"<{mark}>", words)
        cls.__doc__ = text
        return cls

    return insert
