"""Train a small network on the CPU, with only NumPy.

Run with: python examples/train_cpu.py
"""

import bpnet

# Two arms of a spiral: no straight line can separate them.
X, y = bpnet.datasets.make_spiral(n_samples=400, classes=2, noise=0.2, seed=0)

# The last layer is linear: the loss applies the sigmoid and handles its derivative.
net = bpnet.Network(
    [bpnet.Dense(64, "tanh"), bpnet.Dense(64, "tanh"), bpnet.Dense(1)],
    loss="binary_crossentropy",
    seed=0,
)

# First, check the gradients against finite differences.
report = bpnet.check_gradients(net, X[:20], y[:20])
print(f"largest relative error of the gradients: {report.max_relative_error:.1e}")

history = net.fit(X, y, optimizer=bpnet.Adam(0.01), epochs=100, backend="numpy")

print(net.summary())
print(
    f"loss after epoch 1: {history['loss'][0]:.4f}, after the last: {history['loss'][-1]:.4f}"
)
print(f"accuracy: {100 * net.evaluate(X, y)['accuracy']:.2f} %")
