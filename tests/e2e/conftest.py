"""Homes that several end-to-end tests start from."""

import pytest
import trio

from node.testnet import NodeSpec
from tests.e2e.networks import found_network


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[NodeSpec, ...]:
    """Return the homes of a network of two, which nobody has run and nobody must run: copy them."""
    directory = tmp_path_factory.mktemp("pair")

    async def found() -> tuple[NodeSpec, ...]:
        # One epoch, so that what unbonds is not released while a test looks at it.
        return await found_network(directory, count=2, settings=("epoch_blocks=100000",))

    return trio.run(found)
