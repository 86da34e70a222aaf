"""Where in bpnet's own code a quantity is computed, read from the code itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Line(NamedTuple):
    """A line of code; prints as ``layers.py:203   z = xp.matmul(...)``.

    Attributes
    ----------
    file : str
        Name of the file, in the package.
    number : int
        Number of the line, from 1.
    text : str
        The statement, without its indentation.
    """

    file: str
    number: int
    text: str

    @property
    def place(self) -> str:
        """File and number."""
        return f"{self.file}:{self.number}"

    def __str__(self) -> str:
        return f"{self.place}   {self.text}"


def line_of(function: Callable[..., Any], target: str, which: int = -1) -> Line:
    """Find where a function computes something.

    Parameters
    ----------
    function : callable
        A function or method written in Python.
    target : str
        The name of a variable, for the statement(s) that assign it; a string that is a key
        of a dict, for its entry; "return", for a return statement.
    which : int, default -1
        Which of several return statements; -1 is the last.

    Raises
    ------
    LookupError
        If the function does no such thing.

    Examples
    --------
    >>> from bpnet.activations import tanh
    >>> line_of(tanh.df, "return").text
    'return 1.0 - a * a'
    """
    source, first = inspect.getsourcelines(function)
    source_text = textwrap.dedent("".join(source))
    found = sorted(_matching(ast.parse(source_text), target), key=lambda node: node.lineno)
    if not found:
        raise LookupError(f"{function.__qualname__} computes no {target!r}")
    if target == "return":
        found = [found[which]]
    parts = [ast.get_source_segment(source_text, node) or "" for node in found]
    return Line(
        Path(inspect.getsourcefile(function) or "").name,
        first + found[0].lineno - 1,
        "; ".join(" ".join(part.split()) for part in parts),
    )


def _matching(tree: ast.AST, target: str) -> Iterator[ast.stmt | ast.expr]:
    """Give what computes the target."""
    for node in ast.walk(tree):
        match node:
            case ast.Return() if target == "return":
                yield node
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AugAssign(target=ast.Name(id=name))
            ) if name == target:
                yield node
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == target:
                        yield value
