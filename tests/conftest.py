"""What every test shares: hypothesis profiles, and a word on what cannot run here.

``dev`` is the default at the desk, ``ci`` draws the same examples on every run, ``soak`` searches long. The environment
variable HYPOTHESIS_PROFILE chooses one.
"""

import os

from hypothesis import HealthCheck, settings

from tests.browser.chromium import MISSING, find_chromium
from tests.hosts.lab import find_obstacle

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("soak", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_report_header() -> list[str]:
    """Say which tests this machine cannot run, and what to do about it."""
    obstacle = find_obstacle()
    return [
        *([] if find_chromium() else [f"NOT RUN: {MISSING}"]),
        *([] if obstacle is None else [f"NOT RUN: the guide for institutions is not tried here: {obstacle}"]),
    ]
