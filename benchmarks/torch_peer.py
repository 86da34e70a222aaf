"""PyTorch as a contestant: autograd, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn, calls_of


def network(case: Case, device: str, seed: int = 1) -> torch.nn.Sequential:
    between = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[case.activation]
    layers: list[torch.nn.Module] = []
    for W, b in case.weights(seed):
        linear = torch.nn.Linear(*W.shape)
        linear.load_state_dict({"weight": torch.tensor(W.T), "bias": torch.tensor(b)})
        layers += [linear, between()]
    return torch.nn.Sequential(*layers[:-1]).to(device)


def optimizer(case: Case, net: torch.nn.Module) -> torch.optim.Optimizer:
    return getattr(torch.optim, case.optimizer)(net.parameters(), lr=LEARNING_RATE)


def loss_of(net: torch.nn.Module, mode: str | None) -> Callable[..., Any]:
    """Return forward and loss as one function; `mode` compiles it, and so backward too."""

    def loss(X: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(net(X), y)

    return loss if mode is None else torch.compile(loss, mode=mode)


def step(case: Case, device: str, mode: str | None = None) -> Turn:
    """Return a turn of standard training steps on a resident batch."""
    net = network(case, device)
    rule, loss = optimizer(case, net), loss_of(net, mode)
    X, y = (torch.from_numpy(array).to(device) for array in case.examples())

    def turn(steps: int) -> None:
        for _ in range(steps):
            rule.zero_grad()
            loss(X, y).backward()
            rule.step()
        _wait(device)

    return turn


def epoch(case: Case, device: str, batches: int, mode: str | None = None) -> Turn:
    """Return a turn of epochs over resident, shuffled data."""
    net = network(case, device)
    rule, loss = optimizer(case, net), loss_of(net, mode)
    X, y = (torch.from_numpy(array).to(device) for array in case.examples(case.batch * batches))

    def turn(epochs: int) -> None:
        for _ in range(epochs):
            pass_over(X, y, case.batch, rule, loss)

    return turn


def pass_over(
    X: Any, y: Any, batch: int, rule: torch.optim.Optimizer, loss: Callable[..., Any]
) -> float:
    """Train for one shuffled epoch and return the sum of the batch losses."""
    order = torch.randperm(len(X), device=X.device)
    total = torch.zeros((), device=X.device)
    for rows in order.split(batch):
        rule.zero_grad()
        value = loss(X[rows], y[rows])
        value.backward()
        rule.step()
        total += value.detach()
    return float(total)  # waits for the device


def inference(case: Case, device: str, mode: str | None = None) -> Turn:
    """Return a turn of predictions for one batch, from host to device and back."""
    return calls_of(predictor(case, device, mode), case.examples()[0])


def predictor(case: Case, device: str, mode: str | None = None) -> Callable[[Any], Any]:
    """Return a function of host rows that returns probabilities on the host."""
    net = network(case, device)
    forward = net if mode is None else torch.compile(net, mode=mode)

    @torch.no_grad()
    def predict(X: Any) -> Any:
        rows = torch.from_numpy(X).to(device, torch.float32)
        return torch.softmax(forward(rows), dim=1).cpu().numpy()

    return predict


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
