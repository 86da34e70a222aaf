"""What a refusal must leave as it was."""

from __future__ import annotations

import pytest


class Unchanged:
    """A network and its last training, which no refusal may change.

    Parameters
    ----------
    net : Network
        Built or not.
    history : History or None
        Of its last training.
    """

    def __init__(self, net, history=None):
        self.net, self.history = net, history
        self.before = self.now()

    def now(self):
        """All that could have changed, the parameters bit for bit."""
        net, place, bits = self.net, None, []
        if net.is_built:
            place = net.backend
            bits = [
                (name, str(p.dtype), tuple(p.shape), place.to_numpy(p).tobytes())
                for layer in net.parameters
                for name, p in layer.items()
            ]
        figures = repr(self.history and (vars(self.history), self.history.seconds))
        settings = net.layers, net.loss, net.seed, net.dtype, net.n_inputs
        return settings, place, bits, figures

    def refuses(self, use, error, message):
        """See that ``use(net)`` raises the error, and that nothing has changed."""
        with pytest.raises(error, match=message):
            use(self.net)
        assert self.now() == self.before
