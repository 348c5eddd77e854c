"""What is wrong with the machine of one daemon: its clock, its disk, its rights. The code of pnyx runs as it is.

Python imports ``sitecustomize`` before anything else, so what a rig does is done before the daemon's first line.
"""

import os
from pathlib import Path

CLOCK = """
import time
read_ns = time.time_ns
time.time_ns = lambda: read_ns() + {shift_ms} * 1_000_000
"""

# SQLite gives the same error for its own limit as for a disk without space.
FULL_DISK = """
import sqlite3
connect = sqlite3.connect
def connect_to_full_disk(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.execute("PRAGMA max_page_count = 4")
    return connection
sqlite3.connect = connect_to_full_disk
"""

# The superuser may do what permissions forbid, by these rights alone; giving them up needs none.
NO_PRIVILEGES = """
import ctypes
version = ctypes.c_uint32 * 2
none = ctypes.c_uint32 * 6
assert ctypes.CDLL(None).capset(version(0x20080522, 0), none()) == 0
"""


def make_rig(folder: Path, code: str, **values: int) -> dict[str, str]:
    """Return the environment of a daemon whose machine is like this."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(code.format(**values) if values else code, encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *([inherited] if inherited else [])])}
