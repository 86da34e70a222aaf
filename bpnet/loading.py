"""Loading of saved networks and estimators."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bpnet.backend import Backend, get_backend
from bpnet.common.checks import check_path
from bpnet.common.keywords import explains_keywords
from bpnet.network import Network
from bpnet.serialization import safetensors_file
from bpnet.serialization.config import Custom, check_custom
from bpnet.serialization.model_state import check_rest, file_errors, restored
from bpnet.serialization.safetensors_file import Tensors
from bpnet.serialization.upgrade import upgraded


@explains_keywords
def load(
    path: str | os.PathLike[str],
    backend: str | Backend | None = None,
    *,
    custom: Mapping[str, Any] | None = None,
) -> Any:
    """Load what `save` of a network or an estimator, or :class:`bpnet.Checkpoint`, wrote.

    No code in the file is executed. Requires safetensors, and for an estimator scikit-learn.

    Parameters
    ----------
    path : path
        The file.
    backend : str, Backend or None
        Where to put the weights, which need not be where they were saved from; None is the
        default backend. For an estimator, its parameter `backend`.
    custom : dict of str to class or function, or None
        Your own layers, activations, losses and initializers in the network, by the names of
        their classes: ``custom={"RMSNorm": RMSNorm}``; also your own estimators.

    Returns
    -------
    Network or estimator
        Bit-for-bit equal to the saved one. The arrays of an estimator are NumPy arrays.

    Raises
    ------
    bpnet.ModelFileError
        If the file is not an intact model file, was written by a newer bpnet, or holds
        a component that is neither bpnet's nor in `custom`, which the error names.
    TypeError
        If `custom` is not a dict of names and classes.
    ImportError
        If the file holds an estimator, and scikit-learn is not installed.
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
    path, on, custom = check_path("path", path), get_backend(backend), check_custom(custom)
    described, tensors = safetensors_file.read(path)
    with file_errors(path):
        described, tensors = upgraded(described, tensors)
        if "estimator" in described:
            estimator = _estimator(path, described["estimator"], tensors, custom)
            return estimator if backend is None else estimator.set_params(backend=backend)
        network = restored(described["network"], tensors, Network, custom)
        allowed = ("training.",) if "training" in described else ()  # a checkpoint
        check_rest(tensors, allowed)
    return network.to(on)


def _estimator(path: str, described: Any, tensors: Tensors, custom: Custom) -> Any:
    try:
        from bpnet.estimators import estimator_of
    except ImportError as error:
        raise ImportError(f"{path} holds an estimator, and {error}") from error
    return estimator_of(described, tensors, custom)
