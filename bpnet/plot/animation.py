"""Animation of the decision boundary during training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bpnet.callbacks.snapshots import Snapshots
from bpnet.common.checks import check_number, check_path, kind_of
from bpnet.common.keywords import suggests_keywords
from bpnet.network import Network
from bpnet.plot.boundary import check_resolution, decision_boundary
from bpnet.plot.examples import check_examples
from bpnet.plot.style import axes_or_new

_LAST = 2.0  # seconds for which the last frame stays
_LARGEST = 2**16 - 1  # the sides of a GIF are 16-bit numbers


@suggests_keywords
def animate(
    net: Network,
    snapshots: Snapshots,
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    ax: Axes | None = None,
    *,
    fps: float = 10.0,
    resolution: int = 100,
    dpi: float = 100.0,
) -> Axes:
    """Write a GIF of the decision boundary during training, one frame per snapshot.

    Parameters
    ----------
    net : Network
        The trained classifier of two features; it is not changed.
    snapshots : Snapshots
        The callback that was passed to ``fit``.
    X, y : arrays
        Examples to draw on top, as in :func:`decision_boundary`.
    path : str or path
        Output file, ending in ".gif"; an existing file is replaced.
    ax : matplotlib.axes.Axes or None
        Axes to draw into, cleared before each frame; a frame is the whole figure. None makes a
        new figure.
    fps : float, default 10.0
        Frames per second, > 0 and <= 50 (players ignore higher rates). The animation repeats
        after the last frame, which stays for 2 seconds.
    resolution : int, default 100
        Grid points per side at which the network is evaluated, >= 2.
    dpi : float, default 100.0
        Pixels per inch, set on the figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes, with the last frame.

    Raises
    ------
    ValueError
        If there is no snapshot, `path` does not end in ".gif", or the network cannot be drawn
        (see :func:`decision_boundary`).
    TypeError
        If `snapshots` is not a Snapshots, or `ax` not an Axes.
    ImportError
        If Pillow, a dependency of matplotlib, is not installed.

    Examples
    --------
    ::

        snapshots = bpnet.Snapshots(every=2)
        net.fit(X, y, epochs=100, callbacks=[snapshots])
        bpnet.plot.animate(net, snapshots, X, y, "boundary.gif")
    """
    check_examples(net, X, y)
    if not isinstance(snapshots, Snapshots):
        raise TypeError(
            f"snapshots must be the bpnet.Snapshots that was among the callbacks of fit, "
            f"got {kind_of(snapshots)}"
        )
    if not snapshots.taken:
        raise ValueError("there is no snapshot yet; add the Snapshots to the callbacks of fit")
    path = check_path("path", path)
    if Path(path).suffix.lower() != ".gif":
        raise ValueError(f"path must end in .gif, got {path!r}")
    fps = check_number("fps", fps, 0.0, 50.0, above=True)
    resolution = check_resolution(resolution)
    dpi = check_number("dpi", dpi, 1.0)
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"animate needs Pillow ({error}); install it with: pip install pillow"
        ) from error
    ax = axes_or_new(ax)
    figure = cast("Figure", ax.figure)
    if dpi * max(figure.get_size_inches()) > _LARGEST:
        raise ValueError(
            f"dpi must leave at most {_LARGEST} pixels along each side of the figure, a "
            f"GIF's limit; got {dpi:g}"
        )
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)  # renders pixels, whatever canvas the figure had
    copy, frames = net.replace(), []
    for snapshot in snapshots.taken:
        copy.parameters = snapshot.parameters
        ax.clear()
        decision_boundary(copy, X, y, ax, resolution=resolution)
        loss = "" if snapshot.loss is None else f", loss {snapshot.loss:.4f}"
        ax.set_title(f"epoch {snapshot.epoch}{loss}")
        canvas.draw()
        frames.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
    durations = [1000.0 / fps] * (len(frames) - 1) + [1000.0 * _LAST]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=list(map(round, durations)),
        loop=0,
    )  # fmt: skip
    return ax
