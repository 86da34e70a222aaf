"""Multi-layer perceptrons for tables as people have them, after RealMLP.

``table`` and ``schema`` read columns, ``preprocessing`` and ``targets`` prepare them,
``presets`` says what a network is made of and ``architecture`` makes it, ``initialization``
draws its weights, and ``member`` trains it. ``base`` puts these together.
"""

from bpnet.estimators.tabular.classifier import TabularClassifier
from bpnet.estimators.tabular.regressor import TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
