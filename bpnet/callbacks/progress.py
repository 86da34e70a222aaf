"""The progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bpnet.common.checks import check_flag, check_text
from bpnet.training.loop import Callback, Training, check_callbacks


class ProgressBar(Callback):
    """A progress bar over epochs with their metrics, on stderr; silent if not a terminal.

    Parameters
    ----------
    label : str, default ""
        What stands before the bar.

    Raises
    ------
    ImportError
        If tqdm is not installed.
    TypeError
        If the label is not a string.
    """

    adds: Mapping[str, str | None] = {}
    main_only = True

    def __init__(self, label: str = "") -> None:
        self.label = check_text("label", label)
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise ImportError(
                "the progress bar needs tqdm; install it with: pip install tqdm"
            ) from error
        self._tqdm = tqdm
        self._bar: Any = None

    def on_train_begin(self, training: Training) -> None:
        """Open the bar."""
        hidden = True if sys.stderr is None else None  # None: unless it is a terminal
        self._bar = self._tqdm(
            total=training.epochs, unit="epoch", desc=self.label or None, disable=hidden
        )

    def on_epoch_end(self, training: Training) -> None:
        """Update the bar."""
        shown = {
            name: f"{value:.4g}" for name, value in training.logs.items() if "/" not in name
        }
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def teardown(self, training: Training) -> None:
        """Close the bar."""
        super().teardown(training)
        if self._bar is not None:
            self._bar.close()


def with_progress(
    callbacks: Callback | Iterable[Callback], progress: bool, label: str = ""
) -> list[Callback]:
    """Return callbacks as a list, with a progress bar of a label if `progress`."""
    checked = check_callbacks(callbacks)
    return [*checked, ProgressBar(label)] if check_flag("progress", progress) else checked
