"""The names of the features that a model was fitted on."""

from __future__ import annotations

from typing import Any

from bpnet.data.frames import check_names


class FeatureNames:
    """Remembers the names of features, and refuses frames of other ones."""

    _feature_names: tuple[str, ...] | None = None

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the features, or None if they are unknown.

        :meth:`bpnet.Network.fit` takes them from a data frame (of pandas, polars or PyArrow)
        whose columns are all named by strings. From then on, every method refuses a frame that
        lacks one of them, has others, or has them in another order; ``X[list(names)]`` puts
        them in order. Arrays have no names and are accepted: their columns must be in this
        order. The names are copied, pickled and saved with the weights;
        :meth:`bpnet.Network.build` forgets both.

        Examples
        --------
        >>> import bpnet
        >>> bpnet.Network([bpnet.Dense(1)], "huber", seed=0).build(2).feature_names is None
        True
        """
        return self._feature_names

    def remember_names(self, names: tuple[str, ...] | None) -> None:
        """Store the names of the features on which training begins."""
        self._feature_names = names

    def check_names(
        self, X: Any, name: str = "X", expected: tuple[str, ...] | None = None
    ) -> None:
        """Check that a frame has the expected features; without any, those remembered."""
        if expected is None and self._feature_names is None:
            return
        remembered = expected in (None, self._feature_names)
        check_names(name, X, expected or self._feature_names, remembered=remembered)
