"""The multi-layer perceptrons of scikit-learn, whose `coefs_` and `intercepts_` are W and b."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.common.checks import described
from bpnet.common.component import is_own
from bpnet.layers import Dense, Dropout, Layer
from bpnet.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, Poisson
from bpnet.network import Network, check_network

# scikit-learn's names of hidden activations by ours.
_ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
# Our losses by scikit-learn's names of the functions of the last layer.
_LOSSES = {
    "identity": "mean_squared_error", "logistic": "binary_crossentropy",
    "softmax": "categorical_crossentropy", "exp": "poisson",
}  # fmt: skip


def from_sklearn(mlp: Any) -> Network:
    """Return the network of a fitted multi-layer perceptron.

    It predicts the same, up to rounding; of a classifier the number k of a class, whose label
    is ``mlp.classes_[k]``. The penalty `alpha` is not part of it.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Of :mod:`sklearn.neural_network`, or bpnet's own.

    Returns
    -------
    Network
        A new one, in the dtype of the weights, with the loss that has the link function of the
        last layer: binary or categorical cross-entropy, Poisson, mean squared error, or that of
        bpnet's estimator.

    Raises
    ------
    TypeError
        If it is another object.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> import bpnet
    >>> X = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> mlp = MLPRegressor(hidden_layer_sizes=4, solver="lbfgs", random_state=0)
    >>> mlp = mlp.fit(X, [0.0, 1.0, 2.0])
    >>> net = bpnet.interchange.from_sklearn(mlp)
    >>> net.layers
    (Dense(4, 'relu'), Dense(1, 'identity'))
    >>> bool(abs(net.predict(X) - mlp.predict(X)).max() < 1e-12)
    True
    """
    mlp = _check_fitted(mlp)
    own = getattr(mlp, "_architecture", None)  # of bpnet's estimators
    coefs = [to_host(W) for W in mlp.coefs_]
    layers: list[Layer] = []
    for number, W in enumerate(coefs[:-1]):
        layers.append(Dense(W.shape[1], own.activations[number] if own else mlp.activation))
        if own and own.dropout[number]:
            layers.append(Dropout(own.dropout[number]))
    layers.append(Dense(coefs[-1].shape[1]))
    net = Network(layers, _loss_of(mlp), seed=0, dtype=coefs[0].dtype.name)
    net.build(coefs[0].shape[0])
    intercepts = map(to_host, mlp.intercepts_)
    net.set_weights(list(itertools.chain(*zip(coefs, intercepts, strict=True))))
    return net


def to_sklearn(net: Network) -> Any:
    """Return scikit-learn's estimator with the weights of a network.

    It predicts the same, up to rounding, in the dtype of the X that it is given; a class k as
    the label k. It is an ``MLPClassifier`` for cross-entropies, else an ``MLPRegressor``, as
    after a first call of `partial_fit`, from which it can continue to train: on the squared
    error if the network has another loss with the identity as its link.

    Parameters
    ----------
    net : Network
        A network with weights, of Dense layers and Dropout only, whose hidden activations are
        all identity, sigmoid, tanh or relu.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Of :mod:`sklearn.neural_network`. Two classes of a categorical cross-entropy become one
        output, whose logit is the difference of theirs.

    Raises
    ------
    ValueError
        If the network has no weights yet, or scikit-learn does not have a layer or the loss.
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(4, "relu"), bpnet.Dense(3)],
    ...                     "categorical_crossentropy", seed=0).build(2)
    >>> mlp = bpnet.interchange.to_sklearn(net)
    >>> [W.shape for W in mlp.coefs_], mlp.out_activation_, mlp.classes_.tolist()
    ([(2, 4), (4, 3)], 'softmax', [0, 1, 2])
    """
    check_network(net)
    parameters = net.parameters
    _checked(net)
    coefs = [to_host(p["W"]).copy() for p in parameters]
    intercepts = [to_host(p["b"]).copy() for p in parameters]
    if isinstance(net.loss.unmasked, CategoricalCrossentropy) and coefs[-1].shape[1] == 2:
        coefs[-1] = coefs[-1][:, 1:] - coefs[-1][:, :1]
        intercepts[-1] = intercepts[-1][1:] - intercepts[-1][:1]
    mlp = _initialized(net, coefs)
    mlp.coefs_, mlp.intercepts_ = coefs, intercepts
    if net.feature_names is not None:
        mlp.feature_names_in_ = np.array(net.feature_names, dtype=object)
    return mlp


def _check_fitted(mlp: Any) -> Any:
    """Return a fitted multi-layer perceptron of scikit-learn or bpnet."""
    from sklearn import neural_network as theirs
    from sklearn.utils.validation import check_is_fitted

    from bpnet.estimators import MLPClassifier, MLPRegressor  # raises if there is no sklearn

    kinds = (MLPClassifier, MLPRegressor, theirs.MLPClassifier, theirs.MLPRegressor)
    if not isinstance(mlp, kinds):
        raise TypeError(f"mlp must be an MLPClassifier or MLPRegressor; got {described(mlp)}")
    check_is_fitted(mlp)
    return mlp


def _loss_of(mlp: Any) -> str | Loss:
    """Return the loss of the network: the estimator's own, or of the same link function."""
    if (own := getattr(mlp, "_architecture", None)) is not None:
        from bpnet.estimators._losses import NotInFiles

        if not isinstance(own.loss, NotInFiles):
            loss: Loss = own.loss
            return loss
    return _LOSSES[mlp.out_activation_]


def _checked(net: Network) -> None:
    """Raise ValueError if scikit-learn does not have such a network."""
    hidden = None
    for number, layer in enumerate(net.layers, 1):
        where, is_last = f"layer {number}, {layer!r}", number == len(net.layers)
        if type(layer) not in (Dense, Dropout):
            raise ValueError(f"scikit-learn has Dense layers and no others; got {where}")
        if not isinstance(layer, Dense):
            continue
        if layer.parametrization != "standard":
            raise ValueError(
                f"scikit-learn has the parametrization 'standard'; got {where}, with "
                f"{layer.parametrization!r}"
            )
        name = layer.activation.name
        if name not in (("identity",) if is_last else _ACTIVATIONS):
            raise ValueError(
                f"scikit-learn has the activations {', '.join(_ACTIVATIONS)} in hidden layers, "
                f"and none in the last; got {where}"
            )
        if not is_last and hidden not in (None, name):
            raise ValueError(
                f"scikit-learn has the same activation in all hidden layers; got {where} after "
                f"{hidden!r}"
            )
        hidden = name
    if not (is_own(net.loss) and (_is_of_classes(net) or _name_of_loss(net))):
        raise ValueError(f"scikit-learn has no loss with the link function of {net.loss!r}")


def _is_of_classes(net: Network) -> bool:
    return isinstance(net.loss.unmasked, BinaryCrossentropy | CategoricalCrossentropy)


def _name_of_loss(net: Network) -> str | None:
    """Return scikit-learn's name of a regressor's loss with the same link."""
    if net.loss.identity_link:
        return "squared_error"
    return "poisson" if isinstance(net.loss.unmasked, Poisson) else None


def _initialized(net: Network, coefs: list[Any]) -> Any:
    """Return the estimator with initial weights, by one step on zeros."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    import bpnet.estimators  # noqa: F401  raises if there is no scikit-learn

    dense = [layer for layer in net.layers if isinstance(layer, Dense)]
    shared: dict[str, Any] = {
        "hidden_layer_sizes": tuple(layer.units for layer in dense[:-1]), "random_state": 0,
        "activation": _ACTIVATIONS[dense[0].activation.name],
    }  # fmt: skip
    dtype = coefs[0].dtype
    k, n = net.n_outputs, int(coefs[0].shape[0])
    if _is_of_classes(net):
        are_labels = isinstance(net.loss.unmasked, BinaryCrossentropy) and k > 1
        classes = np.arange(max(k, 2))
        y = np.eye(k, dtype=int) if are_labels else classes
        mlp = MLPClassifier(**shared)
        mlp.partial_fit(np.zeros((len(y), n), dtype), y, classes=classes)
    else:
        y = np.zeros((1, k) if k > 1 else 1)
        mlp = MLPRegressor(_name_of_loss(net), **shared)
        mlp.partial_fit(np.zeros((1, n), dtype), y)
    vars(mlp).pop("_optimizer", None)  # which has seen that step
    return mlp
