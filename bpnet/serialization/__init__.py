"""Model and checkpoint files, which contain names, numbers and arrays, but no code."""
