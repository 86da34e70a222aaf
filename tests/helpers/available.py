"""A backend to test, or a skip with the reason why it is unavailable."""

from __future__ import annotations

import pytest

import bpnet


def backend_or_skip(spec):
    try:
        return bpnet.get_backend(spec)
    except bpnet.BackendError as error:
        pytest.skip(str(error.__cause__ or error))
