"""Print the oldest version of each requirement in pyproject.toml, as constraints for pip.

    python .ci/oldest.py > oldest.txt
    pip install --constraint oldest.txt --editable ".[test]"

This keeps the bounds in pyproject.toml alone. Requires the package `packaging`.
"""

from __future__ import annotations

import itertools
import pathlib
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement

PROJECT = pathlib.Path(__file__).parents[1] / "pyproject.toml"


def constraints() -> Iterator[str]:
    """Yield each lower bound as a pin; raise ValueError for a requirement without one."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = itertools.chain(*project["optional-dependencies"].values())
    for text in sorted({*project["dependencies"], *extras}):
        requirement = Requirement(text)
        if requirement.name == project["name"]:
            continue  # an extra that includes other extras
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            raise ValueError(f"{text!r} in pyproject.toml needs one lower bound")
        yield f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    print(*constraints(), sep="\n")
