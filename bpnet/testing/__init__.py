"""Checks of gradients and of backends: `gradcheck`, and `parity` between devices."""
