"""The estimators beside scikit-learn's: sparse one-hot features, and regression of raw targets.

A turn is a whole `fit` of so many epochs, with equal parameters and the same examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import bpnet
from benchmarks.runner import (
    SKLEARN,
    Column,
    Options,
    Row,
    has,
    number,
    race,
    ratio,
    significant,
)
from benchmarks.timing import Turn

EPOCHS = 40

COLUMNS: dict[str, Column] = {
    "/ scikit-learn": ratio(lambda contestant: SKLEARN),
    "ms per epoch": number("epoch", 1e3, 2),
    "s per fit": significant("seconds"),
}


class Table(NamedTuple):
    """Examples with categories and numbers, and the hidden layers of an estimator."""

    rows: int
    categories: int  # columns, of `levels` values each
    levels: int
    numbers: int
    hidden: tuple[int, ...] = (100,)
    dtype: str = "float64"

    @property
    def name(self) -> str:
        features = self.categories * self.levels + self.numbers
        hidden = "-".join(map(str, self.hidden))
        return f"{self.rows:,} x {features}, hidden {hidden}, {self.dtype}"

    def examples(self) -> tuple[Any, Any]:
        """Return features as a CSR matrix, one-hot and numbers, and prices as targets."""
        from scipy import sparse

        rng = np.random.default_rng(0)
        m, k = self.rows, self.categories
        X = rng.standard_normal((m, self.numbers))
        columns = self.levels * np.arange(k) + rng.integers(0, self.levels, (m, k))
        places = (np.repeat(np.arange(m), k), columns.reshape(-1))
        one_hot = sparse.csr_array((np.ones(m * k), places), (m, k * self.levels))
        features = sparse.hstack([one_hot, sparse.csr_array(X)], "csr", self.dtype)
        price = 12.0 + 0.3 * X[:, 0] + 0.1 * rng.standard_normal(m)
        return features, np.exp(price)


# Like Ames housing: 82 columns, 43 of them categories.
SPARSE = (
    Table(1460, 43, 6, 37),
    Table(2930, 43, 6, 37),
    Table(2930, 43, 6, 37, (64, 32)),
    Table(2930, 43, 6, 37, dtype="float32"),
    Table(8000, 40, 50, 10),  # 128 MB when dense, so made so a few batches at a time
)
# The first as large as diabetes.
DENSE = (
    Table(442, 0, 0, 10),
    Table(1460, 0, 0, 80),
    Table(1460, 43, 6, 37),
    Table(5000, 0, 0, 20),
    Table(5000, 0, 0, 20, dtype="float32"),
)


def sparse(options: Options) -> Iterator[list[Row]]:
    """Measure both estimators on sparse features."""
    for table in SPARSE if has("sklearn") else ():
        X, y = table.examples()
        yield compare("sparse", table, "MLPRegressor", X, y, options)
        yield compare("sparse", table, "MLPClassifier", X, y > np.median(y), options)


def regressor(options: Options) -> Iterator[list[Row]]:
    """Measure the regressor on dense features and prices that are not scaled."""
    for table in DENSE if has("sklearn") else ():
        X, y = table.examples()
        yield compare("regressor", table, "MLPRegressor", X.toarray(), y, options)


def compare(
    section: str, table: Table, kind: str, X: Any, y: Any, options: Options
) -> list[Row]:
    """Fit the two estimators in turn, for a number of epochs each."""
    import sklearn.neural_network

    modules = {SKLEARN: sklearn.neural_network, "bpnet numpy": bpnet}
    epochs = max(2, EPOCHS * 2000 // max(2000, table.rows))

    def turn(module: Any) -> Turn:
        def fits(number: int) -> None:
            for _ in range(number):
                model = getattr(module, kind)(
                    hidden_layer_sizes=table.hidden, max_iter=epochs, tol=0.0,
                    n_iter_no_change=10**9, random_state=0,
                )  # fmt: skip
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the limit of epochs
                    model.fit(X, y)

        return fits

    turns = {name: turn(module) for name, module in modules.items()}
    rows = race(section, f"{kind}, {table.name}", turns, options.rounds)
    return [row._replace(values=row.values | {"epoch": row.values["seconds"] / epochs})
            for row in rows]  # fmt: skip
