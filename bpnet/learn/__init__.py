"""Experiments for learning backpropagation: each measures, explains and plots one effect.

``bpnet learn NAME`` runs one from the command line. In Python each is a function that returns a
:class:`Lesson`: ``print`` it for the table and its interpretation, ``.draw()`` the plot, or use
the measured ``.numbers``.

>>> import bpnet
>>> lesson = bpnet.learn.gradient_check(steps=(1e-5, 1e-3))
>>> sorted(lesson.numbers["error"])
['float32', 'float64']
"""

from collections.abc import Callable

from bpnet.learn.architecture import architecture
from bpnet.learn.gradient_checking import gradient_check
from bpnet.learn.initialization import initialization
from bpnet.learn.landscape import loss_landscape
from bpnet.learn.lesson import Lesson
from bpnet.learn.rates import learning_rate
from bpnet.learn.vanishing import vanishing_gradients
from bpnet.learn.walk import backprop

LESSONS: dict[str, Callable[..., Lesson]] = {
    "vanishing-gradients": vanishing_gradients,
    "initialization": initialization,
    "learning-rate": learning_rate,
    "architecture": architecture,
    "loss-landscape": loss_landscape,
    "gradient-check": gradient_check,
    "backprop": backprop,
}

__all__ = [
    "LESSONS",
    "Lesson",
    "architecture",
    "backprop",
    "gradient_check",
    "initialization",
    "learning_rate",
    "loss_landscape",
    "vanishing_gradients",
]
