"""The command ``bpnet demo``: train a network on a spiral and plot the result."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bpnet import datasets, schedules
from bpnet.backend import get_backend
from bpnet.backend.float_errors import without_float_warnings
from bpnet.common.history import History
from bpnet.common.options import writable
from bpnet.common.plurals import number_of
from bpnet.common.streams import complain, save_picture
from bpnet.common.tables import align
from bpnet.diagnosis.gradient_flow import GradientFlow
from bpnet.errors import NonFiniteError
from bpnet.layers import Dense
from bpnet.network import Network
from bpnet.optimizers import Adam

PICTURES = ("loss.png", "decision_boundary.png", "gradient_flow.png")


class Demo:
    """One run of ``bpnet demo``; the parameters are its options, checked on construction.

    Without tqdm it runs without a progress bar, and says so on stderr.

    Raises
    ------
    ValueError, bpnet.BackendError, OSError, ImportError
        If an option is invalid, the backend is unavailable, plots cannot be written to `out`,
        or matplotlib is not installed.
    """

    def __init__(
        self,
        *,
        backend: str | None = None,
        epochs: int,
        hidden: tuple[int, ...],
        activation: str,
        learning_rate: float,
        batch_size: int,
        samples: int,
        classes: int,
        noise: float,
        seed: int,
        dtype: str,
        out: str,
    ) -> None:
        if samples < classes:
            raise ValueError(
                f"argument --samples: must be at least one for each of {classes} classes, "
                f"got {samples}"
            )
        from bpnet import plot
        from bpnet.plot import style  # noqa: F401 - fail before training without matplotlib

        self.plot = plot
        self.backend = get_backend(backend)
        with _blaming("--samples"):
            self.X, self.y = datasets.make_spiral(samples, classes, noise, seed)
        self.classes, self.activation = classes, activation
        self.epochs, self.batch_size = epochs, batch_size
        self.optimizer = Adam(schedules.Cosine(learning_rate, epochs))
        binary = classes == 2
        self.net = Network(
            [
                *(Dense(units, activation) for units in hidden),
                Dense(1 if binary else classes),
            ],
            loss="binary_crossentropy" if binary else "categorical_crossentropy",
            seed=seed,
            dtype=dtype,
        )
        with _blaming("--hidden"):
            self.net.build(2, self.backend)
        self.out = writable(out, PICTURES)

    def run(self) -> int:
        """Train, print the summary, write the plots; return the exit status."""
        try:
            history = self.net.fit(
                self.X,
                self.y,
                optimizer=self.optimizer,
                epochs=self.epochs,
                batch_size=self.batch_size,
                callbacks=[GradientFlow(every=1)],  # for a plot without steps
                progress=_has_tqdm(),
            )
            with without_float_warnings():  # weights that are finite may be too large
                measured = self.net.evaluate(self.X, self.y)
        except NonFiniteError as error:
            return _diverged(f"in {error.found}")
        if not math.isfinite(measured["loss"]):  # the last step diverged
            return _diverged(f"the loss is {measured['loss']}")
        pictures = self._draw(history)
        print(self._summary(history, measured, pictures))
        return 0

    def _draw(self, history: History) -> list[Path]:
        """Write the plots; those by epoch need a completed epoch."""
        arms = f"spiral of {self.classes} classes"
        boundary = self.plot.decision_boundary(self.net, self.X, self.y)
        boundary.set_aspect("equal")
        if (legend := boundary.get_legend()) is not None:  # beside the plot
            legend.set(loc="upper left", bbox_to_anchor=(1.02, 1.0))
        drawn = {"decision_boundary.png": (boundary, f"Probability of each class, {arms}")}
        if history.epochs:
            drawn |= {
                "loss.png": (self.plot.history(history), f"Loss, {arms}"),
                "gradient_flow.png": (
                    self.plot.gradient_flow(history),
                    f"Size of the gradients, {arms}",
                ),
            }
        return [_save(*drawn[name], self.out / name) for name in PICTURES if name in drawn]

    def _summary(
        self, history: History, measured: dict[str, float], pictures: list[Path]
    ) -> str:
        sizes = "-".join(
            str(n) for n in [2, *(layer.n_outputs(0) for layer in self.net.layers)]
        )
        rows = [
            ("backend", self.backend.name),
            ("device", self.backend.device),
            ("dtype", self.net.dtype),
            ("data", f"{len(self.X):,} points, {self.classes} classes"),
            ("network", f"{sizes}, {self.activation}"),
            ("parameters", f"{self.net.n_parameters:,}"),
            ("epochs", f"{history.epochs} of {self.epochs}"),
            ("time", f"{history.seconds:.2f} s"),
            ("final loss", f"{measured['loss']:.4f}"),
            ("accuracy", f"{100.0 * measured['accuracy']:.2f} %"),
            *(("picture", str(path)) for path in pictures),
        ]
        if history.stopped:
            rows.append(
                ("stopped", f"{history.stopped} after {number_of(history.epochs, 'epoch')}")
            )
        return "\n".join(align(rows))


def _diverged(how: str) -> int:
    complain(f"bpnet demo: training diverged, {how}; try a smaller --learning-rate")
    return 1


@contextlib.contextmanager
def _blaming(option: str) -> Iterator[None]:
    """Name the option that asks for more than fits into memory."""
    try:
        yield
    except (MemoryError, ValueError) as error:
        raise ValueError(f"argument {option}: {error}") from error


def _has_tqdm() -> bool:
    """Return whether a progress bar is available; if not, print how to get one."""
    try:
        import tqdm  # noqa: F401
    except ImportError:
        complain("bpnet demo: no progress bar without tqdm: pip install tqdm")
        return False
    return True


def _save(ax: Any, title: str, path: Path) -> Path:
    ax.set_title(title)
    return save_picture(ax.figure, path)
