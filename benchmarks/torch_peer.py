"""PyTorch as a contestant: autograd, eager or compiled."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn


def network(case: Case, device: str) -> torch.nn.Sequential:
    between = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[case.activation]
    layers: list[torch.nn.Module] = []
    for W, b in case.weights():
        linear = torch.nn.Linear(*W.shape)
        linear.load_state_dict({"weight": torch.tensor(W.T), "bias": torch.tensor(b)})
        layers += [linear, between()]
    return torch.nn.Sequential(*layers[:-1]).to(device)


def step(case: Case, device: str, mode: str | None = None) -> Turn:
    """The usual training step; with `mode`, forward and loss through `torch.compile`."""
    net = network(case, device)
    rule = getattr(torch.optim, case.optimizer)(net.parameters(), lr=LEARNING_RATE)
    X, y = (torch.from_numpy(array).to(device) for array in case.examples())

    def loss(X: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(net(X), y)

    compute = loss if mode is None else torch.compile(loss, mode=mode)

    def turn(steps: int) -> None:
        for _ in range(steps):
            rule.zero_grad()
            compute(X, y).backward()
            rule.step()
        _wait(device)

    return turn


def epoch(case: Case, device: str, batches: int) -> Turn:
    """Epochs over resident data, with shuffling."""
    net = network(case, device)
    rule = getattr(torch.optim, case.optimizer)(net.parameters(), lr=LEARNING_RATE)
    X, y = (torch.from_numpy(array).to(device) for array in case.examples(case.batch * batches))

    def turn(epochs: int) -> None:
        for _ in range(epochs):
            order = torch.randperm(len(X), device=device)
            total = torch.zeros((), device=device)
            for rows in order.split(case.batch):
                rule.zero_grad()
                loss = torch.nn.functional.cross_entropy(net(X[rows]), y[rows])
                loss.backward()
                rule.step()
                total += loss.detach()
            float(total)

    return turn


def inference(case: Case, device: str) -> Turn:
    """Probabilities of one batch, from the host and back."""
    net = network(case, device)
    X, _ = case.examples()

    def turn(calls: int) -> None:
        with torch.no_grad():
            for _ in range(calls):
                torch.softmax(net(torch.from_numpy(X).to(device)), dim=1).cpu().numpy()

    return turn


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
