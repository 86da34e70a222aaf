"""Utilities shared by several packages, such as argument checks and text tables."""
