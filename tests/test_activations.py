"""Activations and derivatives against SciPy, PyTorch's autograd and any finite number."""

from __future__ import annotations

import math

import array_api_compat.numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats

from bpnet import activations
from bpnet.activations import ACTIVATIONS, ELU, LeakyReLU
from bpnet.backend.special import erfc

CASES = [*ACTIVATIONS.values(), LeakyReLU(0.2), ELU(0.5)]
IDS = [repr(activation) for activation in CASES]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
LARGEST = {"float32": 3e38, "float64": 1e308}

# Steps of 1/4 hold the kinks (0 and hard_sigmoid's 3) and the limits of each formula.
GRID = np.concatenate([np.arange(-40.0, 40.25, 0.25), [1e-30, -1e-30, 1e-4, -1e-4, 0.46875]])


def points(dtype):
    """Return the grid and values up to the largest, in one array so as to compile once."""
    large = np.array([89.0, 104.0, 710.0, 746.0, 1e4, 1e19, LARGEST[dtype]])
    return np.concatenate([GRID, large, -large]).astype(dtype)


def selu_constants():
    """The scale and alpha of a fixed point at mean 0, variance 1 (Klambauer 2017, eq. 14)."""
    half, full = special.erfc(math.sqrt(0.5)), special.erfc(math.sqrt(2.0))
    root, e, pi = math.sqrt(math.e), math.e, math.pi
    alpha = -math.sqrt(2.0 / pi) / (half * root - 1.0)
    rest = 2.0 * full * e**2 + pi * half**2 * e - 2.0 * (2.0 + pi) * half * root + pi + 2.0
    return (1.0 - half * root) * math.sqrt(2.0 * pi) / math.sqrt(rest), alpha


def elu(z, alpha):
    below = np.minimum(z, 0.0)
    return np.where(z > 0.0, z, alpha * below * special.exprel(below))


def elu_slope(z, alpha):
    return np.where(z > 0.0, 1.0, alpha * np.exp(np.minimum(z, 0.0)))


SCALE, ALPHA = selu_constants()

# Values and derivatives from SciPy's functions, in float64.
REFERENCES = {
    "Identity()": (lambda z: z, np.ones_like),
    "Sigmoid()": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "Tanh()": (np.tanh, lambda z: np.cosh(np.clip(z, -300.0, 300.0)) ** -2.0),
    "ReLU()": (lambda z: np.clip(z, 0.0, None), lambda z: np.heaviside(z, 0.0)),
    "LeakyReLU(negative_slope=0.01)": (
        lambda z: np.maximum(z, z / 100.0),
        lambda z: np.maximum(np.heaviside(z, 0.0), 1.0 / 100.0),
    ),
    "LeakyReLU(negative_slope=0.2)": (
        lambda z: np.maximum(z, z / 5.0),
        lambda z: np.maximum(np.heaviside(z, 0.0), 1.0 / 5.0),
    ),
    "ELU(alpha=1.0)": (lambda z: elu(z, 1.0), lambda z: elu_slope(z, 1.0)),
    "ELU(alpha=0.5)": (lambda z: elu(z, 0.5), lambda z: elu_slope(z, 0.5)),
    "SELU()": (lambda z: SCALE * elu(z, ALPHA), lambda z: SCALE * elu_slope(z, ALPHA)),
    "GELU()": (
        lambda z: z * special.ndtr(z),
        lambda z: special.ndtr(z) + np.clip(z, -50, 50) * stats.norm.pdf(np.clip(z, -50, 50)),
    ),
    "Softplus()": (lambda z: np.logaddexp(0.0, z), special.expit),
    "SiLU()": (
        lambda z: z * special.expit(z),
        lambda z: special.expit(z) * (1.0 + z * special.expit(-z)),
    ),
    "Mish()": (
        lambda z: z * np.tanh(np.logaddexp(0.0, z)),
        lambda z: (
            np.tanh(np.logaddexp(0.0, z))
            + np.clip(z, -800.0, 300.0)
            * special.expit(z)
            / np.cosh(np.clip(np.logaddexp(0.0, z), 0.0, 300.0)) ** 2.0
        ),
    ),
    "Softsign()": (
        lambda z: np.sign(z) - np.sign(z) / (1.0 + np.abs(z)),
        lambda z: (1.0 / (1.0 + np.abs(z))) ** 2,
    ),
    "HardSigmoid()": (
        lambda z: np.interp(z, [-3.0, 3.0], [0.0, 1.0]),
        lambda z: np.where(np.abs(z) < 3.0, 1.0 / 6.0, 0.0),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", CASES, ids=IDS)
def test_value_and_derivative_are_those_of_scipy_for_any_finite_input(
    activation, dtype, backend, xp
):
    z = points(dtype)
    on_device = backend.asarray(z)
    a = activation.f(xp, on_device)
    slope = activation.df(xp, on_device, a)
    for result, reference in zip((a, slope), REFERENCES[repr(activation)], strict=True):
        assert result.dtype == on_device.dtype
        host = backend.to_numpy(result)
        assert np.all(np.isfinite(host))
        expected = reference(z.astype(np.float64))
        assert_allclose(host, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("activation", CASES, ids=IDS)
def test_derivative_is_that_of_pytorch(activation):
    torch = pytest.importorskip("torch")
    if activation.name == "hard_sigmoid":  # torch's own has float32(1/6) as its derivative
        module = lambda z: torch.nn.functional.relu6(z + 3.0) / 6.0  # noqa: E731
    else:
        module = getattr(torch.nn, type(activation).__name__)(**activation.config())
    # Within 18, as PyTorch's softplus becomes the identity at 20.
    z = torch.arange(-18.0, 18.0, 0.25, dtype=torch.float64, requires_grad=True)
    a = module(z)
    (slope,) = torch.autograd.grad(a.sum(), z)
    assert_allclose(activation(z.detach()), a.detach(), rtol=1e-12, atol=1e-12)
    assert_allclose(activation.derivative(z.detach()), slope, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", CASES, ids=IDS)
@given(z=st.floats(-1e308, 1e308))
def test_any_finite_number_gives_finite_results(activation, z):
    z = np.array([[z]])
    assert np.all(np.isfinite(activation(z)))
    assert np.all(np.abs(activation.derivative(z)) < 2.0)


@pytest.mark.parametrize("activation", CASES, ids=IDS)
def test_derivative_is_the_slope_between_neighbors(activation):
    h = 1e-6
    z = GRID[(np.abs(GRID) > 0.1) & (np.abs(np.abs(GRID) - 3.0) > 0.1)]  # away from kinks
    slope = (activation(z + h) - activation(z - h)) / (2.0 * h)
    assert_allclose(activation.derivative(z), slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("activation", CASES, ids=IDS)
def test_call_keeps_library_shape_and_dtype_and_leaves_the_input_alone(activation, backend, xp):
    z = points("float32")
    on_device = backend.asarray(z.copy())
    for result in (activation(on_device), activation.derivative(on_device)):
        assert type(result) is type(on_device)
        assert result.shape == z.shape
        assert result.dtype == on_device.dtype
    assert_allclose(backend.to_numpy(on_device), z, rtol=0)


# SciPy's own erfc is off by 6e-14 in the tail; mpmath, where it is installed, is not.
@pytest.mark.parametrize(
    ("dtype", "last", "tolerance"), [("float32", 9.0, 1e-6), ("float64", 26.0, 2e-13)]
)
def test_erfc_is_accurate_relative_to_the_result(dtype, last, tolerance, backend, xp):
    even = np.linspace(-6.0, last, points(dtype).size - 3)
    x = np.concatenate([even, [0.0, 0.46875, 4.0]]).astype(dtype)
    host = backend.to_numpy(erfc(xp, backend.asarray(x)))
    assert host.dtype == dtype
    assert_allclose(host, special.erfc(x.astype(float)), rtol=tolerance)


def test_erfc_is_that_of_mpmath_to_a_few_ulp():
    mpmath = pytest.importorskip("mpmath")
    x = np.linspace(-4.0, 26.0, 997)
    with mpmath.workdps(40):
        expected = [float(mpmath.erfc(float(value))) for value in x]
    assert_allclose(erfc(array_api_compat.numpy, x), expected, rtol=1e-14)


@pytest.mark.parametrize("x", [30.0, 1e4, 1e308])
def test_erfc_has_its_limits(x):
    assert erfc(array_api_compat.numpy, np.array([x])) == 0.0
    assert erfc(array_api_compat.numpy, np.array([-x])) == 2.0


def test_get_gives_activations_by_name_and_passes_instances_through():
    own = LeakyReLU(0.3)
    assert activations.get(own) is own
    assert activations.get("tanh") is activations.tanh
    assert all(activations.get(name).name == name for name in ACTIVATIONS)
    assert activations.get("leaky_relu") == LeakyReLU(0.01) != own


def test_defaults_are_those_of_the_docstrings():
    assert LeakyReLU().config() == {"negative_slope": 0.01}
    assert ELU().config() == {"alpha": 1.0}


def test_equal_parameters_make_equal_activations():
    assert {LeakyReLU(0.3), LeakyReLU(0.3), LeakyReLU(0.2), ELU(0.3)} == {
        LeakyReLU(0.2), LeakyReLU(0.3), ELU(0.3),
    }  # fmt: skip
    assert len({LeakyReLU(0.3), LeakyReLU(0.3), ELU(0.3)}) == 2
