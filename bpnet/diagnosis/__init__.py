"""Diagnose training runs: measure them, apply rules, and name each failure with its remedy.

`data_profile`, `simple_models`, `gradient_flow` and `outcome` measure, `evidence` normalizes
the measurements, `rules`, `thresholds` and `examination` identify failures, `report` formats
them. `sanity` and `lr_finder` are for use
before a long run.
"""

from bpnet.diagnosis.gradient_flow import GradientFlow
from bpnet.diagnosis.lr_finder import RateTest, find_learning_rate
from bpnet.diagnosis.report import ILLNESSES, Diagnosis, Doctor, TrainingWarning, diagnose

__all__ = [
    "ILLNESSES",
    "Diagnosis",
    "Doctor",
    "GradientFlow",
    "RateTest",
    "TrainingWarning",
    "diagnose",
    "find_learning_rate",
]
