"""Train on two of scikit-learn's real data sets and test on held-out examples.

Run with: python examples/real_data.py
Requires scikit-learn: pip install scikit-learn
"""

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import bpnet
from bpnet.schedules import Cosine


def breast_cancer():
    """Classify tumors as malignant or benign from 30 features: two classes, one output."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=42)
    scaler = StandardScaler().fit(X)  # fit on the training data only
    net = bpnet.Network(
        [bpnet.Dense(16, "tanh", l2=0.01), bpnet.Dense(1, l2=0.01)],
        loss="binary_crossentropy",
        seed=0,
    )
    net.fit(scaler.transform(X), y, optimizer=bpnet.Adam(Cosine(0.01, epochs=30)), epochs=30)
    return net.evaluate(scaler.transform(X_test), y_test)


def digits():
    """Classify handwritten digits of 8 x 8 pixels: ten classes, ten outputs."""
    X, y = load_digits(return_X_y=True)
    X = X / 16.0  # gray levels are 0 to 16
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=42)
    net = bpnet.Network(
        [bpnet.Dense(128, "relu", l2=1e-4), bpnet.Dense(10, l2=1e-4)],
        loss="categorical_crossentropy",
        seed=0,
    )
    net.fit(X, y, optimizer=bpnet.Adam(Cosine(0.005, epochs=40)), epochs=40)
    return net.evaluate(X_test, y_test)


for task in (breast_cancer, digits):
    print(f"{task.__name__}: {100 * task()['accuracy']:.2f} % of the test set")
