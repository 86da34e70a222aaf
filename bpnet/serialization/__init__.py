"""Models and training runs as files, which hold names, numbers and arrays, and no code."""
