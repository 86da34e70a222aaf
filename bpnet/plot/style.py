"""The common style of all plots, and the Axes they are drawn into.

The colors are those of Okabe and Ito (2008), which color-blind readers can tell apart; line
styles and markers do the same in grayscale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        f"bpnet.plot needs matplotlib ({error}); install it with: pip install matplotlib"
    ) from error

from bpnet.common.checks import kind_of

# Ordered by contrast in grayscale; yellow is too pale for a line.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
# 4 or 5 of each against 7 colors: a combination recurs only after 28 or 35 lines.
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "^", "s", "D", "v")

Metrics = Mapping[str, Sequence[float]]


def with_margin(low: float, high: float, share: float) -> tuple[float, float]:
    """Return a range with a margin on both sides, which is a share of it, or 1 if it is 0."""
    margin = share * (high - low) or 1.0
    return low - margin, high + margin


def needs_log_scale(low: float, high: float) -> bool:
    """Whether values are positive and span more than a factor of ten."""
    return 0.0 < 10.0 * low < high


def look(k: int, points: int = 1) -> dict[str, Any]:
    """Return color, style and marker of the k-th line, with about a dozen markers."""
    return {
        "color": COLORS[k % len(COLORS)],
        "linestyle": STYLES[k % len(STYLES)],
        "marker": MARKERS[k % len(MARKERS)],
        "markersize": 5,
        "markevery": max(1, points // 12),
    }


def new_figure(width: float, height: float) -> Figure:
    """Return a new figure of a size in inches, without a window."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, height: float = 4.8) -> Axes:
    """Return the given Axes, or those of a new figure of a height in inches."""
    if ax is None:
        return new_figure(6.4, height).add_subplot()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes, got {kind_of(ax)}")
    return ax
