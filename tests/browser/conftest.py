"""Keeps what needs a browser out of a run where there is none; tests/conftest.py says so in the run's first lines."""

from tests.browser.chromium import find_chromium

collect_ignore = [] if find_chromium() else ["test_dashboard.py"]
