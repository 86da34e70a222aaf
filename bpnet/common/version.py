"""The version of bpnet, and the note of it that pickles carry."""

from __future__ import annotations

import warnings
from typing import Any

__version__ = "0.1.0"

_KEY = "_bpnet_version"


def version_note() -> dict[str, str]:
    """Return what a pickled state holds to say which version wrote it."""
    return {_KEY: __version__}


def check_version_note(state: dict[str, Any], kind: str) -> None:
    """Remove the note from a pickled state; warn if it names another version.

    Parameters
    ----------
    state : dict
        The state to unpickle.
    kind : str
        What is unpickled, such as "MLPClassifier".
    """
    written = state.pop(_KEY, None)
    if written in (None, __version__):
        return
    warnings.warn(
        f"this pickle of {kind} was written by bpnet {written}, and is read by bpnet "
        f"{__version__}, with which results may differ or fail. Unpickle it with the version "
        f"that wrote it, or fit again; to store weights for long, use a file written by "
        f"Network.save, which later versions read",
        UserWarning,
        stacklevel=3,
    )
