"""The command ``bpnet``: a demonstration, and a table of the backends.

Whatever is wrong with its options ends in one line on stderr and exit status 2, before
anything is computed.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import bpnet
from bpnet._checks import check_number
from bpnet._summary import align
from bpnet.activations import ACTIVATIONS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str or None
        The arguments after the command's name; None takes those of the process.

    Returns
    -------
    int
        The exit status: 0, or 2 for bad options, 1 for a training that diverged, 130 for
        Ctrl-C outside of training.

    Examples
    --------
    >>> main(["--version"])
    bpnet ...
    0
    """
    try:
        options = vars(_parser().parse_args(argv))
        run = options.pop("run")
        return run(options) or 0
    except SystemExit as exit_:  # how argparse ends
        return int(exit_.code or 0)
    except KeyboardInterrupt:
        print("bpnet: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bpnet", description="Backpropagation on any array library.")
    parser.add_argument("--version", action="version", version=f"bpnet {bpnet.__version__}")
    parser.set_defaults(run=lambda options: parser.print_help())
    commands = parser.add_subparsers(metavar="COMMAND")

    backends = commands.add_parser(
        "backends", help="list the backends with their devices, or why they cannot be used"
    )
    backends.set_defaults(run=lambda options: print(_backends()))

    demo = commands.add_parser(
        "demo",
        help="train on a spiral and draw what was learnt",
        description="Train a network on the arms of a spiral; draw loss, decision boundary "
        "and gradients.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_demo_options(demo)
    demo.set_defaults(run=functools.partial(_demo, demo))
    return parser


def _demo(parser: argparse.ArgumentParser, options: dict[str, Any]) -> int:
    from bpnet.demo import Demo

    try:
        demo = Demo(**options)
    except (ValueError, OSError, ImportError, bpnet.BackendError) as error:
        parser.error(str(error))
    return demo.run()


def _backends() -> str:
    """Write the table of backends, with the reason why one cannot be used."""
    rows = [("backend", "version", "devices", "why not")]
    for name, info in bpnet.available_backends().items():
        devices = ", ".join(info.devices) or "-"
        rows.append((name, info.version or "-", devices, _one_line(info.reason or "")))
    return "\n".join(align(rows))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {_one_line(message)}\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _add_demo_options(demo: argparse.ArgumentParser) -> None:
    add = demo.add_argument
    add("--backend", default=argparse.SUPPRESS,
        help="where to train, such as numpy, cupy:1, torch:cuda:0, jax, auto; without it, "
        "what BPNET_BACKEND says, else numpy")  # fmt: skip
    add("--epochs", type=_integer(1), default=200, help="passes over the data")
    add("--hidden", type=_sizes, default="64,64", help="units of the hidden layers")
    add("--activation", choices=sorted(ACTIVATIONS), default="tanh", metavar="NAME",
        help=f"of the hidden layers: {', '.join(sorted(ACTIVATIONS))}")  # fmt: skip
    add("--learning-rate", type=_number(0.0, 1000.0, above=True), default=0.01,
        help="of Adam at the start; it falls to 0 along a cosine")  # fmt: skip
    add("--batch-size", type=_integer(1), default=32, help="examples in a step")
    add("--samples", type=_integer(2), default=400, help="number of points in all")
    add("--classes", type=_integer(2), default=2, help="number of arms")
    add("--noise", type=_number(0.0, 100.0), default=0.2, help="of the angle, in radians")
    add("--seed", type=_integer(0), default=0, help="of data, weights and shuffles")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of the network")
    add("--out", type=_directory, default="demo-output", help="directory for the pictures")


def _integer(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")
        return value

    return parse


def _number(
    minimum: float, maximum: float = math.inf, *, above: bool = False
) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        try:
            return check_number("", value, minimum, maximum, above=above)
        except ValueError as error:
            allowed = str(error).strip().rpartition(",")[0]
            raise argparse.ArgumentTypeError(f"{allowed}, got {text!r}") from None

    return parse


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(_integer(1), text.split(",")))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be layer sizes >= 1 with commas between, such as 64,64; got {text!r}"
        ) from None


def _directory(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must name a directory, got {text!r}")
    return text
