"""From a file back to what was saved."""

from __future__ import annotations

import os

from bpnet.backend import Backend, get_backend
from bpnet.common.checks import check_path
from bpnet.network import Network
from bpnet.serialization import safetensors_file
from bpnet.serialization.model_state import check_rest, file_errors, restored


def load(path: str | os.PathLike[str], backend: str | Backend | None = None) -> Network:
    """Read a network that :meth:`Network.save` or :class:`bpnet.Checkpoint` has written.

    A file holds names, numbers and weights; nothing in it is executed. Needs the package
    safetensors.

    Parameters
    ----------
    path : path
        The file.
    backend : str, Backend or None
        Where to put the weights, which may be another than the one they come from; None
        is the default backend.

    Returns
    -------
    Network
        Equal to the one that was saved, bit for bit.

    Raises
    ------
    bpnet.ModelFileError
        If it is no whole model file, or of a newer version.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)],
    ...                     loss="mean_squared_error", seed=0).build(2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     net.save(path)
    ...     twin = bpnet.load(path)
    >>> bool((twin.predict([[1.0, 2.0]]) == net.predict([[1.0, 2.0]])).all())
    True
    """
    path, on = check_path("path", path), get_backend(backend)
    described, tensors = safetensors_file.read(path)
    with file_errors(path):
        network = restored(described["network"], tensors, Network)
        # a checkpoint has the state of its training, too
        allowed = ("training.",) if "training" in described else ()
        check_rest(tensors, allowed)
    return network.to(on)
