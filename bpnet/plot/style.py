"""The look that all pictures share, and where they are drawn.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; line
styles and markers do the same in grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bpnet.common.checks import kind_of

# Okabe and Ito (2008), those that differ most in grey first; yellow is too pale for a line.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
# Four or five of each, against seven colours: a combination recurs only after 28 or 35.
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "^", "s", "D", "v")

Figures = Mapping[str, Sequence[float]]


def look(k: int, points: int = 1) -> dict[str, Any]:
    """Give the k-th line a colour, a style and a marker, on about a dozen of its points."""
    return {
        "color": COLORS[k % len(COLORS)],
        "linestyle": STYLES[k % len(STYLES)],
        "marker": MARKERS[k % len(MARKERS)],
        "markersize": 5,
        "markevery": max(1, points // 12),
    }


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of a size in inches, without a window."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, height: float = 4.8) -> Axes:
    """Give the Axes, or those of a new figure of some height in inches."""
    if ax is None:
        return new_figure(6.4, height).add_subplot()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes, got {kind_of(ax)}")
    return ax
