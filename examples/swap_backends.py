"""Train one network on every available backend and device, and compare the weights.

Run with: python examples/swap_backends.py
"""

import numpy as np

import bpnet

X, y = bpnet.datasets.make_spiral(n_samples=200, classes=3, seed=0)


def train(spec):
    """Train on one backend; the seed gives the same weights and shuffles on all of them."""
    net = bpnet.Network(
        [bpnet.Dense(16, "tanh"), bpnet.Dense(3)],
        loss="categorical_crossentropy",
        seed=0,
        dtype="float64",
    )
    history = net.fit(X, y, optimizer=bpnet.Adam(0.01), epochs=20, backend=spec)
    net.to("numpy")  # to compare on the host
    return history["loss"][-1], net.parameters


def largest_difference(ours, theirs):
    """Return the largest absolute difference between any two weights or biases."""
    return max(
        np.max(np.abs(a[name] - b[name]))
        for a, b in zip(ours, theirs, strict=True)
        for name in a
    )


reference_loss, reference = train("numpy")
print(f"{'backend':<26} {'final loss':<20} largest weight difference from NumPy")

worst = 0.0
for name, info in bpnet.available_backends().items():
    if not info.available:
        print(f"{name:<26} unavailable: {info.reason}")
    for device in info.devices:
        loss, parameters = train(f"{name}:{device}")
        difference = largest_difference(reference, parameters)
        worst = max(worst, difference)
        print(f"{name + ':' + device:<26} {loss:<20.16f} {difference:.1e}")

# Libraries differ only in the order of summation, so results differ only by rounding.
print("all backends agree" if worst < 1e-9 else f"backends DISAGREE by {worst:.1e}")
