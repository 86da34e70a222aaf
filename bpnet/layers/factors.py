"""Factors of the learning rate and the weight decay for single parameters of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bpnet.common.checks import check_number, described

# The factor of each parameter that is not trained as the optimizer says, by name.
Factors = tuple[tuple[str, float], ...]


def check_factors(
    argument: str,
    given: Mapping[str, float] | Iterable[tuple[str, float]] | None,
    names: tuple[str, ...],
) -> Factors:
    """Return factors >= 0 by parameter, as pairs, from a dict; None are no factors.

    Raises
    ------
    TypeError
        If `given` is no mapping of names to numbers.
    ValueError
        If a factor is negative or not finite, or the layer has no parameter of that name.
    """
    if given is None:
        return ()
    try:
        factors = dict(given)
    except (TypeError, ValueError):
        raise TypeError(
            f"{argument} must be a dict of parameter names and factors, such as "
            f"{{{names[-1]!r}: 0.1}}; got {described(given)}"
        ) from None
    if unknown := [name for name in factors if name not in names]:
        raise ValueError(
            f"{argument} must name parameters of the layer, which has {', '.join(names)}; "
            f"got {', '.join(map(repr, unknown))}"
        )
    return tuple(
        (name, check_number(f"{argument}[{name!r}]", factors[name], 0.0))
        for name in names
        if name in factors
    )
