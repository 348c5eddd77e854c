"""The workbench: every order ends in one result, failures make a node silent and nothing more."""

import errno
import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.workbench import STALE_GRACE_S
from protocol.interface import (
    ArtifactStored,
    CandidateComputed,
    ComputeCandidate,
    EvaluateModel,
    FetchArtifact,
    ModelEvaluated,
    TrainModel,
    UpdateReference,
    UpdateTrained,
    WorkFailed,
)
from protocol.observations import BlockExecuted
from protocol.units import Ppm, Round
from tests.helpers import LedgerBuilder
from tests.node.fakes import FakeLearner, make_model_bytes, make_update_bytes
from tests.node.workbenches import EXPONENTS, FOUNDERS, PEER, compute_digest_of, put, run_workbench


def make_settled(round_number: int) -> BlockExecuted:
    """Return the news that a round has settled."""
    builder = LedgerBuilder(founders=FOUNDERS)
    for _ in range(round_number):
        builder.run_round()
    outcome = builder.blocks[-1].outcome
    assert outcome.settled is not None
    header = builder.blocks[-1].block.header
    return BlockExecuted(
        height=header.height,
        view=header.view,
        time_ms=header.time_ms,
        leader=header.leader,
        operation_count=0,
        outcome=outcome,
    )


async def test_training_on_a_model_that_another_member_has_gives_an_update(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with run_workbench(tmp_path) as bench:
        base = await put(bench.theirs, make_model_bytes(1))
        bench.workbench.start(TrainModel(round=Round(4), base_digest=base))
        event = await bench.take_one()
        assert isinstance(event, UpdateTrained)
        assert (event.round, event.base_digest, event.example_count) == (4, base, 7)
        assert bench.mine.has(event.artifact_digest)
        assert event.artifact_bytes == len(make_update_bytes(4))


async def test_a_candidate_is_stored_under_the_digest_that_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_workbench(tmp_path) as bench:
        base = await put(bench.mine, make_model_bytes(1))
        update = await put(bench.theirs, make_update_bytes(2))
        references = (UpdateReference(artifact_digest=update, scale_exponents=EXPONENTS),)
        bench.workbench.start(ComputeCandidate(round=Round(1), base_digest=base, updates=references))
        event = await bench.take_one()
        assert isinstance(event, CandidateComputed)
        assert (event.base_digest, event.updates) == (base, references)
        assert bench.mine.has(event.candidate_digest)


async def test_a_score_is_told_once_for_two_orders_of_the_same_model(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_workbench(tmp_path, FakeLearner(takes_s=2.0)) as bench:
        model = await put(bench.mine, make_model_bytes(1))
        bench.workbench.start(EvaluateModel(round=Round(1), model_digest=model, base_digest=None))
        bench.workbench.start(EvaluateModel(round=Round(2), model_digest=model, base_digest=None))
        assert await bench.take_one() == ModelEvaluated(model_digest=model, score=Ppm(900_000))
        await trio.sleep(10.0)
        assert bench.learner.calls == ["evaluate"]


async def test_a_candidate_is_scored_beside_its_base_which_is_fetched_if_it_is_gone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """F7."""
    async with run_workbench(tmp_path) as bench:
        model, base = await put(bench.mine, make_model_bytes(1)), await put(bench.theirs, make_model_bytes(2))
        bench.workbench.start(EvaluateModel(round=Round(1), model_digest=model, base_digest=base))
        assert await bench.take_one() == ModelEvaluated(model_digest=model, score=Ppm(900_000))
        assert bench.learner.bases == [bench.mine.get_path(base)]


async def test_a_task_that_raises_makes_the_node_silent_in_this_round(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with run_workbench(tmp_path, FakeLearner(failure="the scanner is broken")) as bench:
        model = await put(bench.mine, make_model_bytes(1))
        for order in (
            TrainModel(round=Round(3), base_digest=model),
            EvaluateModel(round=Round(3), model_digest=model, base_digest=None),
        ):
            bench.workbench.start(order)
            assert await bench.take_one() == WorkFailed(round=Round(3), reason="the scanner is broken")
        bench.learner.failure = ""
        bench.workbench.start(EvaluateModel(round=Round(4), model_digest=model, base_digest=None))
        assert isinstance(await bench.take_one(), ModelEvaluated)


async def test_an_artifact_is_fetched_and_told_of(tmp_path: Path, autojump_clock: MockClock) -> None:
    content = make_update_bytes(9)
    async with run_workbench(tmp_path) as bench:
        digest = await put(bench.theirs, content)
        order = FetchArtifact(digest=digest, bytes_expected=len(content), source=PEER, scale_exponents=EXPONENTS)
        bench.workbench.start(order)
        assert await bench.take_one() == ArtifactStored(digest=digest)
        assert bench.mine.get_path(digest).read_bytes() == content


async def test_an_update_with_a_strangers_header_is_never_told_of(tmp_path: Path, autojump_clock: MockClock) -> None:
    content = bytearray(make_update_bytes(9))
    content[12] ^= 1
    async with run_workbench(tmp_path) as bench:
        digest = await put(bench.theirs, bytes(content))
        bench.workbench.start(
            FetchArtifact(digest=digest, bytes_expected=len(content), source=PEER, scale_exponents=EXPONENTS)
        )
        await trio.sleep(60.0)
        assert await bench.inbox.take(wait_s=0.0) == []
        assert not bench.mine.has(digest)


async def test_a_fetch_that_nobody_needs_any_more_ends(tmp_path: Path, autojump_clock: MockClock) -> None:
    content = make_update_bytes(3)
    async with run_workbench(tmp_path) as bench:
        digest = compute_digest_of(content)
        order = FetchArtifact(digest=digest, bytes_expected=len(content), source=PEER, scale_exponents=EXPONENTS)
        bench.workbench.start(order)
        await trio.sleep(5.0)
        bench.workbench.forget((digest,))
        assert await put(bench.theirs, content) == digest
        await trio.sleep(60.0)
        assert await bench.inbox.take(wait_s=0.0) == []
        assert not bench.mine.has(digest)


async def test_a_model_that_is_still_worked_on_may_be_forgotten_while_it_is_fetched(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The ledger moves on while a member that fell behind fetches what an order of an old round needs."""
    content = make_model_bytes(3)
    async with run_workbench(tmp_path) as bench:
        digest = compute_digest_of(content)
        bench.workbench.start(EvaluateModel(round=Round(1), model_digest=digest, base_digest=None))
        await trio.sleep(5.0)
        bench.workbench.forget((digest,))
        assert await put(bench.theirs, content) == digest
        assert isinstance(await bench.take_one(), ModelEvaluated)
        assert bench.mine.get_path(digest).with_suffix(".forgotten").exists()


async def test_what_is_forgotten_and_ordered_again_at_once_is_fetched(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    content = make_update_bytes(1)
    digest = compute_digest_of(content)
    order = FetchArtifact(digest=digest, bytes_expected=len(content), source=PEER, scale_exponents=EXPONENTS)
    async with run_workbench(tmp_path) as bench:
        bench.workbench.start(order)
        await trio.sleep(10.0)
        bench.workbench.forget((digest,))
        bench.workbench.start(order)
        await put(bench.theirs, content)
        assert await bench.take_one() == ArtifactStored(digest=digest)


async def test_a_training_ends_soon_after_its_round_has_settled(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_workbench(tmp_path, FakeLearner(takes_s=1_000.0)) as bench:
        model = await put(bench.mine, make_model_bytes(1))
        bench.workbench.start(TrainModel(round=Round(1), base_digest=model))
        await trio.sleep(1.0)
        bench.workbench.note_observation(make_settled(1))
        await trio.sleep(STALE_GRACE_S + 1.0)
        bench.learner.takes_s = 0.0
        bench.workbench.start(TrainModel(round=Round(1), base_digest=model))
        assert isinstance(await bench.take_one(), UpdateTrained)


async def test_a_training_of_the_next_round_goes_on_when_this_one_settles(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with run_workbench(tmp_path, FakeLearner(takes_s=100.0)) as bench:
        model = await put(bench.mine, make_model_bytes(1))
        bench.workbench.start(TrainModel(round=Round(2), base_digest=model))
        await trio.sleep(1.0)
        bench.workbench.note_observation(make_settled(1))
        assert isinstance(await bench.take_one(), UpdateTrained)


async def test_an_order_after_the_end_is_nobodys_business(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_workbench(tmp_path) as bench:
        model = await put(bench.mine, make_model_bytes(1))
    bench.workbench.start(EvaluateModel(round=Round(1), model_digest=model, base_digest=None))
    assert bench.learner.calls == []


async def test_a_damaged_artifact_is_fetched_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    content = make_model_bytes(5)
    async with run_workbench(tmp_path) as bench:
        model = await put(bench.mine, content)
        await put(bench.theirs, content)
        path = bench.mine.get_path(model)
        path.chmod(0o644)
        path.write_bytes(b"cut")
        bench.workbench.start(EvaluateModel(round=Round(1), model_digest=model, base_digest=None))
        assert await bench.take_one() == ModelEvaluated(model_digest=model, score=Ppm(900_000))
        assert bench.mine.get_path(model).read_bytes() == content


async def test_a_disk_that_fails_makes_the_node_silent_and_does_not_stop_it(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with run_workbench(tmp_path) as bench:
        base = await put(bench.mine, make_model_bytes(1))
        update = await put(bench.theirs, make_update_bytes(1))
        order = FetchArtifact(
            digest=update, bytes_expected=len(make_update_bytes(1)), source=PEER, scale_exponents=EXPONENTS
        )
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail)
            bench.workbench.start(order)
            bench.workbench.start(TrainModel(round=Round(4), base_digest=base))
            event = await bench.take_one()
            assert isinstance(event, WorkFailed)
            assert "Input/output error" in event.reason
            await trio.sleep(60.0)
        assert not bench.mine.has(update)
        bench.workbench.start(order)
        assert await bench.take_one() == ArtifactStored(digest=update)
