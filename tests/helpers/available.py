"""The backends that are available on this machine, and why the others are not."""

from __future__ import annotations

import functools

import bpnet


@functools.cache
def why_not(spec):
    """Return why a backend is unavailable here; None if it is available."""
    try:
        bpnet.get_backend(spec)
    except bpnet.BackendError as error:
        return str(error.__cause__ or error).partition(";")[0]
    return None


def available(*specs):
    """Return the available ones of these backends, for parametrizing tests."""
    return [spec for spec in specs if why_not(spec) is None]
