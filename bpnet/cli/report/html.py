"""Small pieces of HTML: sections, tables and the document around them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from bpnet.cli.report.style import CSS

# Percent of the color in the darkest cell: more would lessen the contrast of its number.
SHADE = 35.0
# Letters of a cell that stay on one line.
_LINE = 40
# Cells that stand on the right.
_NUMBER = re.compile(r"-?[\d,.]+(e[-+]\d+)?( \(<?\d+%\))?|-")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()

    @staticmethod
    def of(text: str) -> Markup:
        """Return text as HTML; what is HTML already stays."""
        return text if isinstance(text, Markup) else Markup(html.escape(text))

    def __add__(self, other: str) -> Markup:
        return Markup(str.__add__(self, Markup.of(other)))


def paragraph(text: str, kind: str = "") -> Markup:
    """Return a paragraph, with the class `kind` of the style."""
    attribute = f' class="{kind}"' if kind else ""
    return Markup(f"<p{attribute}>{Markup.of(text)}</p>")


def command(words: str) -> Markup:
    """Return a command, which a line may end between its words but not within an option."""
    found = re.sub(r"(?<= )(--[\w-]+)", r"<span>\1</span>", Markup.of(words))
    return Markup(f'<pre tabindex="0"><code>{found}</code></pre>')


def section(title: str, *parts: Markup) -> Markup:
    """Return a section under a heading."""
    name = "".join(c if c.isalnum() else "-" for c in title.lower())
    return Markup(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{Markup.of(title)}</h2>'
        f"{''.join(parts)}</section>"
    )


def definitions(rows: Sequence[tuple[str, str]]) -> Markup:
    """Return names with what they stand for."""
    found = "".join(
        f"<div><dt>{Markup.of(name)}</dt><dd>{Markup.of(value)}</dd></div>"
        for name, value in rows
    )
    return Markup(f"<dl>{found}</dl>")


def table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    shades: Sequence[Sequence[float]] | None = None,
) -> Markup:
    """Return a table; the first cell of a row is its heading.

    `shades` from 0 to 1 color the other cells; the numbers in them say the same.
    """
    columns = list(zip(*rows, strict=True))[1:] or [()] * (len(head) - 1)
    kinds = ["", *map(_kind, columns)]
    top = "".join(
        f'<th scope="col"{kind}>{Markup.of(cell)}</th>'
        for cell, kind in zip(head, kinds, strict=True)
    )
    body = []
    for k, (first, *cells) in enumerate(rows):
        found = "".join(
            f"<td{_shade(shades, k, n)}{kinds[n + 1]}>{Markup.of(cell)}</td>"
            for n, cell in enumerate(cells)
        )
        body.append(f'<tr><th scope="row">{Markup.of(first)}</th>{found}</tr>')
    return Markup(
        f'<div class="table" tabindex="0" role="region" aria-label="{Markup.of(caption)}">'
        f"<table><caption>{Markup.of(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _kind(column: Sequence[str]) -> str:
    """Return the class of the cells of a column: numbers, or text of several lines."""
    if all(map(_NUMBER.fullmatch, column)):
        return ' class="number"'
    return ' class="text"' if max(map(len, column)) > _LINE else ""


def _shade(shades: Sequence[Sequence[float]] | None, row: int, cell: int) -> str:
    if shades is None or shades[row][cell] <= 0.0:
        return ""
    return f' style="--share:{SHADE * shades[row][cell]:.0f}%"'


def document(title: str, sections: Sequence[Markup]) -> str:
    """Return a whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{Markup.of(title)} - bpnet report</title><style>{CSS}</style></head>"
        f"<body><header><p>bpnet training report</p><h1>{Markup.of(title)}</h1></header>"
        f"<main>{''.join(sections)}</main></body></html>\n"
    )
