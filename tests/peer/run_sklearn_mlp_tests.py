"""Run scikit-learn's own tests of its MLPs on bpnet's.

    python tests/peer/run_sklearn_mlp_tests.py [pytest arguments]

``sklearn/neural_network/tests/test_mlp.py`` of the installed scikit-learn runs as it is, but
its names MLPClassifier and MLPRegressor are bpnet's. Left out are the tests below, which look
into private attributes; anything else that fails makes the exit status 1.
"""

from __future__ import annotations

import sys

import pytest
import sklearn.neural_network
import sklearn.neural_network.tests.test_mlp as peer

import bpnet

# Each test that is left out, with its reason.
PRIVATE = {
    "test_gradient": "calls _loss_grad_lbfgs, scikit-learn's own backpropagation; bpnet's is "
    "checked against finite differences by bpnet.check_gradients in tests/test_gradients.py",
}


class Swap:
    """A pytest plug-in that puts bpnet's estimators in the place of scikit-learn's."""

    def pytest_collection_modifyitems(self, config, items):
        """Leave the named tests out, and swap the names in the tests' own module."""
        kept = [item for item in items if item.originalname not in PRIVATE]
        left_out = [item for item in items if item.originalname in PRIVATE]
        assert {item.originalname for item in left_out} == PRIVATE.keys(), "a name is wrong"
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
        for item in items:
            assert item.module.MLPClassifier is bpnet.MLPClassifier
            assert item.module.MLPRegressor is bpnet.MLPRegressor


def main(arguments: list[str]) -> int:
    """Run the tests, and give pytest's exit status."""
    for name, reason in PRIVATE.items():
        print(f"left out: {name}: {reason}")
    # before collection, so that parametrized tests take bpnet's classes as well
    sklearn.neural_network.MLPClassifier = bpnet.MLPClassifier
    sklearn.neural_network.MLPRegressor = bpnet.MLPRegressor
    del sys.modules[peer.__name__]
    arguments = arguments or ["-q"]
    return int(
        pytest.main(
            ["--pyargs", peer.__name__, "-p", "no:cacheprovider", "-c", "/dev/null",
             f"--rootdir={peer.__path__[0] if hasattr(peer, '__path__') else '.'}", *arguments],
            plugins=[Swap()],
        )
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
