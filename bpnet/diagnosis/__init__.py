"""What went wrong in a training run: measured, judged by rules, and named with its remedy.

`data_profile` and `gradient_flow` measure, `evidence` brings what they found into comparable
units, `rules` with their `thresholds` name failures, `report` prints them. `sanity` and
`lr_finder` look before a long run.
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
