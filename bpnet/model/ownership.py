"""Who has the weights of a model: the model, or the training run that has borrowed them.

Other threads may use the model meanwhile. They never see a step half done, as the run gives
them a copy.
"""

from __future__ import annotations

from typing import Protocol

from bpnet.backend import Backend
from bpnet.backend.typing import Parameters
from bpnet.common.locks import Lock
from bpnet.model.parameters import Placement


class Owner(Protocol):
    """The owner of a model's parameters during training."""

    backend: Backend

    @property
    def placement(self) -> Placement:
        """The current parameters of all layers and their backend."""

    def set_parameters(self, parameters: Parameters) -> None:
        """Continue with a copy of these parameters."""


class Ownership:
    """The parameters of a model, or the training run that has them for now.

    Parameters
    ----------
    placement : Placement or None
        The parameters; None if they have not been drawn yet.
    """

    def __init__(self, placement: Placement | None = None) -> None:
        # Replaced as a whole, so that reading it needs no lock.
        self._holders: tuple[Owner | None, Placement | None] = (None, placement)
        self._lock = Lock()

    @property
    def placement(self) -> Placement | None:
        """The current parameters; None if they have not been drawn yet."""
        owner, placement = self._holders
        return placement if owner is None else owner.placement

    @property
    def backend(self) -> Backend | None:
        """The backend of the parameters; None if they have not been drawn yet."""
        owner, placement = self._holders
        holder = placement if owner is None else owner
        return None if holder is None else holder.backend

    @property
    def is_lent(self) -> bool:
        """Whether a training run has the parameters."""
        return self._holders[0] is not None

    def set(self, placement: Placement | None) -> None:
        """Replace the parameters, or forget them; a training run continues with a copy."""
        with self._lock:
            owner = self._holders[0]
            if owner is None:
                self._holders = (None, placement)
        if owner is not None and placement is not None:
            owner.set_parameters(placement.parameters)

    def lend(self, owner: Owner) -> None:
        """Let a training run have the parameters, of which it has a copy.

        Raises
        ------
        RuntimeError
            If another has them.
        """
        with self._lock:
            self.check_not_lent("fit")
            self._holders = (owner, None)

    def take_back(self, owner: Owner) -> None:
        """Take the parameters back from a training run, if it has them."""
        with self._lock:
            if self._holders[0] is owner:
                self._holders = (None, owner.placement)

    def check_not_lent(self, method: str) -> None:
        """Refuse what would interfere with a training run."""
        if self.is_lent:
            raise RuntimeError(
                f"{method} is not possible while fit trains this network, in a callback or in "
                f"another thread; wait until it returns, or use a copy: copy.deepcopy(net)"
            )
