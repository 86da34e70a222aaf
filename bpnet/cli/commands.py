"""The commands that need the extra "cli", by name; light, as ``bpnet --help`` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train on a table (CSV, Parquet, NumPy, libsvm); save the model and a report",
        "predict": "predict the rows of a table with a saved model",
        "evaluate": "measure a saved model on a table, beside a constant prediction",
        "export": "write a saved model as ONNX, to run without bpnet",
        "info": "show a saved model: its network, columns and training",
        "diagnose": "show what was wrong with the training of a saved model",
        "check": "check the gradients and the backends on this machine",
        "bench": "measure which backend trains faster here, on your table or an example",
    }
)
_COMPLETION = ("--install-completion", "--show-completion")
INSTALL = "pip install 'bpnet-array-api[cli]'"


def needs_extra(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether these words are a command of the extra, or about shell completion."""
    if "_BPNET_COMPLETE" in environment:  # the shell asks what could follow
        return True
    first = words[0] if words else ""
    return first in COMMANDS or first.partition("=")[0] in _COMPLETION
