"""Plots of results: ratios to PyTorch eager, and how step time scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.runner import EAGER, Row
from bpnet.plot.style import look, new_figure

SPEED = ("step", "epoch", "inference")


def draw(rows: list[Row], folder: Path) -> list[Path]:
    """Write the plots for the sections present in the rows; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, sections, picture in (
        ("ratios", SPEED, ratios),
        ("scaling", ("scaling",), scaling),
    ):
        shown = [row for row in rows if row.section in sections]
        if shown:
            written.append(folder / f"{name}.png")
            picture(shown).savefig(written[-1], dpi=150)
    return written


def ratios(rows: list[Row]) -> Figure:
    """Draw a panel per section, a line per case, a marker per contestant."""
    eager = {row[:2]: row.values["seconds"] for row in rows if row.contestant == EAGER}
    rows = [
        row
        for row in rows
        if row[:2] in eager
        and row.contestant != EAGER
        and not row.contestant.startswith("floor")
    ]
    sections = [section for section in SPEED if any(row.section == section for row in rows)]
    cases = list(dict.fromkeys(row.case for row in rows))
    names = list(dict.fromkeys(row.contestant for row in rows))
    figure = new_figure(3.0 + 3.4 * max(1, len(sections)), 1.8 + 0.32 * len(cases))
    panels = figure.subplots(1, max(1, len(sections)), sharey=True, squeeze=False)[0]
    for ax, section in zip(panels, sections, strict=False):
        for k, name in enumerate(names):
            shown = [row for row in rows if row.section == section and row.contestant == name]
            x = [row.values["seconds"] / eager[row[:2]] for row in shown]
            y = [cases.index(row.case) for row in shown]
            ax.plot(x, y, **marker(k, name), label=name)
        ax.axvline(1.0, color="0.4", linewidth=1.0)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))
        ax.set_title(section)
        ax.grid(alpha=0.3)
    panels[0].set_yticks(range(len(cases)), cases)
    panels[0].set_ylim(max(1, len(cases)) - 0.5, -0.5)  # no cases without PyTorch
    figure.supxlabel(f"time relative to {EAGER}; left of 1 is faster")
    _legend(figure, panels)
    return figure


def scaling(rows: list[Row]) -> Figure:
    """Draw a panel per axis, with slopes fitted to the larger half."""
    axes = list(dict.fromkeys(row.values["axis"] for row in rows))
    figure = new_figure(4.6 * len(axes), 5.6)
    panels = figure.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(row.contestant for row in rows))
    for ax, axis in zip(panels, axes, strict=True):
        shown = [row for row in rows if row.values["axis"] == axis]
        for row in shown:
            f = row.values
            milliseconds = [1e3 * seconds for seconds in f["seconds"]]
            label = f"{row.contestant}: {f['slope']:.2f}"
            ax.loglog(
                f["sizes"], milliseconds, **look(names.index(row.contestant)), label=label
            )
        ax.set_xticks(shown[0].values["sizes"], map(str, shown[0].values["sizes"]))
        ax.minorticks_off()
        ax.set_xlabel(axis)
        ax.grid(alpha=0.3)
        slope = f"slope (operations: {shown[0].values['flops_slope']:.2f})"
        ax.legend(
            title=slope, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2
        )
    panels[0].set_ylabel("milliseconds per step")
    return figure


def marker(k: int, name: str) -> dict[str, Any]:
    """Return a style: filled markers for bpnet, hollow ones for its peers."""
    fill = {} if name.startswith("bpnet") else {"markerfacecolor": "none"}
    return look(k) | {"linestyle": ""} | fill


def _legend(figure: Figure, panels: Any) -> None:
    """List each contestant once, above the panels."""
    found: dict[str, Any] = {}
    for ax in panels:
        handles, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(
        found.values(), found, loc="outside upper center", ncols=min(4, len(found) or 1)
    )
