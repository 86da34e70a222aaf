"""A network as an SVG drawing: columns of units, joined by lines, in colors by value.

Blue is negative and orange positive (Okabe and Ito 2008), and strength is opacity. The drawing
has a light and a dark version, each with its own background, as a notebook's may be either.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

_RADIUS, _STEP_X, _STEP_Y = 20, 165, 47
_LEFT, _HEAD, _FOOT, _NOTES = 50, 64, 44, 150  # around the units of a panel
_WIDTH = 640  # of the headings
_STYLE = """
.{id} {{ font-family: system-ui, sans-serif; font-size: 12px }}
.{id} .page {{ fill: #ffffff }} .{id} .ink {{ fill: #222222 }} .{id} .rim {{ stroke: #666666 }}
.{id} .faint {{ stroke: #bbbbbb }} .{id} .lit {{ fill: #ffffff }}
.{id} .minus {{ fill: #0072B2 }} .{id} .plus {{ fill: #D55E00 }}
.{id} .down {{ stroke: #0072B2 }} .{id} .up {{ stroke: #D55E00 }}
@media (prefers-color-scheme: dark) {{
.{id} .page {{ fill: #1e1e20 }} .{id} .ink {{ fill: #eeeeee }} .{id} .rim {{ stroke: #aaaaaa }}
.{id} .faint {{ stroke: #666666 }} .{id} .lit {{ fill: #111111 }}
.{id} .minus {{ fill: #56B4E9 }} .{id} .plus {{ fill: #E69F00 }}
.{id} .down {{ stroke: #56B4E9 }} .{id} .up {{ stroke: #E69F00 }}
}}
"""

Edges = Any  # an array (units before, units), or None for a layer without weights of each pair


class Column(NamedTuple):
    """The units of one layer.

    Attributes
    ----------
    name : str
        What is written above.
    values : array (n,) or None
        The values of all units; None draws empty circles.
    shown : tuple of int or None
        The numbers of the units to draw; None is a gap.
    notes : tuple of str
        What is written beside the shown units; () for nothing.
    """

    name: str
    values: Any
    shown: tuple[int | None, ...]
    notes: tuple[str, ...] = ()


class Panel(NamedTuple):
    """A network with one kind of values: its columns, and the lines between each two."""

    title: str
    columns: Sequence[Column]
    edges: Sequence[Edges]


def drawing(panels: Sequence[Panel], title: str, description: str) -> str:
    """Return an SVG document of panels, one below the other."""
    tallest = max(len(column.shown) for column in panels[0].columns)
    height = _HEAD + tallest * _STEP_Y + _FOOT
    width = max(_WIDTH, 2 * _LEFT + (len(panels[0].columns) - 1) * _STEP_X + _NOTES)
    body = [
        f'<g transform="translate(0 {10 + number * height})">{"".join(_panel(p, tallest))}</g>'
        for number, p in enumerate(panels)
    ]
    # A name of its own, as a page may show several.
    name = f"flow-{zlib.crc32(''.join([*body, title]).encode()):08x}"
    total = 10 + len(panels) * height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{name}" role="img" '
            f'viewBox="0 0 {width} {total}" width="{width}" height="{total}" '
            f'aria-labelledby="{name}-title {name}-desc">',
            f'<title id="{name}-title">{escape(title)}</title>',
            f'<desc id="{name}-desc">{escape(description)}</desc>',
            f"<style>{_STYLE.format(id=name)}</style>",
            f'<rect class="page" width="{width}" height="{total}" rx="8"/>',
            *body,
            "</svg>",
        ]
    )


def _panel(panel: Panel, tallest: int) -> Iterator[str]:
    """Yield a heading, the lines, the units above them, and what the colors mean."""
    head = 'class="ink" x="20" y="20" font-size="15" font-weight="600"'
    yield f"<text {head}>{escape(panel.title)}</text>"
    nodes = _largest([column.values for column in panel.columns])
    lines = _largest(panel.edges)
    places = [_places(column, k, tallest) for k, column in enumerate(panel.columns)]
    for k, edges in enumerate(panel.edges):
        yield from _lines(edges, places[k], places[k + 1], lines)
    for column, at in zip(panel.columns, places, strict=True):
        yield from _units(column, at, nodes)
    yield from _legend(_HEAD + tallest * _STEP_Y + 12, nodes, lines)


def _places(column: Column, k: int, tallest: int) -> list[tuple[int | None, float, float]]:
    """Return number, x and y of each shown unit, centered."""
    top = _HEAD + 0.5 * (tallest - len(column.shown) + 1) * _STEP_Y
    return [
        (unit, _LEFT + k * _STEP_X, top + row * _STEP_Y)
        for row, unit in enumerate(column.shown)
    ]


def _lines(edges: Edges, before: Any, after: Any, largest: float) -> Iterator[str]:
    """Yield the lines between two columns, strong ones last."""
    if edges is None:
        for unit, x, y in before:
            for other, x2, y2 in after:
                if unit == other and unit is not None:  # what is done to each unit by itself
                    path = f'd="M{x} {y:g}L{x2} {y2:g}" stroke-dasharray="3 3"'
                    yield f'<path class="faint" {path}/>'
        return
    ends = [(edges[i, j], x, y, x2, y2, i, j)
            for i, x, y in before if i is not None
            for j, x2, y2 in after if j is not None]  # fmt: skip
    for value, x, y, x2, y2, i, j in sorted(ends, key=lambda end: abs(end[0])):
        t = _strength(value, largest)
        yield (
            f'<path class="{"down" if value < 0.0 else "up"}" d="M{x} {y:g}L{x2} {y2:g}" '
            f'stroke-width="{0.8 + 4.2 * t:.2f}" stroke-opacity="{0.15 + 0.75 * t:.2f}">'
            f"<title>from unit {i + 1} to unit {j + 1}: {number(value, 4)}</title></path>"
        )


def _units(column: Column, places: Any, largest: float) -> Iterator[str]:
    """Yield the circles of a column, with their values in them."""
    x, y = places[0][1], places[0][2] - _RADIUS - 12
    middle = 'text-anchor="middle"'
    yield f'<text class="ink" x="{x}" y="{y:g}" {middle}>{escape(column.name)}</text>'
    for row, (unit, x, y) in enumerate(places):
        if unit is None:
            dots = (f'<circle class="ink" cx="{x}" cy="{y + d:g}" r="2"/>' for d in (-9, 0, 9))
            yield "".join(dots)
            continue
        circle = f'cx="{x}" cy="{y:g}" r="{_RADIUS}"'
        yield f'<circle class="page" {circle}/>'  # hides the ends of the lines
        if column.values is None:
            yield f'<circle class="rim" {circle} fill="none" stroke-dasharray="2 3"/>'
            continue
        value = column.values[unit]
        t = _strength(value, largest)
        yield (
            f"<g><title>{escape(column.name)}, unit {unit + 1}: {number(value, 4)}</title>"
            f'<circle class="rim {_sign(value)}" {circle} fill-opacity="{t:.2f}"/>'
            f'<text class="{"lit" if t > 0.75 else "ink"}" x="{x}" y="{y + 4:g}" '
            f'font-size="10.5" {middle}>{number(value, 2)}</text></g>'
        )
        if column.notes:
            yield (
                f'<text class="ink" x="{x + _RADIUS + 12}" y="{y + 4:g}">'
                f"{escape(column.notes[row])}</text>"
            )


def _legend(y: float, nodes: float, lines: float) -> Iterator[str]:
    """Yield a scale of colors, and the values that it stands for."""
    for step in range(-5, 6):
        t = abs(step) / 5
        yield (
            f'<rect x="{75 + 12 * (step + 5)}" y="{y:g}" width="12" height="12" '
            f'class="rim {_sign(step)}" fill-opacity="{t:.2f}" stroke-width="0.3"/>'
        )
    text = f"positive; up to {number(nodes, 2)} in circles, {number(lines, 2)} in lines"
    yield f'<text class="ink" x="69" y="{y + 10:g}" text-anchor="end">negative</text>'
    yield f'<text class="ink" x="213" y="{y + 10:g}">{text}</text>'


def _largest(arrays: Sequence[Any]) -> float:
    sizes = [float(np.abs(a).max()) for a in arrays if a is not None]
    return max([size for size in sizes if np.isfinite(size)], default=0.0)


def _strength(value: float, largest: float) -> float:
    """Return the size of a value from 0 to 1; 1 if it is not finite."""
    if not np.isfinite(value):
        return 1.0
    return abs(float(value)) / largest if largest else 0.0


def _sign(value: float) -> str:
    return "minus" if value < 0.0 else "plus"


def number(value: float, digits: int) -> str:
    """Return a number in so many digits; with two, small ones are short enough for a circle."""
    value = float(value) + 0.0  # not "-0"
    is_small = digits == 2 and 0.0 < abs(value) < 0.01
    text = f"{value:.0e}" if is_small else f"{value:.{digits}g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("-", "\N{MINUS SIGN}")
