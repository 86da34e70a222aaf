"""The command ``bpnet``: a demo, the backends and their parity, experiments, and tables.

The commands for tables are in :mod:`bpnet.cli.app`, which needs the extra "cli". Invalid
options end in one line on stderr and exit status 2, before anything is computed.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from typing import Any

from bpnet import datasets
from bpnet.activations import ACTIVATIONS
from bpnet.backend import available_backends
from bpnet.cli.commands import COMMANDS, INSTALL, needs_extra
from bpnet.common.checks import check_sequence, check_text
from bpnet.common.options import Parser, directory, integer, names, number, sizes
from bpnet.common.streams import complain, one_line, written
from bpnet.common.tables import align
from bpnet.common.version import __version__
from bpnet.errors import BackendError
from bpnet.layers import Dense, Dropout
from bpnet.network import Network


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str or None
        The arguments after the command's name; None is ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit status: 0; 1 if training diverged, backends differ, an exercise is not solved
        or the output cannot be written (a closed pipe is no more than that); 2 for bad options;
        130 for Ctrl-C outside of training.

    Examples
    --------
    >>> main(["--version"])
    bpnet ...
    0
    """
    if argv is not None:
        argv = check_sequence("argv", argv, check_text, 0)
    return written("bpnet", functools.partial(_run, argv))


def _run(argv: Sequence[str] | None) -> int:
    try:
        words = sys.argv[1:] if argv is None else argv
        if needs_extra(words, os.environ):
            return _run_extra(words)
        options = vars(_parser(words).parse_args(argv))
        run = options.pop("run")
        return int(run(options) or 0)
    except SystemExit as exit_:  # raised by argparse
        return int(exit_.code or 0)
    except KeyboardInterrupt:
        complain("bpnet: interrupted")
        return 130


def _run_extra(words: Sequence[str]) -> int:
    """Run a command for tables, or say how to install what it needs."""
    try:
        from bpnet.cli import app

        if "_BPNET_COMPLETE" in os.environ:
            app.complete()
        return app.run(words)
    except ImportError as error:
        what = error.name if isinstance(error, ModuleNotFoundError) else str(error)
        complain(f"bpnet {' '.join(words[:1])}: error: it needs {what}: {INSTALL}")
        return 2


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands, for these words."""
    parser = Parser(prog="bpnet", description="Backpropagation on any array library.")
    parser.add_argument("--version", action="version", version=f"bpnet {__version__}")
    parser.set_defaults(run=lambda options: parser.print_help())
    commands = parser.add_subparsers(metavar="COMMAND")

    backends = commands.add_parser(
        "backends", help="list the backends with their devices, or why they are unavailable"
    )
    backends.set_defaults(run=lambda options: print(_backends()))

    demo = commands.add_parser(
        "demo",
        help="train on a spiral and plot the result",
        description="Train a network on a spiral; plot loss, decision boundary and gradients.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_demo_options(demo)
    demo.set_defaults(run=functools.partial(_demo, demo))

    compare = commands.add_parser(
        "parity",
        help="train the same network on every backend, and compare",
        description="Train a network with dropout on a spiral on each device, and compare "
        "weights, masks, batches, losses and predictions with NumPy's; the exit status is 1 if "
        "a tolerance is exceeded.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_parity_options(compare)
    compare.set_defaults(run=functools.partial(_parity, compare))
    learn = commands.add_parser(
        "learn",
        help="experiments and exercises on backpropagation",
        description="Run an experiment: print and interpret its numbers, and save its plot. Or "
        "write an exercise to fill in, and grade it.",
    )
    if "learn" in words:  # it imports more than all others
        from bpnet.learn import command

        command.add_to(learn)
    for name, summary in COMMANDS.items():  # listed here, and run by bpnet.cli.app
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def _demo(parser: argparse.ArgumentParser, options: dict[str, Any]) -> int:
    from bpnet.cli.demo import Demo

    try:
        demo = Demo(**options)
    except (ValueError, OSError, ImportError, BackendError) as error:
        parser.error(str(error))
    return demo.run()


def _parity(parser: argparse.ArgumentParser, options: dict[str, Any]) -> int:
    """Train a network that uses everything that can differ, and print the table."""
    from bpnet.testing.parity import parity

    X, y = datasets.make_spiral(200, seed=0)
    layers = [Dense(16, "tanh"), Dropout(0.2), Dense(16, "relu"), Dense(1)]
    net = Network(layers, "binary_crossentropy", seed=0, dtype=options["dtype"])
    try:
        report = parity(net, X, y, options["backends"], epochs=options["epochs"])
    except (ValueError, BackendError) as error:
        parser.error(f"argument --backends: {error}")
    print(report)
    return 0 if report.passed else 1


def _backends() -> str:
    """Return the table of backends, with the reason why one is unavailable."""
    rows = [("backend", "version", "devices", "why not")]
    for name, info in available_backends().items():
        devices = ", ".join(info.devices) or "-"
        rows.append((name, info.version or "-", devices, one_line(info.reason or "")))
    return "\n".join(align(rows))


def _add_parity_options(parity: argparse.ArgumentParser) -> None:
    add = parity.add_argument
    add("--backends", type=names, default=None,
        help="which to compare with NumPy, such as torch,jax; without it, every device of "
        "every available backend")  # fmt: skip
    add("--dtype", choices=("float32", "float64"), default="float64", help="of the network")
    add("--epochs", type=integer(1), default=20, help="passes over the data")


def _add_demo_options(demo: argparse.ArgumentParser) -> None:
    add = demo.add_argument
    add("--backend", default=argparse.SUPPRESS,
        help="the backend, such as numpy, cupy:1, torch:cuda:0, jax or auto; default: "
        "BPNET_BACKEND, or numpy")  # fmt: skip
    add("--epochs", type=integer(1), default=200, help="passes over the data")
    add("--hidden", type=sizes, default="64,64", help="units of each hidden layer")
    add("--activation", choices=sorted(ACTIVATIONS), default="tanh", metavar="NAME",
        help=f"of the hidden layers: {', '.join(sorted(ACTIVATIONS))}")  # fmt: skip
    add("--learning-rate", type=number(0.0, 1000.0, above=True), default=0.01,
        help="initial rate of Adam, with cosine decay to 0")  # fmt: skip
    add("--batch-size", type=integer(1), default=32, help="examples per step")
    add("--samples", type=integer(2), default=400, help="total number of points")
    add("--classes", type=integer(2), default=2, help="number of arms")
    add("--noise", type=number(0.0, 100.0), default=0.2, help="of the angle, in radians")
    add("--seed", type=integer(0), default=0, help="of data, weights and shuffling")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of the network")
    add("--out", type=directory, default="demo-output", help="directory for the plots")
