"""The pictures of a report: matplotlib's SVG, in the colors of the page.

Matplotlib draws in marker colors, which become CSS variables, so that one picture suits a
light and a dark page. Text stays text.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from sklearn.calibration import calibration_curve

from bpnet.cli.results import Predictions
from bpnet.common.plurals import number_of

# Marker colors, and the variables of the page that take their place.
_INK, _FAINT, _FIRST, _SECOND = "#010203", "#010204", "#010205", "#010206"
_PAPER = "#010207"
_VARIABLES = {_INK: "--ink", _FAINT: "--faint", _FIRST: "--first", _SECOND: "--second",
              _PAPER: "--paper"}  # fmt: skip
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False,
    "font.family": "sans-serif", "font.size": 10.5,
    "axes.edgecolor": _FAINT, "axes.labelcolor": _INK, "xtick.color": _INK,
    "ytick.color": _INK, "text.color": _INK, "axes.spines.top": False,
    "axes.spines.right": False, "legend.facecolor": _PAPER, "legend.edgecolor": "none",
    "grid.color": _FAINT, "grid.linewidth": 0.4, "axes.grid": True, "axes.axisbelow": True,
    "lines.linewidth": 1.8,
}  # fmt: skip
_WIDTH, _HEIGHT = 4.6, 3.1
# Points of a scatter plot, which make the file large.
_MOST_POINTS = 1000
# Points of a curve that are marked.
_FEW = 10
# Loss over its least value from which on its axis is logarithmic: below, lines would be flat.
_STEEP = 20.0
# Numbers below an axis, for which there is room even if they are long.
_TICKS = 4
# Letters of a column's name beside a bar.
_NAME = 22


class Picture:
    """A figure in the style of the page; `svg` returns it with its description."""

    def __init__(self, name: str, height: float = _HEIGHT) -> None:
        self.name = name
        with mpl.rc_context(_STYLE):
            self.figure = Figure(figsize=(_WIDTH, height), layout="constrained")
            self.ax: Any = self.figure.add_subplot()

    def svg(self, title: str, description: str) -> str:
        """Return an SVG element that screen readers announce by title and description."""
        stream = io.StringIO()
        with mpl.rc_context({**_STYLE, "svg.hashsalt": self.name}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # the browser has other fonts
            self.figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        text = stream.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{self.name}-", text)
        for color, variable in _VARIABLES.items():
            text = text.replace(color, f"var({variable})")
        text = re.sub(r'font: ([\d.]+)px [^;"]*', r"font: \1px var(--font)", text)
        box = text[text.index('viewBox="') :].split('"')[1]
        head = (
            f'<svg role="img" aria-labelledby="{self.name}-title {self.name}-desc" '
            f'viewBox="{box}">'
            f'<title id="{self.name}-title">{html.escape(title)}</title>'
            f'<desc id="{self.name}-desc">{html.escape(description)}</desc>'
        )
        return head + text[text.index(">") + 1 :].strip()


def learning_curves(history: Any, names: list[str], label: str, name: str) -> str:
    """Return metrics by epoch, with the best epoch."""
    picture = Picture(name)
    words = []
    lines = zip(names, (_FIRST, _SECOND), ("-", "--"), strict=False)
    for metric, color, style in lines:
        values = history[metric]
        shown = "validation" if metric.startswith("val_") else "training"
        with mpl.rc_context(_STYLE):
            marker = "o" if len(values) == 1 else None
            picture.ax.plot(range(1, len(values) + 1), values, style, color=color,
                            label=shown, marker=marker)  # fmt: skip
        words.append(f"{shown} from {values[0]:.3g} to {values[-1]:.3g}")
    best = history.best_epoch
    with mpl.rc_context(_STYLE):
        if best:
            picture.ax.axvline(best, color=_INK, linestyle=":", linewidth=1.2,
                               label=f"best epoch ({best})")  # fmt: skip
        picture.ax.set(xlabel="epoch", ylabel=label)
        every = np.concatenate([history[metric] for metric in names])
        if "loss" in names and 0.0 < _STEEP * np.min(every) < np.max(every) < np.inf:
            _logarithmic(picture.ax)
        picture.ax.set_xlim(0.5, history.epochs + 0.5)
        picture.ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        picture.ax.legend()
    return picture.svg(
        f"{label.capitalize()} by epoch",
        f"Over {number_of(history.epochs, 'epoch')}: {', '.join(words)}.",
    )


def gradient_norms(history: Any) -> str:
    """Return the norm of each layer's gradient by epoch."""
    picture = Picture("gradients")
    curves = np.array(
        [values for name, values in history.items() if name.startswith("gradient_norm/")]
    )
    is_new = np.any(curves[:, 1:] != curves[:, :-1], axis=0)  # others repeat the last values
    measured = np.flatnonzero([True, *is_new])
    curves, epochs = curves[:, measured], measured + 1
    marker = "o" if len(epochs) <= _FEW else None
    looks = [(color, style) for style in ("-", "--", ":", "-.") for color in (_FIRST, _SECOND)]
    with mpl.rc_context(_STYLE):
        for number, (values, (color, style)) in enumerate(zip(curves, cycle(looks)), 1):
            picture.ax.plot(epochs, np.where(values > 0.0, values, np.nan),
                            style, color=color, label=f"layer {number}", linewidth=1.4,
                            marker=marker, markersize=4)  # fmt: skip
        picture.ax.set(xlabel="epoch", ylabel="norm of the gradient")
        _logarithmic(picture.ax)
        picture.ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        picture.ax.legend(fontsize=8.5, ncols=2)
    first, last = float(curves[0][-1]), float(curves[-1][-1])
    return picture.svg(
        "Gradients by epoch", f"In epoch {epochs[-1]} {first:.2g} in the first layer and "
        f"{last:.2g} in the last of {len(curves)}."
    )  # fmt: skip


def _logarithmic(ax: Any) -> None:
    """Draw powers of ten on the vertical axis, and numbers in between if these are few."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")  # mathematical text is not parsed
    low, high = ax.get_ylim()
    if high < 100.0 * low:  # there may be no power of ten
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter("{x:g}")
    else:
        ax.yaxis.set_minor_formatter(NullFormatter())


def reliability(predictions: Predictions) -> str:
    """Return how often what is predicted with a probability is true."""
    p = predictions.outputs
    if p.shape[1] == 2:
        truth, stated = predictions.y == 1, p[:, 1]
        what = f"of {predictions.classes[1]!r}" if predictions.classes else "of class 1"
        share = f"share {what}"
    else:
        truth, stated = np.argmax(p, axis=1) == predictions.y, np.max(p, axis=1)
        what, share = "of the predicted class", "share that is right"
    bins = max(3, min(10, len(stated) // 20))
    right, mean = calibration_curve(truth, np.clip(stated, 0.0, 1.0), n_bins=bins,
                                    strategy="quantile")  # fmt: skip
    picture = Picture("calibration")
    with mpl.rc_context(_STYLE):
        picture.ax.plot([0, 1], [0, 1], ":", color=_INK, linewidth=1.2, label="as stated")
        picture.ax.plot(mean, right, "o-", color=_FIRST, label="test rows")
        picture.ax.set(xlabel=f"probability {what}", ylabel=share,
                       xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))  # fmt: skip
        picture.ax.legend(loc="upper left")
    gap = float(np.max(np.abs(right - mean)))
    return picture.svg(
        "Calibration", f"In {len(mean)} groups of test rows, the {share} differs from "
        f"the probability by at most {gap:.2f}."
    )  # fmt: skip


def predicted_and_actual(predictions: Predictions, target: str) -> str:
    """Return predictions against what was true, of some test rows."""
    y, found = predictions.y, predictions.outputs
    rows = np.random.default_rng(0).permutation(len(y))[:_MOST_POINTS]
    low, high = float(min(y.min(), found.min())), float(max(y.max(), found.max()))
    picture = Picture("scatter")
    with mpl.rc_context(_STYLE):
        picture.ax.plot([low, high], [low, high], ":", color=_INK, label="exact")
        picture.ax.plot(found[rows], y[rows], "o", color=_FIRST, markersize=3.5, alpha=0.6,
                        markeredgewidth=0, label="test rows")  # fmt: skip
        picture.ax.set(xlabel=f"predicted {target}", ylabel=f"actual {target}")
        picture.ax.xaxis.set_major_locator(MaxNLocator(_TICKS))
        picture.ax.legend()
    r = float(np.corrcoef(y, found)[0, 1]) if np.std(found) > 0 else float("nan")
    return picture.svg("Predicted and actual values", f"Their correlation is {r:.2f}.")


def residuals(predictions: Predictions, target: str) -> str:
    """Return how the errors are distributed."""
    error = predictions.outputs - predictions.y
    picture = Picture("residuals")
    with mpl.rc_context(_STYLE):
        picture.ax.hist(error, bins=30, color=_FIRST, edgecolor="none")
        picture.ax.axvline(0.0, color=_INK, linestyle=":", linewidth=1.2)
        picture.ax.set(xlabel=f"predicted minus actual {target}", ylabel="test rows")
        picture.ax.xaxis.set_major_locator(MaxNLocator(_TICKS))
    low, high = np.percentile(error, [5.0, 95.0])
    return picture.svg("Residuals", f"90 percent lie between {low:.3g} and {high:.3g}.")


def calibration_of_numbers(predictions: Predictions, target: str) -> str:
    """Return the mean of what was true, where about the same was predicted."""
    order = np.argsort(predictions.outputs)
    parts = [part for part in np.array_split(order, max(3, min(10, len(order) // 20)))
             if len(part)]  # fmt: skip
    mean = np.array([predictions.outputs[part].mean() for part in parts])
    true = np.array([predictions.y[part].mean() for part in parts])
    picture = Picture("calibration")
    with mpl.rc_context(_STYLE):
        ends = [min(mean.min(), true.min()), max(mean.max(), true.max())]
        picture.ax.plot(ends, ends, ":", color=_INK, linewidth=1.2, label="exact")
        picture.ax.plot(mean, true, "o-", color=_FIRST, label="groups of test rows")
        picture.ax.set(xlabel=f"mean predicted {target}", ylabel=f"mean actual {target}")
        picture.ax.xaxis.set_major_locator(MaxNLocator(_TICKS))
        picture.ax.legend()
    return picture.svg(
        "Calibration", f"In {len(parts)} groups of test rows with similar predictions, means "
        f"differ by at most {np.max(np.abs(mean - true)):.3g}."
    )  # fmt: skip


def importance_bars(names: list[str], means: Any, spreads: Any, metric: str) -> str:
    """Return how much worse a metric gets without each column."""
    picture = Picture("importance", 0.9 + 0.27 * len(names))
    places = np.arange(len(names))[::-1]
    shown = [n if len(n) <= _NAME else f"{n[: _NAME - 1]}…" for n in names]
    with mpl.rc_context(_STYLE):
        picture.ax.barh(places, means, xerr=spreads, color=_FIRST, ecolor=_INK,
                        error_kw={"linewidth": 1.0})  # fmt: skip
        picture.ax.set_yticks(places, shown)
        picture.ax.grid(visible=False, axis="y")
        picture.ax.set(xlabel=f"increase of the {metric}")
        picture.ax.xaxis.set_major_locator(MaxNLocator(_TICKS))
    return picture.svg(
        "Permutation importance", f"The most important column is {names[0]!r}, whose "
        f"permutation raises the {metric} by {means[0]:.3g}."
    )  # fmt: skip
