"""A backend of bpnet: NumPy's own namespace, which has followed the standard since 2.1."""

import numpy as np

import bpnet


class PlainNumpyBackend(bpnet.Backend):
    name = "plain_numpy"
    xp = np

    @classmethod
    def devices(cls):
        return ("cpu",)

    @classmethod
    def version(cls):
        return np.__version__

    def asarray(self, host_array, dtype=None):
        return np.asarray(host_array, dtype)

    def to_numpy(self, array):
        return np.asarray(array)
