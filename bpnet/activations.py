"""Activation functions, each with its derivative.

Notation: ``a_l = f_l(z_l)``; :meth:`Activation.f` is f and :meth:`Activation.df` is f'.
All are elementwise, preserve shape and dtype, and do not overflow for any finite input.
At a kink (relu at 0) the left derivative is used.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from bpnet import initializers
from bpnet.backend.compat import array_namespace, is_array
from bpnet.backend.special import erfc
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number, kind_of
from bpnet.common.component import Component, is_own
from bpnet.common.suggestions import unknown_name
from bpnet.errors import ComponentError


class Activation(Component):
    """An elementwise function f of z and its derivative.

    Subclasses implement :meth:`f` and :meth:`df` with Array API operations; an instance can
    then be passed wherever a name can.

    Attributes
    ----------
    name : str
        The name in ``Dense(64, "name")``.
    default_init : str
        The weight initializer that preserves the variance of signals with this activation.
    """

    kind = "activations"
    name: ClassVar[str] = ""
    default_init: ClassVar[str] = "glorot_uniform"

    @abstractmethod
    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute a = f(z)."""

    @abstractmethod
    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute f'(z), from a = f(z) where that is cheaper."""

    def __call__(self, z: Array) -> Array:
        """Compute f(z) for an array of any supported library.

        Examples
        --------
        >>> import numpy as np
        >>> from bpnet.activations import relu
        >>> relu(np.array([-2.0, 0.0, 3.0]))
        array([0., 0., 3.])
        """
        return self.f(_namespace(z), z)

    def derivative(self, z: Array) -> Array:
        """Compute f'(z) for an array of any supported library.

        Examples
        --------
        >>> import numpy as np
        >>> from bpnet.activations import tanh
        >>> tanh.derivative(np.array([0.0]))
        array([1.])
        """
        xp = _namespace(z)
        return self.df(xp, z, self.f(xp, z))


def _namespace(z: Any) -> Namespace:
    """Return the namespace of z, which must be a floating-point array."""
    if is_array(z) and (xp := array_namespace(z)).isdtype(z.dtype, "real floating"):
        return xp
    got = f"dtype {z.dtype}" if is_array(z) else kind_of(z)
    raise TypeError(f"z must be an array of floating-point numbers, got {got}")


class Identity(Activation):
    """f(z) = z, f'(z) = 1: a linear layer."""

    name = "identity"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute z."""
        return z

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1."""
        return xp.ones_like(z)


class Sigmoid(Activation):
    """f(z) = 1 / (1 + e^-z), f'(z) = a (1 - a); the logistic function, in (0, 1)."""

    name = "sigmoid"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute 1 / (1 + e^-z) from e^-abs(z), which cannot overflow."""
        e = xp.exp(-xp.abs(z))
        return xp.where(z >= 0.0, 1.0 / (1.0 + e), e / (1.0 + e))

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute a (1 - a)."""
        return a * (1.0 - a)


class Tanh(Activation):
    """f(z) = tanh z, f'(z) = 1 - a^2; in (-1, 1) and centered on 0."""

    name = "tanh"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute tanh z."""
        return xp.tanh(z)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1 - a^2."""
        return 1.0 - a * a


class ReLU(Activation):
    """f(z) = max(z, 0), f'(z) = [z > 0] (Nair and Hinton 2010)."""

    name = "relu"
    default_init = "he_normal"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute max(z, 0)."""
        return xp.maximum(z, 0.0)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1 where a > 0, which is where z > 0, else 0."""
        return xp.astype(a > 0.0, a.dtype)


class LeakyReLU(Activation):
    """f(z) = z for z > 0, else s z; f'(z) = 1 or s (Maas, Hannun and Ng 2013).

    Parameters
    ----------
    negative_slope : float, default 0.01
        The slope s for z <= 0, as in the paper.
    """

    name = "leaky_relu"
    default_init = "he_normal"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = check_number("negative_slope", negative_slope)

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute z or s z."""
        return xp.where(z > 0.0, z, self.negative_slope * z)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1 or s."""
        return xp.where(z > 0.0, xp.ones_like(z), self.negative_slope)


class ELU(Activation):
    """f(z) = z for z > 0, else α (e^z - 1); f'(z) = 1 or α e^z (Clevert et al. 2015).

    Parameters
    ----------
    alpha : float, default 1.0
        The limit for z -> -inf is -α; 1 makes the derivative continuous.
    """

    name = "elu"
    default_init = "he_normal"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number("alpha", alpha, 0.0)

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute max(z, 0) + α (e^min(z, 0) - 1)."""
        return xp.maximum(z, 0.0) + self.alpha * _expm1(xp, xp.minimum(z, 0.0))

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1 or α e^z."""
        return xp.where(z > 0.0, xp.ones_like(z), self.alpha * xp.exp(xp.minimum(z, 0.0)))


def _expm1(xp: Namespace, z: Array) -> Array:
    """Compute e^z - 1 for z <= 0, as 2 t / (1 - t) with t = tanh(z / 2), to 2 ulp.

    NumPy's tanh takes a fifth of the time of its expm1.
    """
    t = xp.tanh(0.5 * z)
    return 2.0 * t / (1.0 - t)


class SELU(Activation):
    """f(z) = λ elu(z), with the λ and α that make a deep network self-normalizing.

    Klambauer, Unterthiner, Mayr and Hochreiter 2017, equation 2. Requires LeCun-normal
    weights, its default.
    """

    name = "selu"
    default_init = "lecun_normal"
    SCALE: ClassVar[float] = 1.0507009873554804934193349852946
    ALPHA: ClassVar[float] = 1.6732632423543772848170429916717

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute λ (max(z, 0) + α (e^min(z, 0) - 1))."""
        negative = self.ALPHA * _expm1(xp, xp.minimum(z, 0.0))
        return self.SCALE * (xp.maximum(z, 0.0) + negative)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute λ or λ α e^z."""
        slope = self.ALPHA * xp.exp(xp.minimum(z, 0.0))
        return self.SCALE * xp.where(z > 0.0, xp.ones_like(z), slope)


class GELU(Activation):
    """f(z) = z Φ(z), f'(z) = Φ(z) + z φ(z), with Φ and φ of the normal distribution.

    Hendrycks and Gimpel 2016; the exact form, not the tanh approximation.
    """

    name = "gelu"
    default_init = "he_normal"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute z Φ(z)."""
        return z * self._cdf(xp, z)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute Φ(z) + z φ(z)."""
        bounded = xp.clip(z, min=-40.0, max=40.0)  # φ(40) is 0 in float64; z^2 may overflow
        density = xp.exp(-0.5 * bounded * bounded) / math.sqrt(2.0 * math.pi)
        return self._cdf(xp, z) + bounded * density

    @staticmethod
    def _cdf(xp: Namespace, z: Array) -> Array:
        return 0.5 * erfc(xp, -z / math.sqrt(2.0))


class Softplus(Activation):
    """f(z) = ln(1 + e^z), f'(z) = sigmoid(z): a smooth relu (Dugas et al. 2001)."""

    name = "softplus"
    default_init = "he_normal"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute max(z, 0) + ln(1 + e^-abs(z))."""
        return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute sigmoid(z)."""
        return sigmoid.f(xp, z)


class SiLU(Activation):
    """f(z) = z σ(z), f'(z) = σ (1 + z (1 - σ)), with σ = sigmoid(z); also called swish.

    Elfwing, Uchibe and Doya 2018.
    """

    name = "silu"
    default_init = "he_normal"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute z σ(z)."""
        return z * sigmoid.f(xp, z)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute σ (1 + z (1 - σ))."""
        s = sigmoid.f(xp, z)
        return s * (1.0 + z * (1.0 - s))


class Mish(Activation):
    """f(z) = z tanh(softplus(z)), f'(z) = a / z + z σ(z) / cosh^2(softplus(z)).

    Misra, "Mish: a self regularized non-monotonic activation function", 2020. Both follow
    from a single exponential e = e^z: tanh(ln(1 + e)) = n / (n + 2), with n = e (e + 2).
    """

    name = "mish"
    default_init = "he_normal"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute z n / (n + 2)."""
        e = xp.exp(xp.minimum(z, _ALL_OF_IT))
        n = e * (e + 2.0)
        return z * (n / (n + 2.0))

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute n / d + 4 z e (e + 1) / d^2, with d = n + 2."""
        z = xp.minimum(z, _ALL_OF_IT)
        e = xp.exp(z)
        n = e * (e + 2.0)
        d = n + 2.0
        return n / d + z * (e + 1.0) * (4.0 * e) / (d * d)


# From here on, n / (n + 2) rounds to 1 in float64; n^2 is still far from overflow in float32.
_ALL_OF_IT = 20.0


class Softsign(Activation):
    """f(z) = z / (1 + abs(z)), f'(z) = 1 / (1 + abs(z))^2 (Turian et al. 2009)."""

    name = "softsign"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute z / (1 + abs(z))."""
        return z / (1.0 + xp.abs(z))

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1 / (1 + abs(z))^2, squared last as the square of a large z overflows."""
        r = 1.0 / (1.0 + xp.abs(z))
        return r * r


class HardSigmoid(Activation):
    """f(z) = clip(z / 6 + 1/2, 0, 1), f'(z) = 1/6 for -3 < z < 3, else 0.

    Howard et al. 2019, as in Keras 3 and PyTorch.
    """

    name = "hard_sigmoid"

    def f(self, xp: Namespace, z: Array) -> Array:
        """Compute clip(z / 6 + 1/2, 0, 1)."""
        return xp.clip(z / 6.0 + 0.5, min=0.0, max=1.0)

    def df(self, xp: Namespace, z: Array, a: Array) -> Array:
        """Compute 1/6 where abs(z) < 3, else 0."""
        return xp.astype(xp.abs(z) < 3.0, z.dtype) / 6.0


identity = Identity()
sigmoid = Sigmoid()
tanh = Tanh()
relu = ReLU()
leaky_relu = LeakyReLU()
elu = ELU()
selu = SELU()
gelu = GELU()
softplus = Softplus()
silu = SiLU()
mish = Mish()
softsign = Softsign()
hard_sigmoid = HardSigmoid()

ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        identity, sigmoid, tanh, relu, leaky_relu, elu, selu,
        gelu, softplus, silu, mish, softsign, hard_sigmoid,
    )
}  # fmt: skip

# Other names that an activation can be given by; its own name is the one in ACTIVATIONS.
ALIASES = {"linear": "identity", "logistic": "sigmoid", "swish": "silu"}


def get(activation: str | Activation) -> Activation:
    """Look up an activation by name; an Activation is returned unchanged.

    An unknown name raises ValueError, any other type TypeError, and an Activation of your own
    that describes itself wrongly ComponentError.
    """
    if isinstance(activation, Activation):
        if not is_own(activation):
            _check_description(activation)
        return activation
    if not isinstance(activation, str):
        raise TypeError(
            f"activation must be a name or a bpnet Activation, got {kind_of(activation)}"
            f"{_instead(activation)}"
        )
    name = ALIASES.get(activation, activation)
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if "softmax" in name.lower():
        raise ValueError(
            f"unknown activation {activation!r}: softmax is part of the loss "
            f"'categorical_crossentropy', so the last Dense stays linear, as in bpnet.Dense(3)"
        )
    raise unknown_name("activation", activation, [*ACTIVATIONS, *ALIASES])


def _instead(given: Any) -> str:
    """Return what to write instead of a class or a function."""
    if isinstance(given, type) and issubclass(given, Activation):
        return f"; write {given.__name__}()"
    if not callable(given):
        return ""
    if (name := getattr(given, "__name__", "")) in ACTIVATIONS:
        return f"; write {name!r}"
    return "; a function has no derivative: define a class with the methods f and df"


def _check_description(activation: Activation) -> None:
    """Check what an activation of the user's own says of itself."""
    kind, name = type(activation).__name__, activation.name
    if not isinstance(name, str) or not name:
        raise ComponentError(f"name of the activation {kind} must be a str; got {name!r}")
    try:
        initializers.get(activation.default_init, f"default_init of the activation {kind}")
    except (TypeError, ValueError) as error:
        raise ComponentError(str(error)) from error
