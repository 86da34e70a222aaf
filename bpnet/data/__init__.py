"""Data for training: validation, datasets and batches."""
