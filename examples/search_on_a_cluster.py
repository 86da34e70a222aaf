"""Search for the best hyperparameters of a classifier on a cluster: one process for each fit.

Run with: python examples/search_on_a_cluster.py
Requires scikit-learn and dask: pip install "bpnet-array-api[sklearn,dask]"

The cluster here is two processes of this machine. Another one is reached by its address:
Client("scheduler:8786").
"""

import joblib
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

import bpnet

WORKERS = 2


def search(X, y):
    """Return the search over learning rates and penalties, when the workers have run it."""
    model = bpnet.MLPClassifier(
        hidden_layer_sizes=(64,), max_iter=100, early_stopping=True, n_iter_no_change=15,
        random_state=0,
    )  # fmt: skip
    grid = {"learning_rate_init": [0.003, 0.01, 0.03], "alpha": [1e-4, 1e-2]}
    search = GridSearchCV(model, grid, cv=3)
    with joblib.parallel_config(backend="dask"):
        return search.fit(X, y)


def main():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16.0, y, stratify=y, random_state=42)
    # Dask lets the matrix products of such a worker have one thread, so each has its core.
    cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster):
        found = search(X, y)
    print(
        f"{len(found.cv_results_['params'])} settings, each fitted to {found.n_splits_} parts"
    )
    print(f"best: {found.best_params_}")
    print(f"accuracy: {100 * found.score(X_test, y_test):.2f} % of the test set")


if __name__ == "__main__":  # the workers import this file
    main()
