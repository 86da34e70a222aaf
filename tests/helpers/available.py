"""A backend to test, or the reason why it cannot be had."""

from __future__ import annotations

import pytest

import bpnet


def backend_or_skip(spec):
    try:
        return bpnet.get_backend(spec)
    except bpnet.BackendError as error:
        pytest.skip(str(error.__cause__ or error))
