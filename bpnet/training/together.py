"""What the processes that share a training run do together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.transfer import copy_parameters
from bpnet.backend.typing import Parameters
from bpnet.common.component import attributes, nested
from bpnet.common.history import History
from bpnet.data.array_loaders import loader_for
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader, Order
from bpnet.distributed.agreement import check_agreement
from bpnet.distributed.base import Communicator
from bpnet.distributed.choice import get_communicator
from bpnet.distributed.devices import local_backend
from bpnet.distributed.parts import part_of
from bpnet.distributed.shards import ShardLoader
from bpnet.metrics.base import Metric
from bpnet.model.model import Model
from bpnet.training.interrupt import Interrupt
from bpnet.training.state import TrainingState


def connected(network: Model, spec: str | Communicator | None) -> Communicator:
    """Return the communicator of a training run, and let the network have process 0's seed.

    Initial weights, the order of the examples and random masks are thus the same everywhere,
    even if each process has drawn a seed.
    """
    communicator = get_communicator(spec)
    if communicator.size > 1:
        network.set_seed(communicator.all_gather(network.seed)[0])
    return communicator


class Together:
    """The methods of :class:`bpnet.training.Training` that all processes call together.

    A process alone agrees with itself.
    """

    communicator: Communicator
    network: Model
    data: Dataset | Loader
    validation: Dataset | None
    backend: Backend
    state: TrainingState
    history: History
    logs: dict[str, float]
    metrics: dict[str, Metric]
    training_metrics: bool
    on_nonfinite: str
    epoch: int
    epochs: int
    batch_size: int
    order: Order
    shuffle: bool

    def _own_backend(self, spec: str | Backend | None) -> Backend:
        """Return the backend of this process, by default with a GPU of its own."""
        owner = self.data.owner if isinstance(self.data, Dataset) else None
        if self.communicator.size > 1:
            is_chosen = owner is not None or self.network.is_built
            spec = local_backend(spec, self.communicator.local_rank, is_chosen)
        return self.network.choose_backend(spec, owner)

    def _check_parts(self) -> None:
        """Refuse what leaves processes without examples, or asks for those of others."""
        size = self.communicator.size
        if self.batch_size < size:
            raise ValueError(
                f"batch_size must be at least {size}, the number of processes, for each to "
                f"have a part of a batch; got {self.batch_size}, of {self.data.n_rows} "
                f"examples. Use fewer processes, or let each train alone: communicator=None"
            )
        if self.training_metrics and self.communicator.shards:
            raise ValueError(
                "training_metrics must be False if each process has examples of its own, which "
                "no process sees all of; got True. Pass some of them as validation_data"
            )

    def _check_same(self) -> None:
        """Refuse what differs between processes, before anything changes."""
        if self.communicator.size == 1:
            return
        network, held_out = self.network, self.validation
        examples: dict[str, Any] = (
            {} if self.communicator.shards else {"examples": self.data.fingerprint()}
        )
        if isinstance(self.data, Dataset):
            examples["batch_size"] = self.batch_size
        check_agreement(self.communicator, {
            "layers": _described(network.layers), "loss": _described([network.loss]),
            "dtype": network.dtype, "number of features": self.data.n_inputs,
            "number of steps before": network.steps_taken, "epochs": self.epochs,
            "number of epochs before": self.epoch, "shuffle": self.shuffle,
            "optimizer": _described([self.state.optimizer]), "on_nonfinite": self.on_nonfinite,
            "metrics": list(self.metrics), "training_metrics": self.training_metrics,
            "validation examples": held_out and held_out.fingerprint(), **examples,
        })  # fmt: skip

    def _own_loader(self) -> Loader:
        """Return the loader of this process: of all examples, or of its shard of them."""
        group, data = self.communicator, self.data
        if isinstance(data, Dataset):
            rows = self.batch_size
            if group.shards:
                part = part_of(rows, group.rank, group.size)
                rows = min(part.stop - part.start, data.n_rows)
            data = loader_for(data, self.backend, rows, self.order, self.network.seed)
        return ShardLoader(data, group) if group.shards else data

    def _first_parameters(self, n_inputs: int) -> Parameters:
        """Return the initial parameters, of process 0."""
        parameters = self.network.parameters_for(self.backend, n_inputs)
        if self.communicator.size == 1:
            return parameters
        return [
            {n: self.communicator.broadcast(p, self.backend) for n, p in sorted(layer.items())}
            for layer in copy_parameters(parameters, self.backend)
        ]

    def _is_interrupted(self, interrupt: Interrupt) -> bool:
        """Whether Ctrl-C has reached any process: all stop after the same step."""
        requested = any(self.communicator.all_gather(interrupt.requested))
        if requested:  # else leave one that came meanwhile for the next time
            interrupt.requested = True
        return requested

    def _agree(self) -> None:
        """Let all processes have the metrics of process 0, and stop if one of them does."""
        if self.communicator.size > 1:
            every = self.communicator.all_gather((self.logs, self.history.stopped))
            self.logs = every[0][0]
            self.history.stopped = next((reason for _, reason in every if reason), None)


def _described(components: Iterable[Any]) -> str:
    """Return all arguments of components, and of those in them."""
    parts = [part for component in components for part in nested(component)]
    return str([
        (type(part).__name__, {name: _plain(v) for name, v in attributes(part).items()})
        for part in parts
    ])  # fmt: skip


def _plain(value: Any) -> Any:
    """Return a number, a string or None; the name of anything else, the same everywhere."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", type(value).__name__)
