"""The form of targets, which all batches of a loader and all blocks of a stream have alike."""

from __future__ import annotations

from typing import Any


class TargetForm:
    """The shape of the targets of an example, which those that come first determine.

    Parameters
    ----------
    parts : str
        What the targets come in, such as "batches", for errors.
    """

    def __init__(self, parts: str) -> None:
        self.parts = parts
        self._shape: tuple[int, ...] | None = None

    def check(self, y: Any, name: str) -> None:
        """Refuse targets (m, ...) of another form than those before, with a ValueError."""
        shape = tuple(y.shape[1:])
        self._shape = shape if self._shape is None else self._shape
        if shape != self._shape:
            raise ValueError(
                f"{name} must be labels or rows of probabilities in all {self.parts} alike; "
                f"got shape {tuple(y.shape)}"
            )
