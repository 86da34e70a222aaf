"""The report: well-formed, without network or script, accessible, and right."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bpnet.cli.report import figures
from bpnet.cli.report.html import SHADE, Markup, command, table
from bpnet.cli.report.importance import importance_of
from bpnet.cli.report.style import CSS
from bpnet.cli.results import Predictions
from bpnet.common.history import History

VOID = {"meta", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """Collect elements, and check that they are nested and closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def text(trained):
    return (trained / "model" / "report.html").read_text(encoding="utf-8")


def test_it_needs_no_network_and_no_script(text):
    page = Page(text)
    assert not page.all("script") + page.all("link") + page.all("img") + page.all("iframe")
    links = [value for _, found in page.found for name, value in found.items()
             if name in ("href", "src", "xlink:href")]  # fmt: skip
    assert all(link.startswith("#") for link in links)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert not re.search(r"\son\w+=", text)


def test_it_is_accessible(text):
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in (
        page.all("meta")
    )
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert len(page.all("table")) == len(page.all("caption")) > 3
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    ids = [found["id"] for _, found in page.found if "id" in found]
    assert len(ids) == len(set(ids))
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert all(name in ids for name in svg["aria-labelledby"].split())
    for _, found in page.found:
        for name in re.findall(r"url\(#([^)]*)\)", str(found)) + [
            v[1:] for n, v in found.items() if n == "xlink:href"
        ]:
            assert name in ids


def test_axes_have_numbers_and_no_markup_of_tex(text):
    assert "mathdefault" not in text
    history = {"gradient_norm/1": [0.001, 0.002], "gradient_norm/2": [0.5, 10.0]}
    assert ">0.001</text>" in figures.gradient_norms(history)


def ticks(picture, name="gradients"):
    """Return the numbers beside the vertical axis."""
    return re.findall(
        r">([\d.]+)</text>", picture.partition(f'id="{name}-matplotlib.axis_2"')[2]
    )


@pytest.mark.parametrize(
    ("losses", "is_logarithmic"),
    [
        ([60.0, 4.0, 0.5], True),
        ([1.5, 0.8, 0.5], False),
        ([60.0, 4.0, -0.5], False),
        ([60.0, 4.0, 0.0], False),
        ([np.inf, 60.0, 0.5], False),
        ([np.nan, 60.0, 0.5], False),
    ],
)
def test_a_loss_that_falls_far_can_still_be_read_in_the_end(losses, is_logarithmic):
    history = History()
    history.history |= {"loss": losses, "val_loss": losses, "val_accuracy": [0.01, 0.5, 0.9]}
    picture = figures.learning_curves(history, ["loss", "val_loss"], "loss", "loss")
    assert ({"1", "10"} <= set(ticks(picture, "loss"))) is is_logarithmic
    shares = figures.learning_curves(history, ["val_accuracy"], "accuracy", "metric")
    assert "0.6" in ticks(shares, "metric")


def test_gradients_are_drawn_where_they_were_measured():
    history = {"gradient_norm/1": [0.3, 0.3, 0.3, 0.6], "gradient_norm/2": [0.5, 0.5, 0.5, 0.5]}
    picture = figures.gradient_norms(history)
    assert "In epoch 4 0.6 in the first layer" in picture
    assert len(ticks(picture)) >= 2  # though there is no power of ten
    assert "In epoch 1 0.3" in figures.gradient_norms({"gradient_norm/1": [0.3, 0.3]})


def test_long_text_in_a_table_may_wrap_and_numbers_may_not():
    found = table("a table", ("name", "why", "count"), [("a", "many words " * 9, "1,000")])
    assert '<td class="text">many' in found
    assert '<td class="number">1,000' in found


def test_lines_of_a_command_do_not_end_within_an_option():
    found = command("bpnet train 'a --b.csv' --target <y> --test-size 0.2")
    assert "<span>--target</span> &lt;y&gt; <span>--test-size</span> 0.2" in found


def test_the_calibration_of_two_classes_is_the_share_of_the_second():
    y, p = np.arange(100) % 2, np.linspace(0.1, 0.9, 100)
    two = Predictions(y, np.stack([1.0 - p, p], axis=1), [0.5, 0.5], ["no", "yes"])
    three = Predictions(
        y, np.stack([1.0 - p, p, 0.0 * p], axis=1), [0.5, 0.5, 0.0], list("abc")
    )
    assert ">share of 'yes'</text>" in figures.reliability(two).replace("&#x27;", "'")
    assert ">share that is right</text>" in figures.reliability(three)


def test_what_a_legend_covers_does_not_shine_through():
    picture = figures.reliability(
        Predictions(np.arange(60) % 2, np.full((60, 2), 0.5), [0.5, 0.5], ["no", "yes"])
    )
    assert "fill: var(--paper)" in picture.partition("legend_1")[2]


def test_headings_are_in_order(text):
    levels = [int(tag[1]) for tag, _ in Page(text).found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) == 1


@pytest.mark.parametrize(
    "words",
    ["Summary", "Confusion matrix", "Calibration", "Permutation importance", "Gradient flow",
     "layer 1", "Diagnosis", "Data",
     "Configuration", "Environment", "bpnet train", "best epoch", "key", "an id", "numpy:cpu",
     "prefers-color-scheme: dark", "@media print"],
)  # fmt: skip
def test_it_says_what_it_should(text, words):
    assert words in text


def colors(css):
    return dict(re.findall(r"--(\w+): (#\w{6})", css))


def contrast(a, b):
    """Return the contrast of two colors by WCAG 2.2."""

    def luminance(color):
        parts = np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_the_colors_have_contrast():
    light, dark, printed = CSS.split("@media (prefers")[0], CSS.split("scheme")[1], CSS.split(
        "@media print")[1]  # fmt: skip
    for css in (light, dark, printed):
        found = colors(css)
        for name in ("ink", "soft", "first", "second"):
            least = 7.0 if name in ("ink", "soft") else 3.0  # text, and what is drawn
            assert contrast(found[name], found["paper"]) >= least, name
        assert contrast(found["ink"], found["panel"]) >= 7.0
        first, paper = (
            np.array([int(found[name][k : k + 2], 16) for k in (1, 3, 5)])
            for name in ("first", "paper")
        )
        shade = SHADE / 100.0 * first + (1.0 - SHADE / 100.0) * paper
        darkest = "#" + "".join(f"{round(part):02x}" for part in shade)
        assert contrast(found["ink"], darkest) >= 7.0


def test_names_from_a_file_cannot_be_markup():
    evil = "<script>alert(1)</script>&\"'$x$"
    found = table(evil, ("a", evil), [(evil, evil)])
    assert "<script" not in found
    assert isinstance(found, Markup)
    predictions = Predictions(np.arange(30.0), np.arange(30.0) + 1, 0.0, None)
    for picture in (
        figures.residuals(predictions, evil),
        figures.importance_bars([evil, "größe 数"], np.ones(2), np.ones(2), "RMSE"),
    ):
        assert "<script" not in picture
        assert "alert(1)" in picture


def test_importance_finds_the_column_that_matters():
    import polars as pl

    class Model:
        def predict(self, X):
            return 3.0 * X["a"].to_numpy()

    a = np.random.default_rng(0).normal(size=200)
    X = pl.DataFrame({"b": a[::-1], "a": a})
    found = importance_of(Model(), X, Predictions(3.0 * a, 3.0 * a, 0.0, None), "regression")
    assert found.names == ["a", "b"]
    assert found.means[0] == pytest.approx(3.0 * 2**0.5, rel=0.2)
    assert found.means[1] == 0.0
    assert found.skipped == 0
