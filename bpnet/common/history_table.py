"""The table that a history prints: a few epochs, and the metrics of the whole network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpnet.common.tables import align

# Epochs shown at the beginning and at the end, and the most metrics that fit on a line.
_FIRST, _LAST, _METRICS = 3, 5, 6
# The loss on the sample of a diagnosis, measured in some epochs only.
_OF_A_SAMPLE = "data_loss"


def history_table(metrics: Mapping[str, Sequence[float]], facts: Sequence[str]) -> str:
    """Return a table of the first and the last epochs, and a line of facts below it.

    Metrics of single layers, such as "gradient_norm/1", are counted and not shown, as is
    "data_loss", which repeats its last value in epochs without a measurement.

    Parameters
    ----------
    metrics : mapping of str to sequence of float
        One number per epoch.
    facts : sequence of str
        What is said of the whole run.
    """
    shown = [name for name in metrics if "/" not in name and name != _OF_A_SAMPLE][:_METRICS]
    epochs = max(map(len, metrics.values()), default=0)
    rows = [("epoch", *shown)]
    for epoch in _shown_epochs(epochs):
        if epoch is None:
            rows.append(("...", *["..."] * len(shown)))
        else:
            values = (f"{metrics[name][epoch - 1]:.4g}" for name in shown)
            rows.append((str(epoch), *values))
    more = len(metrics) - len(shown)
    hidden = [f"{more} more metrics in list(history)"] if more else []
    return "\n".join([*(align(rows) if epochs else []), ", ".join([*facts, *hidden])])


def _shown_epochs(epochs: int) -> list[int | None]:
    """Return the numbers of the epochs to show, with None for those left out."""
    if epochs <= _FIRST + _LAST + 1:
        return list(range(1, epochs + 1))
    return [*range(1, _FIRST + 1), None, *range(epochs - _LAST + 1, epochs + 1)]
