"""Run scikit-learn's own MLP tests on bpnet's estimators.

    python tests/estimators/peer/run_sklearn_mlp_tests.py [pytest arguments]

``sklearn/neural_network/tests/test_mlp.py`` of the installed scikit-learn runs unchanged, with
MLPClassifier and MLPRegressor replaced by bpnet's. The tests listed below are skipped because
they use private attributes; any other failure sets the exit status to 1.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile

import pytest
import sklearn.neural_network

import bpnet

PEER = "sklearn.neural_network.tests.test_mlp"

# Skipped tests with the reason.
LEFT_OUT = {
    "test_gradient": "calls the private _loss_grad_lbfgs, scikit-learn's backpropagation; "
    "bpnet's is compared with finite differences in tests/test_gradients.py",
}


class LeaveOut:
    """A pytest plugin that deselects these tests, and checks that the others test bpnet."""

    def pytest_collection_modifyitems(self, config, items):
        for item in items:
            assert item.module.MLPClassifier is bpnet.MLPClassifier
            assert item.module.MLPRegressor is bpnet.MLPRegressor
        left_out = [item for item in items if item.originalname in LEFT_OUT]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def main(arguments: list[str]) -> int:
    """Run the tests and return pytest's exit status."""
    for name, reason in LEFT_OUT.items():
        print(f"left out: {name}: {reason}")
    assert PEER not in sys.modules  # so that it imports the replaced names
    sklearn.neural_network.MLPClassifier = bpnet.MLPClassifier
    sklearn.neural_network.MLPRegressor = bpnet.MLPRegressor
    options = ["--pyargs", PEER, "-c", "/dev/null", "-p", "no:cacheprovider", "-q"]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
    ):  # no conftest of ours
        return int(pytest.main([*options, *arguments], plugins=[LeaveOut()]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
