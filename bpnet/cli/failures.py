"""How a command ends early: by the user's mistake, or by a failure of its own."""

from __future__ import annotations


class UserError(Exception):
    """What was asked for cannot be done: one line on stderr, and exit status 2."""


class CommandError(Exception):
    """What could be done went wrong: one line on stderr, and exit status 1."""
