"""Artifacts over real libp2p on loopback: fetched whole from members of which one forges (W5, W6)."""

from contextlib import AsyncExitStack
from pathlib import Path

import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.service import ArtifactService
from node.artifacts.store import ArtifactStore
from node.artifacts.swarm import LIE_COST
from node.ports import RequestHandler, Service
from protocol.units import Digest
from tests.node.libp2p.members import introduce, make_settings, open_node
from tests.node.swarm_network import make_content, make_forger

DEADLINE_S = 60.0


async def make_holder(root: Path, content: bytes) -> tuple[Digest, ArtifactService]:
    store = ArtifactStore(root)
    path = store.make_temporary_path()
    path.write_bytes(content)
    return (await store.adopt(path)).digest, ArtifactService(store)


async def test_an_artifact_comes_whole_over_libp2p_in_spite_of_a_forger(tmp_path: Path) -> None:
    content = make_content(40)
    digest, honest = await make_holder(tmp_path / "honest", content)
    _, forged = await make_holder(tmp_path / "forger", content)
    handlers: list[RequestHandler | None] = [None, honest.handle, make_forger(forged, good_frames=1)]
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                open_node(
                    make_settings(index, count=3), services={} if handler is None else {Service.ARTIFACT: handler}
                )
            )
            for index, handler in enumerate(handlers)
        ]
        introduce(*nodes)
        fetching, _, forger = nodes
        store = ArtifactStore(tmp_path / "fetching")
        with trio.fail_after(DEADLINE_S):
            await fetching.transport.wait_connected(2)
            path = await ArtifactFetcher(fetching.transport, store).fetch(
                digest, bytes_expected=len(content), source=forger.member
            )
        assert path.read_bytes() == content
        assert -LIE_COST <= fetching.get_score(forger.member) < 0
