"""Finds the browser that the dashboard is tested in."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "the dashboard is not tested in a browser here, since there is no Chromium; `make e2e-browser` installs it"


def find_chromium() -> Path | None:
    """Return the browser: the one that CHROMIUM names, or one that is installed."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    return None if found is None else Path(found)
