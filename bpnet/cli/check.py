"""The command ``bpnet check``: gradients and backends on this machine."""

from __future__ import annotations

from bpnet import datasets
from bpnet.backend.registry import available_backends
from bpnet.cli.output import Output
from bpnet.layers import BatchNorm, Dense, Dropout, LayerNorm
from bpnet.network import Network
from bpnet.testing.gradcheck import check_gradients
from bpnet.testing.parity import parity

# Gradients in float64 agree with finite differences to about 1e-9.
TOLERANCE = 1e-6
_EPOCHS = 5


def check(as_json: bool) -> int:
    """Compare gradients with finite differences, and backends with NumPy.

    Returns
    -------
    int
        The exit status: 1 if a gradient or a backend is off.
    """
    output = Output(as_json)
    devices = [
        name if device is None else f"{name}:{device}"
        for name, found in available_backends().items()
        for device in (found.devices[:1] if found.available else ())
    ]
    X, y = datasets.make_spiral(60, seed=0)
    layers = [Dense(8, "tanh"), BatchNorm(), Dropout(0.2), Dense(8, "relu"), LayerNorm()]
    net = Network([*layers, Dense(1)], "binary_crossentropy", seed=0, dtype="float64")
    rows, passed = [("backend", "gradient check, largest relative error", "")], True
    errors = {}
    for device in devices:
        error = check_gradients(net, X, y, backend=device).max_relative_error
        errors[device] = error
        passed &= error <= TOLERANCE
        rows.append((device, f"{error:.1e}", "ok" if error <= TOLERANCE else "FAILED"))
    output.table(rows)
    simple = Network([*layers[:1], Dropout(0.2), Dense(1)], "binary_crossentropy", seed=0)
    report = parity(simple, X, y, devices, epochs=_EPOCHS)
    output.say(f"\n{report}")
    passed = passed and report.passed
    output.say(f"\n{'everything agrees' if passed else 'FAILED: see above'}")
    output.document(
        {"passed": passed, "gradient_errors": errors, "parity_passed": report.passed}
    )
    return 0 if passed else 1
