"""Graphs: array operations that are recorded for a file, and computed elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

from bpnet.backend.typing import Array, Namespace

GROUP = "bpnet.graphs"


class Graph(ABC):
    """A graph of array operations: arguments have no values, and rows as many as will come.

    The core runs on it as on a backend: it is given the namespace and arrays. It cannot be a
    :class:`bpnet.Backend`, as there is no device, and no value to read.

    Attributes
    ----------
    xp : namespace
        The Array API namespace whose functions record operations.
    """

    xp: Namespace

    @abstractmethod
    def argument(self, name: str, shape: tuple[int, ...], dtype: str) -> Array:
        """Return a new input, of any number of rows of a shape.

        `dtype` is an Array API name such as "float32", or "str" for text.
        """

    @abstractmethod
    def constant(self, host_array: Any) -> Array:
        """Return a NumPy array, of numbers, bools or strings, as a constant of the graph."""

    @abstractmethod
    def looked_up(self, array: Array, table: Mapping[Any, int]) -> Array:
        """Return the int64 that a table has for each element, 0 for one that it lacks."""

    @abstractmethod
    def encode(self, outputs: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
        """Return the file that computes the outputs from the inputs, equal for equal graphs."""


def new_graph(name: str) -> Graph:
    """Return an empty graph of a file format, which is an entry point of ``bpnet.graphs``.

    Raises
    ------
    ImportError
        If a library that writes it is missing.
    """
    from importlib.metadata import entry_points  # slow to import

    try:
        graph = entry_points(group=GROUP)[name].load()
    except KeyError:
        raise ImportError(
            f"this installation of bpnet does not know {name!r} files; install it anew with: "
            f'pip install "bpnet-array-api[{name}]"'
        ) from None
    except ImportError as error:
        raise ImportError(
            f"{name} files need a library that is missing ({error}); install it with: "
            f'pip install "bpnet-array-api[{name}]"'
        ) from error
    return cast("Graph", graph())
