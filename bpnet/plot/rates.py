"""Plot of a learning-rate range test."""

from __future__ import annotations

from matplotlib.axes import Axes

from bpnet.common.checks import kind_of
from bpnet.common.keywords import suggests_keywords
from bpnet.diagnosis.lr_finder import RateTest
from bpnet.plot.style import COLORS, axes_or_new


@suggests_keywords
def learning_rate_finder(test: RateTest, ax: Axes | None = None) -> Axes:
    """Plot a learning-rate range test: the loss by learning rate, and the suggested rate.

    Parameters
    ----------
    test : RateTest
        Returned by :func:`bpnet.find_learning_rate`.
    ax : matplotlib.axes.Axes or None
        Axes to draw into; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    TypeError
        If `test` is not a RateTest, or `ax` not an Axes.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(200)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> ax = bpnet.plot.learning_rate_finder(bpnet.find_learning_rate(net, X, y))
    >>> ax.get_xscale(), ax.get_xlabel()
    ('log', 'learning rate')
    """
    from bpnet.diagnosis.lr_finder import RateTest

    if not isinstance(test, RateTest):
        raise TypeError(
            f"test must be what bpnet.find_learning_rate returned, got {kind_of(test)}"
        )
    ax = axes_or_new(ax)
    ax.plot(test.rates, test.losses, ".", color="0.6", markersize=4, label="batch of each step")
    ax.plot(test.rates, test.smoothed, color=COLORS[0], label="running mean")
    height = test.smoothed[test.rates.index(test.suggestion)]
    ax.axvline(test.suggestion, color=COLORS[4], linestyle="--")
    ax.plot(
        [test.suggestion], [height], "D", color=COLORS[4],
        label=f"suggested: {test.suggestion:.2g}",
    )  # fmt: skip
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss (mean per example)")
    # A last point far above the rest would flatten the minimum.
    low, high = min(test.losses), min(max(test.losses), 2.0 * test.smoothed[0])
    margin = 0.05 * (high - low) or 1.0
    ax.set_ylim(low - margin, high + margin)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax
