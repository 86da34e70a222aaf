"""Gradient checks (`gradcheck`) and parity checks between backends (`parity`)."""
