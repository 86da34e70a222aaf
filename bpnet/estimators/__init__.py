"""scikit-learn compatible multi-layer perceptrons on any array library and device.

`MLPClassifier` and `MLPRegressor` extend the parameters, attributes and methods of those in
:mod:`sklearn.neural_network`; they train a :class:`bpnet.Network`. `TabularClassifier` and
`TabularRegressor` are for tables of numbers, categories and gaps.
"""

try:
    from sklearn.utils.validation import validate_data as _  # noqa: F401  new in 1.6
except ImportError as error:
    raise ImportError(
        "the estimators of bpnet, such as bpnet.MLPClassifier or bpnet.TabularClassifier, need "
        "scikit-learn >= 1.7 (and SciPy, which it requires); install it with: "
        "pip install 'scikit-learn>=1.7'"
    ) from error

from bpnet.estimators._files import estimator_of as estimator_of
from bpnet.estimators.classifier import MLPClassifier
from bpnet.estimators.regressor import MLPRegressor
from bpnet.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor"]
