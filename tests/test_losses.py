"""Losses, output errors and links against SciPy and PyTorch; extreme logits; weights."""

from __future__ import annotations

import array_api_compat.numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats
from sklearn.metrics import mean_pinball_loss

import bpnet
from bpnet import losses
from bpnet.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Loss,
    Quantile,
    mean_loss,
    output_error,
)

pytestmark = pytest.mark.once_on_jax  # it compiles each case

M, N = 6, 4
rng = np.random.default_rng(0)
LOGITS = rng.normal(0.0, 3.0, (M, N))
REAL = LOGITS + rng.normal(0.0, 1.0, (M, N))
LABELS = np.array([0, 1, 2, 3, 1, 0])
ONE_HOT = np.eye(N)[LABELS]
SOFT = rng.dirichlet(np.ones(N), M)
COUNTS = rng.poisson(2.0, (M, N)).astype(float)
ZERO_ONE = rng.integers(0, 2, (M, N)).astype(float)

POSITIVE = (0.5, 1.0, 4.0, 2.0)
CLASSES = (0.5, 1.0, 0.0, 3.0)


def pinball(y, z, q):
    """scikit-learn's loss of each example."""
    return np.array([
        mean_pinball_loss(*rows, alpha=q) for rows in zip(y, z, strict=True)
    ])  # fmt: skip


def torch_quantiles(F, y, z, levels):
    z = z.reshape(M, -1, len(levels))
    return sum(
        (q * F.relu(y - z[:, :, k]) + (1.0 - q) * F.relu(z[:, :, k] - y)).mean(1)
        for k, q in enumerate(levels)
    ) / len(levels)


# Loss, targets, value of each example (SciPy), and its PyTorch equivalent.
CASES = {
    "binary 0/1": (
        LOSSES["binary_crossentropy"],
        ZERO_ONE,
        lambda y, z: -np.mean(special.log_expit(np.where(y == 1.0, z, -z)), axis=1),
        lambda F, y, z: F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(1),
    ),
    "binary soft": (
        LOSSES["binary_crossentropy"],
        SOFT,
        lambda y, z: np.mean(
            special.rel_entr(y, special.expit(z))
            + special.rel_entr(1.0 - y, special.expit(-z))
            + special.entr(y)
            + special.entr(1.0 - y),
            axis=1,
        ),
        lambda F, y, z: F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(1),
    ),
    "categorical labels": (
        LOSSES["categorical_crossentropy"],
        LABELS,
        lambda y, z: -special.log_softmax(z, axis=1)[np.arange(M), y],
        lambda F, y, z: F.cross_entropy(z, y, reduction="none"),
    ),
    "categorical one-hot": (
        LOSSES["categorical_crossentropy"],
        ONE_HOT,
        lambda y, z: special.logsumexp(z, axis=1) - z[y == 1.0],
        lambda F, y, z: F.cross_entropy(z, y, reduction="none"),
    ),
    "categorical soft": (
        LOSSES["categorical_crossentropy"],
        SOFT,
        lambda y, z: np.sum(
            special.rel_entr(y, special.softmax(z, axis=1)) + special.entr(y), axis=1
        ),
        lambda F, y, z: F.cross_entropy(z, y, reduction="none"),
    ),
    "binary smoothed": (
        BinaryCrossentropy(label_smoothing=0.2),
        ZERO_ONE,
        lambda y, z: (
            -np.mean(
                (0.1 + 0.8 * y) * special.log_expit(z)
                + (0.9 - 0.8 * y) * special.log_expit(-z),
                axis=1,
            )
        ),
        lambda F, y, z: F.binary_cross_entropy_with_logits(
            z, 0.1 + 0.8 * y, reduction="none"
        ).mean(1),
    ),
    "categorical smoothed labels": (
        CategoricalCrossentropy(label_smoothing=0.2),
        LABELS,
        lambda y, z: (
            -np.sum((0.8 * np.eye(N)[y] + 0.05) * special.log_softmax(z, axis=1), axis=1)
        ),
        lambda F, y, z: F.cross_entropy(z, y, reduction="none", label_smoothing=0.2),
    ),
    "categorical smoothed soft": (
        CategoricalCrossentropy(label_smoothing=0.2),
        SOFT,
        lambda y, z: -np.sum((0.8 * y + 0.05) * special.log_softmax(z, axis=1), axis=1),
        lambda F, y, z: F.cross_entropy(z, y, reduction="none", label_smoothing=0.2),
    ),
    "binary, positives count 3": (
        BinaryCrossentropy(positive_weight=3.0),
        SOFT,
        lambda y, z: (
            -np.mean(3.0 * y * special.log_expit(z) + (1.0 - y) * special.log_expit(-z), axis=1)
        ),
        lambda F, y, z: F.binary_cross_entropy_with_logits(
            z, y, reduction="none", pos_weight=z.new_tensor(3.0)
        ).mean(1),
    ),
    "binary, positives of each label, smoothed": (
        BinaryCrossentropy(0.2, POSITIVE),
        ZERO_ONE,
        lambda y, z: (
            -np.mean(
                POSITIVE * (0.1 + 0.8 * y) * special.log_expit(z)
                + (0.9 - 0.8 * y) * special.log_expit(-z),
                axis=1,
            )
        ),
        lambda F, y, z: F.binary_cross_entropy_with_logits(
            z, 0.1 + 0.8 * y, reduction="none", pos_weight=z.new_tensor(POSITIVE)
        ).mean(1),
    ),
    "categorical weighted labels": (
        CategoricalCrossentropy(class_weights=CLASSES),
        LABELS,
        lambda y, z: -np.take(CLASSES, y) * special.log_softmax(z, axis=1)[np.arange(M), y],
        lambda F, y, z: F.cross_entropy(z, y, reduction="none", weight=z.new_tensor(CLASSES)),
    ),
    "categorical weighted, smoothed, soft": (
        CategoricalCrossentropy(0.2, class_weights=CLASSES),
        SOFT,
        lambda y, z: (
            -np.sum(
                np.asarray(CLASSES) * (0.8 * y + 0.05) * special.log_softmax(z, axis=1), axis=1
            )
        ),
        lambda F, y, z: F.cross_entropy(
            z, y, reduction="none", label_smoothing=0.2, weight=z.new_tensor(CLASSES)
        ),
    ),
    "quantile": (
        LOSSES["quantile"],
        REAL,
        lambda y, z: pinball(y, z, 0.5),
        lambda F, y, z: F.l1_loss(z, y, reduction="none").mean(1) / 2.0,
    ),
    "quantile 0.9": (
        Quantile(0.9),
        REAL,
        lambda y, z: pinball(y, z, 0.9),
        lambda F, y, z: (0.9 * F.relu(y - z) + 0.1 * F.relu(z - y)).mean(1),
    ),
    "two quantiles of each target": (
        Quantile((0.1, 0.7)),
        REAL[:, :2],
        lambda y, z: (pinball(y, z[:, ::2], 0.1) + pinball(y, z[:, 1::2], 0.7)) / 2.0,
        lambda F, y, z: torch_quantiles(F, y, z, (0.1, 0.7)),
    ),
    "four quantiles": (
        Quantile((0.1, 0.3, 0.5, 0.9)),
        REAL[:, :1],
        lambda y, z: np.mean(
            [pinball(y, z[:, k : k + 1], q) for k, q in enumerate((0.1, 0.3, 0.5, 0.9))],
            axis=0,
        ),
        lambda F, y, z: torch_quantiles(F, y, z, (0.1, 0.3, 0.5, 0.9)),
    ),
    "squared": (
        LOSSES["mean_squared_error"],
        REAL,
        lambda y, z: np.linalg.norm(z - y, axis=1) ** 2 / N,
        lambda F, y, z: F.mse_loss(z, y, reduction="none").mean(1),
    ),
    "absolute": (
        LOSSES["mean_absolute_error"],
        REAL,
        lambda y, z: np.linalg.norm(z - y, 1, axis=1) / N,
        lambda F, y, z: F.l1_loss(z, y, reduction="none").mean(1),
    ),
    "huber": (
        LOSSES["huber"],
        REAL,
        lambda y, z: np.mean(special.huber(1.0, z - y), axis=1),
        lambda F, y, z: F.huber_loss(z, y, reduction="none").mean(1),
    ),
    "huber 0.3": (
        Huber(0.3),
        REAL,
        lambda y, z: np.mean(special.huber(0.3, z - y), axis=1),
        lambda F, y, z: F.huber_loss(z, y, reduction="none", delta=0.3).mean(1),
    ),
    "poisson": (
        LOSSES["poisson"],
        COUNTS,
        lambda y, z: (
            -np.mean(stats.poisson.logpmf(y, np.exp(z)) + special.gammaln(y + 1.0), axis=1)
        ),
        lambda F, y, z: F.poisson_nll_loss(z, y, reduction="none").mean(1),
    ),
}


def placed(backend, y, dtype):
    """Return targets on a device; labels stay integers."""
    return backend.asarray(y, "int64" if y.dtype.kind == "i" else dtype)


def central_differences(loss, y, z, h=1e-5):
    """Return dl_i/dz_ij computed from values."""
    xp = array_api_compat.numpy
    columns = []
    for j in range(z.shape[1]):
        step = np.zeros_like(z)
        step[:, j] = h
        change = loss.value(xp, y, z + step) - loss.value(xp, y, z - step)
        columns.append(change / (2.0 * h))
    return np.stack(columns, axis=1)


def test_every_loss_has_a_case():
    assert {loss.name for loss, *_ in CASES.values()} == set(LOSSES)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("case", CASES)
def test_value_is_that_of_scipy(case, dtype, tolerance, backend, xp):
    loss, y, reference, _ = CASES[case]
    z = LOGITS.astype(dtype)
    value = loss.value(xp, placed(backend, y, dtype), backend.asarray(z))
    expected = reference(y, z.astype(float))
    assert value.shape == (M,)
    assert_allclose(backend.to_numpy(value), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_error_is_the_derivative_of_the_value(case, backend, xp):
    loss, y, _, _ = CASES[case]
    error = loss.error(xp, placed(backend, y, "float64"), backend.asarray(LOGITS))
    expected = central_differences(loss, y, LOGITS)
    assert_allclose(backend.to_numpy(error), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_value_and_error_are_those_of_pytorch(case):
    torch = pytest.importorskip("torch")
    loss, y, _, reference = CASES[case]
    z = torch.tensor(LOGITS, requires_grad=True)
    y = torch.tensor(y)
    expected = reference(torch.nn.functional, y, z)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    import array_api_compat.torch as xp

    value, error = loss.value(xp, y, z.detach()), loss.error(xp, y, z.detach())
    assert_allclose(value, expected.detach(), rtol=1e-12, atol=1e-12)
    assert_allclose(error, slope, rtol=1e-12, atol=1e-12)


# --- logits of any size -----------------------------------------------------------------------

FAR = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [0.0, -1e4]])
FAR_LABELS = np.array([0, 0, 1, 1])
FAR_ONES = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
LN2 = np.log(2.0)
# Values and errors at these logits, by hand.
EXTREMES = {
    "binary_crossentropy": (
        FAR_ONES,
        [5e3, 5e3, 5e3, LN2 / 2],
        [[0.0, -0.5], [0.0, 0.5], [0.5, 0.0], [-0.25, 0.0]],
    ),
    "categorical_crossentropy": (
        FAR_LABELS,
        [0.0, 2e4, LN2, 1e4],
        [[0.0, 0.0], [-1.0, 1.0], [0.5, -0.5], [1.0, -1.0]],
    ),
    "mean_squared_error": (
        FAR_ONES,
        np.mean((FAR - FAR_ONES) ** 2, axis=1),
        FAR - FAR_ONES,
    ),
    "mean_absolute_error": (
        FAR_ONES,
        np.mean(np.abs(FAR - FAR_ONES), axis=1),
        np.sign(FAR - FAR_ONES) / 2,
    ),
    "quantile": (
        FAR_ONES,
        np.mean(np.abs(FAR - FAR_ONES), axis=1) / 2,
        np.sign(FAR - FAR_ONES) / 4,
    ),
    "huber": (
        FAR_ONES,
        np.mean(np.abs(FAR - FAR_ONES) - 0.5, axis=1),
        np.clip(FAR - FAR_ONES, -1.0, 1.0) / 2,
    ),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_logits_of_1e4_in_float32_are_finite_and_right(name, backend, xp):
    y, expected, slope = EXTREMES[name]
    z = backend.asarray(FAR, "float32")
    y = placed(backend, y, "float32")
    loss = LOSSES[name]
    assert_allclose(backend.to_numpy(loss.value(xp, y, z)), expected, rtol=1e-6)
    assert_allclose(backend.to_numpy(loss.error(xp, y, z)), slope, rtol=1e-6)


def test_poisson_goes_on_as_a_line_where_the_exponential_overflows(backend, xp):
    z = np.array([[-1e4], [0.0], [40.0], [1e3], [1e4]], dtype=np.float32)
    y = np.ones_like(z)
    loss = LOSSES["poisson"]
    y, z = backend.asarray(y), backend.asarray(z)
    value, slope, mean = (
        backend.to_numpy(result).astype(float).ravel()
        for result in (loss.value(xp, y, z), loss.error(xp, y, z), loss.link(xp, z))
    )
    assert np.all(np.isfinite([value, slope, mean]))
    assert_allclose(value[:3], [1e4, 1.0, np.exp(40.0) - 40.0], rtol=1e-5)
    assert_allclose(slope[:3], [-1.0, 0.0, np.exp(40.0)], rtol=1e-5, atol=1e-6)
    assert slope[3] == slope[4] > slope[2]
    assert_allclose((value[4] - value[3]) / 9e3, slope[4], rtol=1e-5)


def test_the_slope_of_that_line_holds_the_count_too(backend, xp):
    z = backend.asarray(np.array([[100.0], [200.0]]), "float32")
    y = backend.asarray(np.full((2, 1), 1e19), "float32")  # e^z is capped at 1.8e19
    loss = LOSSES["poisson"]
    value, slope = (
        backend.to_numpy(f(xp, y, z)).astype(float).ravel() for f in (loss.value, loss.error)
    )
    assert_allclose((value[1] - value[0]) / 100.0, slope[0], rtol=1e-5)
    assert_allclose(slope, np.sqrt(np.finfo(np.float32).max) - 1e19, rtol=1e-4)


def test_a_sure_and_right_prediction_keeps_its_small_loss(backend, xp):
    z = backend.asarray(np.array([[30.0], [-30.0]]), "float32")
    y = backend.asarray(np.array([[1.0], [0.0]]), "float32")
    value = backend.to_numpy(LOSSES["binary_crossentropy"].value(xp, y, z))
    assert_allclose(value, np.exp(-30.0), rtol=1e-6)


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("binary_crossentropy", special.expit),
        ("categorical_crossentropy", lambda z: special.softmax(z, axis=1)),
        ("mean_squared_error", lambda z: z),
        ("mean_absolute_error", lambda z: z),
        ("huber", lambda z: z),
        ("quantile", lambda z: z),
        ("poisson", np.exp),
    ],
)
def test_link_turns_logits_into_predictions(name, reference, backend, xp):
    link = LOSSES[name].link(xp, backend.asarray(LOGITS))
    assert_allclose(backend.to_numpy(link), reference(LOGITS), rtol=1e-12)


@given(z=st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=2))
def test_probabilities_of_any_logits_sum_to_one(z):
    z = np.array([z]) / 2.0  # the difference of two halves is finite
    p = LOSSES["categorical_crossentropy"].link(array_api_compat.numpy, z)
    assert np.all(p >= 0.0)
    assert_allclose(np.sum(p), 1.0, rtol=1e-15)


# --- weights and the mean ---------------------------------------------------------------------

WEIGHTS = np.array([0.0, 1.0, 2.0, 0.0, 0.5, 3.25])


def measured(backend, xp, case, w, rows=slice(None)):
    """Return the mean loss and output error of a case, on the host."""
    loss, y, *_ = CASES[case]
    y, z = placed(backend, y[rows], "float64"), backend.asarray(LOGITS[rows])
    w = None if w is None else backend.asarray(w)
    values, errors = loss.value_and_error(xp, y, z)
    results = mean_loss(xp, values, w), output_error(xp, errors, w)
    return [backend.to_numpy(result) for result in results]


@pytest.mark.parametrize("case", CASES)
def test_without_weights_the_loss_is_the_mean(case, backend, xp):
    loss, y, reference, _ = CASES[case]
    value, delta = measured(backend, xp, case, None)
    assert value.shape == ()
    assert_allclose(value, np.mean(reference(y, LOGITS)), rtol=1e-12)
    expected = central_differences(loss, y, LOGITS) / M
    assert_allclose(delta, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_with_weights_the_loss_is_the_weighted_mean(case, backend, xp):
    loss, y, reference, _ = CASES[case]
    value, delta = measured(backend, xp, case, WEIGHTS)
    assert_allclose(value, np.average(reference(y, LOGITS), weights=WEIGHTS), rtol=1e-12)
    share = (WEIGHTS / WEIGHTS.sum())[:, None]
    expected = share * central_differences(loss, y, LOGITS)
    assert_allclose(delta, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_rows_of_weight_zero_might_as_well_be_absent(case, backend, xp):
    present = WEIGHTS > 0.0
    value, delta = measured(backend, xp, case, WEIGHTS)
    shorter_value, shorter_delta = measured(backend, xp, case, WEIGHTS[present], present)
    assert_array_equal(delta[~present], 0.0)
    assert_allclose(delta[present], shorter_delta, rtol=1e-14)
    assert_allclose(value, shorter_value, rtol=1e-14)


@pytest.mark.parametrize("factor", [2.0**-20, 7.3, 1e6])
def test_the_scale_of_weights_has_no_effect(factor, backend, xp):
    for case in CASES:
        value, delta = measured(backend, xp, case, WEIGHTS)
        scaled_value, scaled_delta = measured(backend, xp, case, factor * WEIGHTS)
        assert_allclose(scaled_value, value, rtol=1e-13)
        assert_allclose(scaled_delta, delta, rtol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_weights_that_are_all_zero_give_zero_and_not_nan(case, backend, xp):
    value, delta = measured(backend, xp, case, np.zeros(M))
    assert value == 0.0
    assert_array_equal(delta, np.zeros((M, N)))


def test_what_is_infinite_has_no_effect_with_weight_zero(backend, xp):
    values, errors, w = (
        backend.asarray(np.array(array, dtype="float64"))
        for array in ([np.inf, 2.0], [[np.inf, -np.inf], [3.0, 4.0]], [0.0, 5.0])
    )
    assert float(mean_loss(xp, values, w)) == 2.0
    assert_array_equal(backend.to_numpy(output_error(xp, errors, w)), [[0.0, 0.0], [3.0, 4.0]])


def network():
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dense(N)]
    return bpnet.Network(layers, "categorical_crossentropy", seed=0, dtype="float64")


def test_whole_weights_count_like_repeated_rows(backend):
    times = np.array([1, 3, 2, 0, 1, 1])
    net = network()
    loss, gradients = net.loss_and_gradients(REAL, LABELS, times, backend=backend)
    repeated = np.repeat(REAL, times, axis=0), np.repeat(LABELS, times)
    expected_loss, expected = net.loss_and_gradients(*repeated, backend=backend)
    assert_allclose(loss, expected_loss, rtol=1e-13)
    for layer, expected_layer in zip(gradients, expected, strict=True):
        for name in layer:
            assert_allclose(layer[name], expected_layer[name], rtol=1e-10, atol=1e-14)


def test_a_batch_without_weight_moves_nothing_in_training(backend):
    kept = slice(2, None)
    weights = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    settings = {"optimizer": bpnet.SGD(0.5), "epochs": 2, "batch_size": 2, "shuffle": False}
    net, shorter = network(), network()
    history = net.fit(REAL, LABELS, sample_weight=weights, backend=backend, **settings)
    expected = shorter.fit(
        REAL[kept], LABELS[kept], sample_weight=weights[kept], backend=backend, **settings
    )
    assert_allclose(history["loss"], expected["loss"], rtol=1e-13)
    with backend.activate():
        for layer, expected_layer in zip(net.parameters, shorter.parameters, strict=True):
            for name in layer:
                moved, reference = map(backend.to_numpy, (layer[name], expected_layer[name]))
                assert_allclose(moved, reference, rtol=1e-13)


# --- names and errors -------------------------------------------------------------------------


class Logarithmic(Loss):
    """A user-defined loss: ln cosh(z - y)."""

    identity_link = True

    def link(self, xp, z):
        return z

    def value(self, xp, y, z):
        return xp.mean(xp.log(xp.cosh(z - y)), axis=1)

    def error(self, xp, y, z):
        return xp.tanh(z - y) / z.shape[1]


def test_a_users_own_loss_trains_and_passes_the_gradient_check():
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(N)], Logarithmic(), seed=0)
    assert bpnet.check_gradients(net, LOGITS, REAL).passed
    history = net.fit(LOGITS, REAL, optimizer=bpnet.Adam(0.05), epochs=20)
    assert history["loss"][-1] < 0.7 * history["loss"][0]


def test_get_gives_losses_by_name_and_passes_instances_through():
    own = Huber(0.3)
    assert losses.get(own) is own
    assert losses.get("huber") == Huber(1.0) != own
    assert all(losses.get(name).name == name for name in LOSSES)
    assert Huber().config() == {"delta": 1.0}
