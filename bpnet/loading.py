"""Loading of saved networks."""

from __future__ import annotations

import os

from bpnet.backend import Backend, get_backend
from bpnet.common.checks import check_path
from bpnet.network import Network
from bpnet.serialization import safetensors_file
from bpnet.serialization.model_state import check_rest, file_errors, restored


def load(path: str | os.PathLike[str], backend: str | Backend | None = None) -> Network:
    """Load a network saved by :meth:`Network.save` or :class:`bpnet.Checkpoint`.

    No code in the file is executed. Requires safetensors.

    Parameters
    ----------
    path : path
        The file.
    backend : str, Backend or None
        Where to put the weights, which need not be where they were saved from; None is the
        default backend.

    Returns
    -------
    Network
        Bit-for-bit equal to the saved network.

    Raises
    ------
    bpnet.ModelFileError
        If the file is not an intact model file, or was written by a newer bpnet.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)],
    ...                     loss="mean_squared_error", seed=0).build(2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     net.save(path)
    ...     loaded = bpnet.load(path)
    >>> bool((loaded.predict([[1.0, 2.0]]) == net.predict([[1.0, 2.0]])).all())
    True
    """
    path, on = check_path("path", path), get_backend(backend)
    described, tensors = safetensors_file.read(path)
    with file_errors(path):
        network = restored(described["network"], tensors, Network)
        allowed = ("training.",) if "training" in described else ()  # a checkpoint
        check_rest(tensors, allowed)
    return network.to(on)
