"""Cuts the example's data into one file for each hospital: ``python -m mortality.cut FOLDER``.

The source is SUPPORT2, 9,105 seriously ill patients (W. A. Knaus et al., "The SUPPORT Prognostic Model", Annals of
Internal Medicine 122, 1995), by way of the Python package SurvSet, which is under the GPL and no part of this example.
The study had five hospitals, but the published data do not tell which patient was where. So the five files are of
hospitals that never were: each has the patients with certain diseases.
"""

import sys
from pathlib import Path

from SurvSet.data import SurvLoader

DAYS = 180
HOSPITALS = (
    ("ARF/MOSF w/Sepsis",),
    ("CHF",),
    ("COPD",),
    ("Lung Cancer", "Colon Cancer"),
    ("Coma", "Cirrhosis", "MOSF w/Malig"),
)
COLUMNS = {
    "pid": "patient",
    "num_age": "age",
    "num_num_co": "other_diseases",
    "num_scoma": "coma_score",
    "num_meanbp": "blood_pressure",
    "num_wblc": "white_blood_cells",
    "num_hrt": "heart_rate",
    "num_resp": "breath_rate",
    "num_temp": "temperature",
    "num_pafi": "oxygen_ratio",
    "num_alb": "albumin",
    "num_bili": "bilirubin",
    "num_crea": "creatinine",
    "num_sod": "sodium",
    "num_ph": "acidity",
    "fac_sex": "sex",
    "fac_diabetes": "diabetes",
    "fac_dementia": "dementia",
    "fac_ca": "cancer",
    "fac_dzgroup": "disease",
}
"""What is known on the third day. Left out because they tell the outcome, or what somebody thought of it: the study's
own predictions (surv2m, surv6m) and a score fitted to its patients (sps), how the patient was after two months (sfdm2),
the order not to resuscitate (dnr), what only those who lived were asked (adlp, adls), and the time itself. Left out for
another reason: race and income."""


def main(folder: Path) -> None:
    """Write ``hospital-1.csv`` to ``hospital-5.csv``."""
    frame = SurvLoader().load_dataset("support2")["df"]
    has_died = (frame["event"] == 1) & (frame["time"] < DAYS)
    # Who was not followed for so long would be left out; there is nobody.
    is_known = has_died | (frame["time"] >= DAYS)
    patients = frame[list(COLUMNS)].rename(columns=COLUMNS).assign(died=has_died.astype(int))[is_known]
    folder.mkdir(parents=True, exist_ok=True)
    for number, diseases in enumerate(HOSPITALS, start=1):
        own = patients[patients["disease"].isin(diseases)]
        path = folder / f"hospital-{number}.csv"
        own.to_csv(path, index=False)
        print(f"{path}: {len(own)} patients, {own['died'].mean():.0%} died within {DAYS} days: {', '.join(diseases)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
