"""What an experiment has measured, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bpnet.common.tables import align

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Lesson(NamedTuple):
    """The result of an experiment; prints as a table with a reading of it.

    Attributes
    ----------
    title : str
        What was measured.
    rows : list of tuple of str
        The table; the first row is its head.
    reading : str
        Two sentences on the numbers, written from the numbers.
    numbers : mapping
        What was measured, by name; which names there are, each experiment says.
    paint : callable
        Draws the picture into an empty figure.
    size : tuple of float
        Width and height of the picture, in inches.
    """

    title: str
    rows: list[tuple[str, ...]]
    reading: str
    numbers: Mapping[str, Any]
    paint: Callable[[Figure], None]
    size: tuple[float, float] = (10.0, 4.4)

    def draw(self) -> Figure:
        """Draw the picture with matplotlib, into a new figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from bpnet.plot.style import new_figure

        figure = new_figure(*self.size)
        self.paint(figure)
        return figure

    def __str__(self) -> str:
        return "\n".join([self.title, "", *align(self.rows), "", self.reading])


def factor_per_layer(values: Any) -> float:
    """Give the mean factor from each value to the next; NaN where one is not above 0."""
    if min(values) <= 0.0:
        return float("nan")
    return float((values[-1] / values[0]) ** (1.0 / (len(values) - 1)))
