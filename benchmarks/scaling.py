"""How step time scales with batch size, width and depth.

Each is doubled up to the largest of the chosen networks while the others stay fixed. Slopes
are of log-log fits to the larger half, where arithmetic outweighs overhead; next to them is the
slope of the operation count, which an ideal implementation would match.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import speed, timing
from benchmarks.cases import Case
from benchmarks.runner import EAGER, Column, Options, Row

DOUBLINGS = 7
DEPTHS = (1, 2, 4, 8, 16)

COLUMNS: dict[str, Column] = {
    "slope": lambda row, others: f"{row.values['slope']:.2f}",
    "of flops": lambda row, others: f"{row.values['flops_slope']:.2f}",
    "/ eager": lambda row, others: (
        "; ".join(
            f"{a / b:.2f}"
            for a, b in zip(*(_times(r) for r in (row, others[EAGER])), strict=True)
        )
        if EAGER in others
        else ""
    ),
    "ms at each": lambda row, others: "; ".join(f"{1e3 * t:.3g}" for t in _times(row)),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Measure the step of each case of each sweep."""
    for axis, cases in sweeps(options.cases).items():
        times: dict[str, list[float]] = {}
        for case in cases.values():
            turns = speed.entrants("step", case, options)
            turns = {name: turn for name, turn in turns.items() if not name.startswith("floor")}
            for name, seconds in timing.medians(turns, options.rounds).items():
                times.setdefault(name, []).append(seconds)
        sizes = list(cases)
        flops_slope = slope(sizes, [case.step_flops for case in cases.values()])
        title = f"{axis} {', '.join(map(str, sizes))}"
        yield [
            Row("scaling", title, name, {
                "axis": axis, "sizes": sizes, "seconds": seconds,
                "slope": slope(sizes, seconds), "flops_slope": flops_slope,
            })
            for name, seconds in times.items()
        ]  # fmt: skip


def sweeps(chosen: tuple[Case, ...]) -> dict[str, dict[int, Case]]:
    """Return the cases along each axis, by size; Adam, ReLU, ten classes."""
    batch = max(case.batch for case in chosen)
    width = max(max(case.sizes) for case in chosen)
    middle = min(width, 256)
    few = min(batch, 256)

    def case(batch: int, width: int, hidden: int) -> Case:
        return Case((*(width,) * (hidden + 1), 10), batch, "relu", "Adam")

    return {
        "batch": {m: case(m, middle, 2) for m in doubled(batch)},
        "width": {n: case(few, n, 2) for n in doubled(width)},
        "depth": {hidden: case(few, middle, hidden) for hidden in DEPTHS},
    }


def doubled(largest: int) -> list[int]:
    """Return sizes that double up to the largest."""
    return [largest >> k for k in range(DOUBLINGS, -1, -1) if largest >> k >= 2]


def slope(sizes: list[int], values: list[float]) -> float:
    """Return the exponent of a power law fitted to the larger half."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def _times(row: Row) -> list[float]:
    return row.values["seconds"]  # type: ignore[no-any-return]
