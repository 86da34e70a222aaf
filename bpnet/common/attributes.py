"""What attributes of other libraries' models and layers are called here."""

from __future__ import annotations

from collections.abc import Mapping

_WEIGHTS = (
    "get_weights() returns the arrays in Keras's order, and parameters those of each layer"
)
# Of Keras, PyTorch and scikit-learn.
OF_NETWORKS: Mapping[str, str] = {
    "score": "evaluate(X, y) returns the loss and metrics by name",
    "weights": _WEIGHTS, "coefs_": _WEIGHTS, "intercepts_": _WEIGHTS,
    "state_dict": "bpnet.interchange.to_torch_state_dict(net) returns it",
    "compile": "the constructor takes the loss, and fit the optimizer",
    "history": "fit returns it",
    "train": "fit(X, y) trains", "train_on_batch": "partial_fit(X, y) trains on one batch",
    "count_params": "n_parameters is their number",
    "get_params": "MLPClassifier and MLPRegressor are the estimators of scikit-learn's kind",
}  # fmt: skip
_OF_LAYER = (
    "layers are descriptions without arrays: net.parameters has those of each layer, by name"
)
OF_LAYERS: Mapping[str, str] = dict.fromkeys(
    ("W", "b", "weight", "weights", "bias", "kernel", "get_weights"), _OF_LAYER
)


def missing(owner: object, name: str, hints: Mapping[str, str]) -> AttributeError:
    """Return the error for an attribute that an object lacks, with a hint if there is one.

    Examples
    --------
    >>> import bpnet
    >>> bpnet.Dense(3).W
    Traceback (most recent call last):
    AttributeError: 'Dense' object has no attribute 'W'; layers are descriptions without arrays:
    net.parameters has those of each layer, by name
    """
    text = f"'{type(owner).__name__}' object has no attribute {name!r}"
    if hint := hints.get(name):
        text += f"; {hint}"
    return AttributeError(text, name=name, obj=owner)
