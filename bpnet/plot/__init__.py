"""Pictures of a training and of what was learnt, drawn with matplotlib.

Each function draws into the Axes it is given, or into a new figure of its own, and returns
the Axes; none shows anything: ``ax.figure.savefig("loss.png")`` saves, and a notebook shows
``ax.figure``. Figures are made without pyplot, so no window system is needed.
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
