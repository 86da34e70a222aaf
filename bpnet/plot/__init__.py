"""Plots of training runs and of what a network learned, with matplotlib.

Each function draws into the given Axes, or into a new figure, and returns the Axes. Save a plot
with ``ax.figure.savefig("loss.png")``, or display ``ax.figure`` in a notebook. pyplot is not
used, so no window system is needed. :func:`example_flow` alone draws without matplotlib.
"""

from bpnet.plot.flow import ExampleFlow, example_flow

try:
    from bpnet.plot.style import COLORS, MARKERS, STYLES
except ImportError as _error:
    _missing = str(_error)

    def __getattr__(name: str) -> object:
        """Raise the ImportError where what needs matplotlib is used."""
        if name in __all__:
            raise ImportError(_missing)
        raise AttributeError(f"module 'bpnet.plot' has no attribute {name!r}")

else:
    from bpnet.plot.animation import animate
    from bpnet.plot.boundary import decision_boundary
    from bpnet.plot.curves import gradient_flow, history
    from bpnet.plot.distributions import activations
    from bpnet.plot.landscape import loss_landscape
    from bpnet.plot.rates import learning_rate_finder

__all__ = [
    "COLORS",
    "MARKERS",
    "STYLES",
    "ExampleFlow",
    "activations",
    "animate",
    "decision_boundary",
    "example_flow",
    "gradient_flow",
    "history",
    "learning_rate_finder",
    "loss_landscape",
]
