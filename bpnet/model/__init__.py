"""Models without training: layers and a loss, with parameters on a backend."""
