"""Where healthy ends: every number that a diagnosis compares with, its reason and source.

Gradients are compared by their *pull*: norm of dL/dW times norm of W, in units of the loss
at chance. It is how much the loss would change, to first order, if the layer's weights
changed in proportion, whatever the layer's size and the loss's scale. Steps of a thousandth
of the weights, CS231n's rule of thumb, then change the loss by a thousandth of the pull.
"""

from __future__ import annotations

from typing import NamedTuple


class Threshold(NamedTuple):
    """A limit, why it lies there, and where that is from.

    Attributes
    ----------
    value : float
        The limit.
    reason : str
        What it means, and why no more or less.
    source : str
        Paper, course, or the benchmark that it was set on.
    """

    value: float
    reason: str
    source: str


_OURS = "the tuning half of benchmarks/diagnosis.py"

THRESHOLDS: dict[str, Threshold] = {
    # --- the data ---------------------------------------------------------------------------
    "feature_rms_high": Threshold(
        10.0,
        "initialisers assume inputs of variance about 1; ten times that flattens a tanh",
        "LeCun et al. 1998, Efficient BackProp, section 4.3",
    ),
    "feature_rms_low": Threshold(
        0.01,
        "inputs so small, all of them, hardly move the first layer",
        "LeCun et al. 1998, Efficient BackProp, section 4.3",
    ),
    "target_rms": Threshold(
        10.0,
        "outputs start near variance 1, so for larger targets the last weights must grow far",
        "Bishop 1995, Neural Networks for Pattern Recognition, section 8.2",
    ),
    "feature_range": Threshold(
        1000.0,
        "curvature grows with the square of a feature, so no learning rate suits both",
        "LeCun et al. 1998, Efficient BackProp, section 5.1",
    ),
    "neighbour_sigmas": Threshold(
        3.0,
        "targets of neighbours agree no more than shuffled ones do; by chance 1 in 700",
        "Moran 1950; Cliff and Ord 1981",
    ),
    "neighbour_signal": Threshold(
        0.15,
        "few examples make chance wide, but so much agreement is no chance",
        _OURS,
    ),
    "neighbour_rows": Threshold(
        50.0, "among fewer examples neighbours are too far to tell anything", _OURS
    ),
    "unlearnable": Threshold(
        0.95, "loss on new examples, in units of chance, that is no better than chance", _OURS
    ),
    "class_ratio": Threshold(
        9.0,
        "examples of the commonest class for one of the rarest, from which a data set "
        "counts as highly imbalanced",
        "Alcala-Fdez et al. 2011, KEEL data sets; He and Garcia 2009",
    ),
    # --- the start --------------------------------------------------------------------------
    "spread": Threshold(
        1e-3,
        "units that start as copies get equal gradients, and stay copies",
        "Goodfellow, Bengio and Courville 2016, Deep Learning, section 8.4",
    ),
    "pull_high": Threshold(
        500.0,
        "a step of 1e-3 would change the loss by half its value at chance; no step is small",
        "Pascanu, Mikolov and Bengio 2013, section 2; CS231n; " + _OURS,
    ),
    "pull_low": Threshold(
        2e-3,
        "steps of 1e-3 would take 500,000 to change the loss by its value at chance",
        "Hochreiter 1991; Glorot and Bengio 2010, figure 7; CS231n; " + _OURS,
    ),
    "dead": Threshold(
        0.5,
        "share of a layer's units that no example moves; sound relu nets had up to 0.25",
        "Maas, Hannun and Ng 2013; CS231n warns of 0.4; " + _OURS,
    ),
    "saturated": Threshold(
        0.5,
        "share of a layer's activations at a flat end, where gradients hardly pass",
        "Glorot and Bengio 2010, section 3; He et al. 2015; " + _OURS,
    ),
    # --- the training -----------------------------------------------------------------------
    "unlearnt": Threshold(
        0.5,
        "training loss, in units of chance, that says: hardly anything was learnt",
        _OURS,
    ),
    "update_high": Threshold(
        0.2,
        "a step that changes weights by a fifth; 1e-3 is common, and sound nets had 0.11",
        "CS231n, Neural networks 3; Bengio 2012, section 3.1; " + _OURS,
    ),
    "update_low": Threshold(
        1e-3,
        "longer steps are no shorter than is common: then there were only too few",
        "CS231n, Neural networks 3",
    ),
    "loss_rise": Threshold(
        1.2,
        "training loss relative to that before the first step: the steps made it worse",
        "Smith 2017, Cyclical learning rates, section 3.3; " + _OURS,
    ),
    "travel": Threshold(
        0.3,
        "sum of all steps relative to the weights: random weights cannot have become "
        "others; sound trainings had 1.3 and more",
        "CS231n, Neural networks 3; " + _OURS,
    ),
    "gap": Threshold(
        0.28,
        "loss on new examples minus training loss, in units of chance",
        "Goodfellow, Bengio and Courville 2016, section 5.2; Prechelt 1998; " + _OURS,
    ),
    "shortfall": Threshold(
        0.15,
        "training loss, in units of chance, beyond what mistakes of the 5 nearest "
        "neighbours would cost",
        "Cover and Hart 1967; Fano's inequality; " + _OURS,
    ),
    "underfit": Threshold(
        0.3, "below this training loss, in units of chance, most is learnt", _OURS
    ),
}


def limit(name: str) -> float:
    """Give the value of a threshold."""
    return THRESHOLDS[name].value
