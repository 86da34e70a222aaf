"""Train a network on an NVIDIA GPU, with CuPy.

Run with: python examples/train_gpu.py
Requires a GPU and CuPy: pip install cupy-cuda12x (or cupy-cuda13x).
"""

import sys

import bpnet

# Requesting an unavailable backend is an error: bpnet never falls back to the CPU silently.
try:
    gpu = bpnet.get_backend("cupy")
except bpnet.BackendError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

X, y = bpnet.datasets.make_spiral(n_samples=4000, classes=3, noise=0.2, seed=0)

net = bpnet.Network(
    [bpnet.Dense(256, "relu"), bpnet.Dense(256, "relu"), bpnet.Dense(3)],
    loss="categorical_crossentropy",
    seed=0,
)

# Host arrays are moved to the GPU once; weights, gradients and loss then stay there.
history = net.fit(X, y, optimizer=bpnet.Adam(0.003), epochs=50, batch_size=256, backend=gpu)

print(f"trained on {net.backend.spec} in {history.seconds:.2f} s")
print(f"the weights are {type(net.parameters[0]['W']).__module__} arrays")
print(f"accuracy: {100 * net.evaluate(X, y)['accuracy']:.2f} %")
