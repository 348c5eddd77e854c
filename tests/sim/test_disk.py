"""The simulated disk: a torn batch is a lost one, and a reader that takes what it can get is found out."""

import random
from dataclasses import replace

import pytest

import tests.sim.cluster
from protocol.interface import Persist
from protocol.journal import OwnVoteRecord, VotingFloorRecord
from protocol.units import View
from tests.sim.cluster import Cluster
from tests.sim.disk import CHECKSUM_BYTES, FRAME_HEADER_BYTES, Disk, count_readable, encode_batch, tear
from tests.sim.faults import Doom, Dooms
from tests.sim.memo import remember_signatures
from tests.sim.node import SimNode
from tests.sim.scenarios import SCENARIOS, build_cluster

BATCH = [Persist(record=VotingFloorRecord(is_suspended=True, after_view=View(view))) for view in range(30)]


def test_an_intact_batch_is_read_as_a_whole() -> None:
    assert count_readable(encode_batch(BATCH)) == len(BATCH)


def test_whatever_power_leaves_of_a_batch_reads_as_all_or_nothing() -> None:
    log, chance = encode_batch(BATCH), random.Random(1)
    torn = [tear(log, chance) for _ in range(500)]
    counts = [count_readable(found) for found in torn]
    assert set(counts) == {0, len(BATCH)}
    assert all(found == log for found, count in zip(torn, counts, strict=True) if count)


def test_one_wrong_bit_anywhere_loses_the_batch() -> None:
    log = encode_batch(BATCH)
    for place in range(0, len(log), 7):
        damaged = bytearray(log)
        damaged[place] ^= 1
        assert count_readable(bytes(damaged)) == 0


def count_intact_frames(log: bytes) -> int:
    """Read as a careless store would: every frame that is there, whether its batch is complete or not."""
    offset = count = 0
    while offset + FRAME_HEADER_BYTES <= len(log):
        payload_bytes = int.from_bytes(log[offset + 1 : offset + FRAME_HEADER_BYTES], "big")
        offset += FRAME_HEADER_BYTES + payload_bytes + CHECKSUM_BYTES
        count += offset <= len(log)
    return count


def lose_power_while_catching_up(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Run a network in which a node that was cut off loses power half-way through its first batch of several blocks."""
    struck: list[int] = []

    def draw(self: Dooms, node: SimNode) -> Doom:
        assert node.engine is not None
        if struck or node.engine.state.height < len(node.disk.blocks) + 2:
            return Doom.NONE
        struck.append(node.index)
        self._loop.at(500, lambda: self._boot(node))
        return Doom.TORN

    monkeypatch.setattr(Dooms, "draw", draw)
    monkeypatch.setattr(Dooms, "tear", lambda _self, batch: encode_batch(batch)[: len(encode_batch(batch)) // 2])
    with remember_signatures():
        cluster = build_cluster(replace(SCENARIOS["calm-4"], heal_ms=12_000), 1)
        cluster.network.split([3])
        cluster.start()
        assert cluster.run_until_settled(3, deadline_ms=60_000)
    assert struck == [3]
    return cluster


def test_a_torn_batch_of_blocks_is_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = lose_power_while_catching_up(monkeypatch)
    assert len({len(node.disk.blocks) for node in cluster.nodes}) == 1


def test_a_store_that_keeps_half_a_batch_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.sim.cluster, "count_readable", count_intact_frames)
    with pytest.raises(AssertionError, match=r"ends without a finalization|not that of the last final block"):
        lose_power_while_catching_up(monkeypatch)


def make_disk() -> Disk:
    """Return the disk of a node in the middle of something."""
    with remember_signatures():
        cluster = build_cluster(SCENARIOS["calm-4"], 1)
        cluster.start()
        cluster.loop.run_until(
            lambda: bool(cluster.nodes[0].disk.blocks and cluster.nodes[0].disk.votes), deadline_ms=20_000
        )
    return cluster.nodes[0].disk


def test_a_backup_stays_as_it_was() -> None:
    disk = make_disk()
    backup = disk.copy()
    blocks, records = len(backup.blocks), len(backup.records)
    disk.lose_database(disk.state)
    assert (len(disk.blocks), len(disk.records), disk.votes) == (0, 0, set())
    assert (len(backup.blocks), len(backup.records)) == (blocks, records)
    assert backup.has_vote_log


def test_the_votes_that_are_found_fast_are_those_of_the_journal() -> None:
    disk = make_disk()
    assert disk.votes == {record.vote for record in disk.records if isinstance(record, OwnVoteRecord)}
