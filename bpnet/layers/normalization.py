"""The equations of normalization, along the units of an example or the rows of a batch."""

from __future__ import annotations

from bpnet.backend.typing import Array, Namespace


def normalized(
    xp: Namespace, a: Array, axis: int, epsilon: float
) -> tuple[Array, Array, Array, Array]:
    r"""Return n, the scale s, the mean and the variance (biased) of `a` along an axis.

    .. math::
        s = \frac{1}{\sqrt{\mathrm{var}(a) + \epsilon}}, \quad n = (a - \mathrm{mean}(a))\, s
    """
    mean = xp.mean(a, axis=axis, keepdims=True)
    centered = a - mean
    variance = xp.mean(centered * centered, axis=axis, keepdims=True)
    scale = 1.0 / xp.sqrt(variance + epsilon)
    return centered * scale, scale, mean, variance


def error_before(xp: Namespace, normal: Array, scale: Array, error: Array, axis: int) -> Array:
    r"""Return the error of what was normalized, from the error g = dL/dn.

    .. math::
        \frac{\partial L}{\partial a} = s \odot (g - \mathrm{mean}(g)
            - n \odot \mathrm{mean}(g \odot n))
    """
    along = xp.mean(error * normal, axis=axis, keepdims=True)
    return scale * (error - xp.mean(error, axis=axis, keepdims=True) - normal * along)
