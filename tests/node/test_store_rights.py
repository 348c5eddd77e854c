"""A database that its node may not write is refused at the start, and not at the first block."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.rigs import NO_PRIVILEGES
from tests.node.store_homes import make_store_home

OPEN = """
import sys
from pathlib import Path
from node.errors import NodeError
from node.store.database import open_writer
try:
    open_writer(Path(sys.argv[1]))
except NodeError as error:
    print(error)
"""


def test_a_database_that_may_only_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    stored = make_store_home(tmp_path / "home")
    stored.open_store()
    stored.close_all()
    stored.ledger.chmod(0o400)
    command = [sys.executable, "-c", NO_PRIVILEGES + OPEN, str(stored.ledger)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60.0, check=True)
    assert ended.stdout.startswith(f"{stored.ledger} cannot be written: check that this user owns it")
