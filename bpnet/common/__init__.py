"""Utilities shared by several packages: checks, options, tables, patience."""
