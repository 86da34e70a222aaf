"""Plots of training runs and of what a network learned, with matplotlib.

Each function draws into the given Axes, or into a new figure, and returns the Axes. Save a plot
with ``ax.figure.savefig("loss.png")``, or display ``ax.figure`` in a notebook. pyplot is not
used, so no window system is needed.
"""

try:
    import matplotlib.axes  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"bpnet.plot needs matplotlib ({error}); install it with: pip install matplotlib"
    ) from error

from bpnet.plot.animation import animate
from bpnet.plot.boundary import decision_boundary
from bpnet.plot.curves import gradient_flow, history
from bpnet.plot.distributions import activations
from bpnet.plot.rates import learning_rate_finder
from bpnet.plot.style import COLORS, MARKERS, STYLES

__all__ = [
    "COLORS",
    "MARKERS",
    "STYLES",
    "activations",
    "animate",
    "decision_boundary",
    "gradient_flow",
    "history",
    "learning_rate_finder",
]
