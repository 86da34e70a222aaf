"""The result of an experiment, and how it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bpnet.common.tables import align

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Lesson(NamedTuple):
    """The result of an experiment; prints as a table with an interpretation.

    Attributes
    ----------
    title : str
        What was measured.
    rows : list of tuple of str
        The table; the first row is the header.
    reading : str
        Two sentences that interpret the numbers.
    numbers : mapping
        The measurements by name, documented by each experiment.
    paint : callable
        Draws the plot into an empty figure.
    size : tuple of float
        Width and height of the plot, in inches.
    """

    title: str
    rows: list[tuple[str, ...]]
    reading: str
    numbers: Mapping[str, Any]
    paint: Callable[[Figure], None]
    size: tuple[float, float] = (10.0, 4.4)

    def draw(self) -> Figure:
        """Draw the plot into a new matplotlib figure; raises ImportError without matplotlib."""
        from bpnet.plot.style import new_figure

        figure = new_figure(*self.size)
        self.paint(figure)
        return figure

    def __str__(self) -> str:
        return "\n".join([self.title, "", *align(self.rows), "", self.reading])


def times(factor: float) -> str:
    """Return a factor >= 1 in words; a large one as a power of ten.

    Examples
    --------
    >>> times(3.16), times(2.4e20)
    ('3.2 times', 'about 10^20 times')
    """
    if factor >= 1000.0:
        return f"about 10^{round(math.log10(factor))} times"
    return f"{plain(factor)} times"


def plain(number: float) -> str:
    """Return a number in two digits, and without an exponent from 100 to a million."""
    return f"{number:.0f}" if 100.0 <= number < 1e6 else f"{number:.2g}"


def compared(ratio: float) -> str:
    """Return how a positive quantity compares with another, by their ratio.

    Examples
    --------
    >>> compared(1.1), compared(0.25), compared(1e9)
    ('about as large as', '4 times smaller than', 'about 10^9 times larger than')
    """
    if 0.8 < ratio < 1.25:
        return "about as large as"
    if ratio < 1.0:
        return f"{times(1.0 / ratio)} smaller than"
    return f"{times(ratio)} larger than"


def factor_per_layer(values: Any) -> float:
    """Return the mean factor between successive values; NaN unless all are positive."""
    if min(values) <= 0.0:
        return float("nan")
    return float((values[-1] / values[0]) ** (1.0 / (len(values) - 1)))
