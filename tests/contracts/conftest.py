"""The implementations that the contract suites run on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.store_machine import Machine, SimulatedDisk, SqliteDisk
from tests.founders import make_founders
from tests.helpers import LedgerBuilder


@pytest.fixture(params=["sqlite", "memory"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    builder = LedgerBuilder(make_founders(4))
    if request.param == "memory":
        yield Machine(disk=SimulatedDisk(builder), builder=builder)
        return
    disk = SqliteDisk(tmp_path, builder)
    yield Machine(disk=disk, builder=builder)
    for store in disk.opened:
        store.close()
