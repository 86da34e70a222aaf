"""A model below training: layers and a loss with parameters on some backend."""
