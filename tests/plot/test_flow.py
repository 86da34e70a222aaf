"""The picture of one example on its way through a network."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import bpnet
from bpnet import plot
from bpnet.losses import LOSSES

SVG = "{http://www.w3.org/2000/svg}"


def network(*layers, loss="binary_crossentropy", **settings):
    return bpnet.Network(layers, loss, seed=0, dtype="float64", **settings).build(2)


@pytest.fixture
def net():
    return network(bpnet.Dense(3, "tanh"), bpnet.Dense(1))


def parsed(flow):
    return ElementTree.fromstring(flow.svg)


def tips(flow):
    """Return what is told of each circle and line, by the mouse."""
    return [title.text for title in parsed(flow).iter(f"{SVG}title")][1:]


def test_it_shows_the_numbers_of_the_trace(net):
    flow = plot.example_flow(net, [0.5, -1.0], 1)
    trace = net.trace([0.5, -1.0], 1)
    assert list(flow.trace) == list(trace)
    told = tips(flow)
    for name in ("a1", "a2", "delta1", "delta2"):
        for unit, value in enumerate(trace[name][0], start=1):
            text = f"{name}, unit {unit}: {value:.4g}".replace("-", "\N{MINUS SIGN}")
            assert (
                text in [tip.replace("e\N{MINUS SIGN}", "e-0") for tip in told] or text in told
            )
    W, x = net.parameters[0]["W"], np.array([0.5, -1.0])
    added = f"{x[1] * W[1, 2]:.4g}".replace("-", "\N{MINUS SIGN}")
    assert f"from unit 2 to unit 3: {added}" in told
    gradient = f"{trace['dW2'][2, 0]:.4g}".replace("-", "\N{MINUS SIGN}")
    assert f"from unit 3 to unit 1: {gradient}" in told
    texts = [text.text for text in parsed(flow).iter(f"{SVG}text")]
    assert f"p = {trace['p'][0, 0]:.3g}, y = 1" in texts
    assert any(f"Loss {float(trace['loss']):.3g}" in text for text in texts)


def test_colors_tell_the_sign_and_strength_the_size(net):
    flow = plot.example_flow(net, [0.5, -1.0], 1)
    circles = [c for c in parsed(flow).iter(f"{SVG}circle") if "rim" in c.get("class")]
    x, minus = circles[0], circles[1]
    assert (x.get("class"), x.get("fill-opacity")) == ("rim plus", "0.50")
    assert (minus.get("class"), minus.get("fill-opacity")) == ("rim minus", "1.00")


def test_it_is_accessible_and_has_a_light_and_a_dark_version(net):
    first, second = (
        plot.example_flow(net, [0.5, -1.0], 1),
        plot.example_flow(net, [1.0, 1.0], 0),
    )
    svg = parsed(first)
    assert svg.get("role") == "img"
    title, description = svg.get("aria-labelledby").split()
    named = {e.get("id"): e for e in svg if e.get("id")}
    assert named[title].text.startswith("One example on its way through 2 layers")
    assert "Two drawings of the network" in named[description].text
    assert "prefers-color-scheme: dark" in first.svg
    assert parsed(second).get("class") != svg.get("class")  # no styles or names in common
    for rule in svg.find(f"{SVG}style").text.split("}"):
        assert "{" not in rule or svg.get("class") in rule or "@media" in rule


def test_of_many_units_the_first_and_the_last_are_drawn():
    net = network(bpnet.Dense(20, "tanh"), bpnet.Dense(1))
    told = tips(plot.example_flow(net, [0.5, -1.0], 1, max_units=5))
    shown = [tip.partition(":")[0] for tip in told if tip.startswith("a1, ")]
    assert shown == [f"a1, unit {k}" for k in (1, 2, 3, 19, 20)]


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_is_drawn(loss):
    net = network(bpnet.Dense(3, "relu"), bpnet.Dense(2), loss=loss)
    flow = plot.example_flow(net, [0.5, -1.0], [1.0, 0.0])
    texts = [text.text for text in parsed(flow).iter(f"{SVG}text")]
    assert sum(", y = 1" in str(text) for text in texts) == 1


def test_other_layers_are_drawn_unit_by_unit():
    layers = [bpnet.Dense(4, "relu"), bpnet.LayerNorm(), bpnet.Dropout(0.5),
              bpnet.Residual([bpnet.Dense(4, "tanh")]), bpnet.Dense(3)]  # fmt: skip
    net = network(*layers, loss="categorical_crossentropy")
    flow = plot.example_flow(net, [0.5, -1.0], 2)
    links = [p for p in parsed(flow).iter(f"{SVG}path") if p.get("class") == "faint"]
    assert len(links) == 2 * 3 * 4
    assert "p = " in flow.svg
    assert ", y = 1" in flow.svg


def test_the_neural_tangent_parametrization_adds_less():
    net = network(bpnet.Dense(1, parametrization="ntk"), loss="mse")
    added = net.parameters[0]["W"][0, 0] / np.sqrt(2.0)
    text = f"{added:.4g}".replace("-", "\N{MINUS SIGN}")
    assert f"from unit 1 to unit 1: {text}" in tips(plot.example_flow(net, [1.0, 0.0], 0.5))


def test_one_row_of_the_data_is_an_example(net):
    alone = plot.example_flow(net, [0.5, -1.0], 1).svg
    for y in (1, [1], [[1]]):
        assert plot.example_flow(net, np.array([[0.5, -1.0]]), np.array(y)).svg == alone
    with pytest.raises(ValueError, match=r"got \(2, 2\); take one: X\[0\]"):
        plot.example_flow(net, np.ones((2, 2)), [0, 1])


def test_a_notebook_shows_it_and_a_file_holds_it(net, tmp_path):
    flow = plot.example_flow(net, [0.5, -1.0], 1)
    assert flow._repr_svg_() == flow.svg
    flow.save(tmp_path / "flow.svg")
    assert (tmp_path / "flow.svg").read_text(encoding="utf-8") == flow.svg
    assert repr(flow).startswith("ExampleFlow(z1, a1, ")
    with pytest.raises(OSError, match="no-such"):
        flow.save(tmp_path / "no-such" / "flow.svg")


def test_arrays_of_every_backend_are_drawn(net, backend):
    reference = plot.example_flow(net, [0.5, -1.0], 1).svg
    net.to(backend)
    x = backend.asarray(np.array([0.5, -1.0]))
    assert len(plot.example_flow(net, x, 1).svg) == len(reference)


def test_it_needs_no_matplotlib():
    program = (
        "import sys\n"
        "sys.modules['matplotlib'] = sys.modules['matplotlib.axes'] = None\n"
        "import bpnet\n"
        "net = bpnet.Network([bpnet.Dense(1)], 'mse', seed=0).build(2)\n"
        "assert bpnet.plot.example_flow(net, [1.0, 2.0], 3.0).svg.startswith('<svg')\n"
        "for name, kind in (('history', ImportError), ('nothing', AttributeError)):\n"
        "    try:\n"
        "        getattr(bpnet.plot, name)\n"
        "    except kind as error:\n"
        "        assert ('pip install matplotlib' in str(error)) == (name == 'history')\n"
        "    else:\n"
        "        raise AssertionError(name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
