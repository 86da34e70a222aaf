"""Examples on their way into training: checked, kept as one dataset, cut into batches."""
