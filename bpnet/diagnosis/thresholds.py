"""Every threshold of a diagnosis, with its reason and source.

Gradients are compared by the *weight-gradient product*: the norm of dL/dW times the norm of W,
relative to the baseline loss (that of logits 0, if higher). To first order it is the change of
the loss when the layer's weights change in proportion, whatever the layer's size and the loss's
scale. Steps of a thousandth of the weights, CS231n's rule of thumb, change the loss by a
thousandth of it.
"""

from __future__ import annotations

from typing import NamedTuple


class Threshold(NamedTuple):
    """A threshold, the reason for it, and its source: a paper, a course or a benchmark."""

    value: float
    reason: str
    source: str


_OURS = "the tuning runs of benchmarks/diagnosis.py"

THRESHOLDS: dict[str, Threshold] = {
    # --- data -------------------------------------------------------------------------------
    "feature_rms_high": Threshold(
        10.0,
        "initializers assume inputs of variance about 1; ten times that saturates a tanh",
        "LeCun et al. 1998, Efficient BackProp, section 4.3",
    ),
    "feature_rms_low": Threshold(
        0.01,
        "if all inputs are this small, they hardly affect the first layer",
        "LeCun et al. 1998, Efficient BackProp, section 4.3",
    ),
    "target_rms": Threshold(
        10.0,
        "outputs start near variance 1; for larger targets the last weights must grow a lot",
        "Bishop 1995, Neural Networks for Pattern Recognition, section 8.2",
    ),
    "feature_range": Threshold(
        1000.0,
        "curvature grows with the square of a feature, so no single learning rate fits both",
        "LeCun et al. 1998, Efficient BackProp, section 5.1",
    ),
    "signal": Threshold(
        3.0,
        "standard deviations of shuffled targets from which features and targets agree for "
        "sure; 1 in 700 by chance, in each of four statistics",
        "Moran 1950; Cliff and Ord 1981; Wilson and Hilferty 1931",
    ),
    "doubtful_signal": Threshold(
        2.5,
        "1 in 50 by chance: too often to conclude from the features alone that nothing can be "
        "learned, without held-out examples to confirm it",
        "Fisher 1925, Statistical Methods for Research Workers; " + _OURS,
    ),
    "odds": Threshold(
        0.7,
        "logarithm of the likelihood ratio of no signal to one of 5 % of the variance, from "
        "which there is none: 2 to 1",
        "Royall 1997, Statistical Evidence; " + _OURS,
    ),
    "simple_skill": Threshold(
        0.93,
        "loss of simple models on new examples, relative to the baseline: below this they can "
        "predict something; the best of several models and settings had 0.95 by chance",
        _OURS,
    ),
    "few_rows": Threshold(
        50.0, "with fewer examples, simple models say too little of what can be learned", _OURS
    ),
    "unlearnable": Threshold(
        0.97, "a validation loss, relative to the best constant's, that is no better", _OURS
    ),
    "hardly_learnable": Threshold(
        0.95,
        "the same, if the features say nothing either: the best of many epochs had 0.96 by "
        "chance on 200 examples",
        _OURS,
    ),
    "useless_share": Threshold(
        0.75,
        "share of useless features in the mean square of X that outweighs the others; two "
        "copies of every feature have 0.67",
        _OURS,
    ),
    "target_rms_low": Threshold(
        0.05,
        "outputs start near variance 1; for smaller targets the last weights must shrink a lot",
        "Bishop 1995, Neural Networks for Pattern Recognition, section 8.2",
    ),
    "recall": Threshold(
        0.5, "share of a rare class that is recognized: below it, most are missed", _OURS
    ),
    "few_of_class": Threshold(
        5.0, "fewer examples of a class say nothing of those to come", _OURS
    ),
    "all": Threshold(
        0.99, "training accuracy of a network that recognizes every example it has seen", _OURS
    ),
    "class_ratio": Threshold(
        9.0,
        "ratio of the most to the least frequent class from which a data set counts as highly "
        "imbalanced",
        "Alcala-Fdez et al. 2011, KEEL data sets; He and Garcia 2009",
    ),
    # --- initialization ---------------------------------------------------------------------
    "spread": Threshold(
        1e-3,
        "units that start as copies get equal gradients and remain copies",
        "Goodfellow, Bengio and Courville 2016, Deep Learning, section 8.4",
    ),
    "weight_gradient_product_high": Threshold(
        1000.0,
        "a step of 1e-3 would change the loss by the baseline loss, so no step is small; sound "
        "networks had 480, if they were large",
        "Pascanu, Mikolov and Bengio 2013, section 2; CS231n; " + _OURS,
    ),
    "weight_gradient_product_low": Threshold(
        2e-3,
        "it would take 500,000 steps of 1e-3 to change the loss by the baseline loss",
        "Hochreiter 1991; Glorot and Bengio 2010, figure 7; CS231n; " + _OURS,
    ),
    "faint_gradient": Threshold(
        0.03,
        "the same, if the last layer has a much larger one and the loss stayed where it was",
        "Glorot and Bengio 2010, figure 7; " + _OURS,
    ),
    "few_steps": Threshold(
        20.0,
        "fewer steps are too few at any rate, and an output layer that starts at 0 lets hardly "
        "any gradient pass in them",
        _OURS,
    ),
    "faint_ratio": Threshold(
        0.05, "what counts as much larger, inverted", "Hochreiter 1991; " + _OURS
    ),
    "dead": Threshold(
        0.5,
        "share of a layer's units that no example activates; healthy relu nets had up to 0.25",
        "Maas, Hannun and Ng 2013; CS231n warns of 0.4; " + _OURS,
    ),
    "saturated": Threshold(
        0.5,
        "share of a layer's activations in a flat region, which gradients hardly pass",
        "Glorot and Bengio 2010, section 3; He et al. 2015; " + _OURS,
    ),
    # --- training ---------------------------------------------------------------------------
    "unlearnt": Threshold(
        0.5,
        "a training loss, relative to the baseline, that means hardly anything was learned",
        _OURS,
    ),
    "update_high": Threshold(
        0.2,
        "a step that changes the weights by a fifth; 1e-3 is typical, healthy nets had 0.11",
        "CS231n, Neural networks 3; Bengio 2012, section 3.1; " + _OURS,
    ),
    "update_rash": Threshold(
        0.6,
        "a step that changes more than half of the weights: a loss that still falls is luck",
        _OURS,
    ),
    "update_low": Threshold(
        1e-3,
        "longer steps are at least as long as is typical: there were only too few of them",
        "CS231n, Neural networks 3",
    ),
    "update_tiny": Threshold(
        4e-4,
        "steps that are shorter on average than is typical, even in sound runs of many steps",
        "CS231n, Neural networks 3; " + _OURS,
    ),
    "update_deadly": Threshold(
        0.02,
        "steps from which units that died during training died of the learning rate",
        "CS231n, Neural networks 1: Commonly used activation functions; " + _OURS,
    ),
    "loss_rise": Threshold(
        1.2,
        "training loss relative to the initial loss: the steps made it worse",
        "Smith 2017, Cyclical learning rates, section 3.3; " + _OURS,
    ),
    "travel": Threshold(
        1.0,
        "sum of all steps relative to the weights: below this they are still closer to their "
        "initial values than to 0; sound runs of many steps had 1.1 and more",
        "CS231n, Neural networks 3; " + _OURS,
    ),
    "travel_far": Threshold(
        20.0,
        "sum of all steps relative to the weights: a way this long, after which the loss is "
        "worse than it has been, leads nowhere",
        "CS231n, Neural networks 3; " + _OURS,
    ),
    "gap": Threshold(
        0.28,
        "validation loss minus training loss, relative to the baseline",
        "Goodfellow, Bengio and Courville 2016, section 5.2; " + _OURS,
    ),
    "accuracy_gap": Threshold(
        0.1,
        "training accuracy minus validation accuracy: one example in ten that was memorized",
        "Goodfellow, Bengio and Courville 2016, section 5.2",
    ),
    "memorized": Threshold(
        0.3, "below this training loss, relative to the baseline, most is fitted", _OURS
    ),
    "val_rise": Threshold(
        0.15,
        "validation loss over its minimum, relative to the baseline: stopping there was better",
        "Prechelt 1998; " + _OURS,
    ),
    "good_fit": Threshold(
        0.12, "up to this training loss, relative to the baseline, the fit is good", _OURS
    ),
    "nothing_learned": Threshold(
        0.95,
        "the training loss, relative to the baseline, above which several epochs taught "
        "nothing, so that a failure is there before the end",
        _OURS,
    ),
    "harm": Threshold(
        0.045,
        "the same for failures of data and initial weights, which are plain to see",
        _OURS,
    ),
    "held_out_harm": Threshold(
        0.25,
        "the lowest validation loss, relative to the baseline, in excess of what simple models "
        "reach on other examples that they have not seen",
        _OURS,
    ),
    "underfit": Threshold(
        0.13, "below this training loss, relative to the baseline, most is learned", _OURS
    ),
    "shortfall": Threshold(
        0.07,
        "training loss, relative to the baseline, in excess of what simple models reach on "
        "examples that they have not seen",
        "Hastie, Tibshirani and Friedman 2009, section 7.10; " + _OURS,
    ),
}


def limit(name: str) -> float:
    """Return the value of a threshold."""
    return THRESHOLDS[name].value
