"""What training, evaluation and checks ask of a network: examples checked, rows in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpnet import backprop, inference
from bpnet._parametrised import Parametrised
from bpnet.backend import Backend
from bpnet.backend.memory import explained
from bpnet.backend.transfer import is_sparse, to_device, to_input_type
from bpnet.backend.typing import Array, Parameters
from bpnet.data.dataset import Dataset
from bpnet.data.validation import check_data, check_features


class Applied(Parametrised):
    """Layers and a loss with their parameters, applied to examples block by block."""

    def check_data(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        suffix: str = "",
        n_inputs: int | None = None,
        dtype: str | None = None,
    ) -> Dataset:
        """Check examples against this network; nothing changes."""
        return check_data(
            X, y, sample_weight,
            dtype=dtype or self.dtype, n_inputs=n_inputs or self.n_inputs,
            n_outputs=self.n_outputs, loss=self.loss, suffix=suffix,
        )  # fmt: skip

    def evaluate_data(
        self, place: Backend, parameters: Parameters, data: Dataset
    ) -> dict[str, float]:
        """Measure parameters on checked examples, in blocks of rows; waits once, at the end."""
        compute = self.compiled(place, inference.measures)
        shape = data.X.shape
        with place.activate(), explained(place, lambda: self._needs(*map(int, shape[::-1]))):
            totals = None
            for rows in inference.row_blocks(data.n_rows, data.is_sparse):
                part = compute(parameters, *data.arrays_on(place, rows))
                totals = part if totals is None else totals + part
            total_weight, total_loss, total_right = map(float, place.to_numpy(totals))
            penalty = float(backprop.penalty(place.xp, self.model, parameters, total_weight))
        measured = {"loss": total_loss / total_weight + penalty}
        if self.is_classifier:
            measured["accuracy"] = total_right / total_weight
        return measured

    def _infer(
        self, function: Callable[..., Any], X: Any, backend: str | Backend | None
    ) -> Array:
        X, owner = check_features(X, self.dtype, self.n_inputs)
        return self.infer(function, X, owner, backend)

    def infer(
        self,
        function: Callable[..., Any],
        X: Array,
        owner: Backend | None,
        backend: str | Backend | None,
    ) -> Array:
        """Compute a function of :mod:`bpnet.inference` on checked features, block by block."""
        place = self.choose_backend(backend, owner)
        parameters = self.parameters_on(place, X)
        compute = self.compiled(place, function)
        with place.activate(), explained(place, lambda: self._needs(*map(int, X.shape[::-1]))):
            parts = [
                compute(parameters, to_device(X, place, rows))
                for rows in inference.row_blocks(X.shape[0], is_sparse(X))
            ]
            result = parts[0] if len(parts) == 1 else place.xp.concat(parts, axis=0)
            return to_input_type(result, place, owner)
