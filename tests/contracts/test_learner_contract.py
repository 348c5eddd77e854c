"""What the core relies on in a learner: one suite for the supervised worker and for those that stand in for it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from node.errors import WorkerFailed
from node.learner import LearnerSettings, open_learner
from node.ports import Learner
from protocol.chunks import ArtifactHasher
from protocol.learning.artifact_format import (
    ModelSchema,
    check_model_header,
    check_scale_exponents,
    check_update_header,
)
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice
from protocol.units import SCORE_WHOLE, MemberId
from tests.helpers import SCHEMA
from tests.node.fakes import FakeLearner, make_model_bytes
from tests.sim.tier_b.learner import HashLearner, make_first_model

IMPLEMENTATIONS = ["worker", "fake", "hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A learner, its chain's schema, and a model on disk."""

    learner: Learner
    schema: ModelSchema
    base: Path


def make_hash_learner(*, failure_share: float = 0.0) -> HashLearner:
    return HashLearner(
        schema=SCHEMA,
        member=MemberId(bytes(32)),
        random=random.Random(1),
        work_s_max=0.01,
        failure_share=failure_share,
    )


@asynccontextmanager
async def open_subject(implementation: str, folder: Path) -> AsyncIterator[Subject]:
    base = folder / "base"
    if implementation == "fake":
        base.write_bytes(make_model_bytes(1))
        yield Subject(learner=FakeLearner(), schema=SCHEMA, base=base)
        return
    if implementation == "hash":
        base.write_bytes(make_first_model(SCHEMA))
        yield Subject(learner=make_hash_learner(), schema=SCHEMA, base=base)
        return
    settings = LearnerSettings(
        task="digits",
        parameters=(),
        member_index=0,
        member_count=7,
        aggregation=get_aggregation_choice(Parameters(aggregation=AggregationRule.MEDIAN)),
        schema=None,
    )
    with trio.fail_after(60):
        async with open_learner(settings) as learner:
            described = await learner.describe(initial_model=base)
            yield Subject(learner=learner, schema=described.schema, base=base)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
async def test_update_is_an_artifact_of_the_chain_with_legal_scales(implementation: str, tmp_path: Path) -> None:
    async with open_subject(implementation, tmp_path) as subject:
        update = tmp_path / "update"
        training = await subject.learner.train(round_number=1, base=subject.base, update=update)
        artifact = update.read_bytes()
        check_update_header(subject.schema, artifact, len(artifact))
        check_scale_exponents(subject.schema, training.scale_exponents)
        assert training.example_count > 0
        assert training.train_ms >= 0


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
async def test_candidate_is_a_model_under_its_digest_whoever_aggregates(implementation: str, tmp_path: Path) -> None:
    async with open_subject(implementation, tmp_path) as subject:
        updates = []
        for round_number in (1, 2):
            path = tmp_path / f"update-{round_number}"
            training = await subject.learner.train(round_number=round_number, base=subject.base, update=path)
            updates.append((path, training.scale_exponents))
        paths = [tmp_path / "candidate", tmp_path / "again"]
        digests = []
        for path in paths:
            candidate = await subject.learner.aggregate(base=subject.base, updates=updates, candidate=path)
            digests.append(candidate.digest)
            artifact = path.read_bytes()
            check_model_header(subject.schema, artifact, len(artifact))
            hasher = ArtifactHasher()
            hasher.update(artifact)
            assert hasher.finish()[0] == candidate.digest
        assert digests[0] == digests[1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
async def test_score_of_one_model_is_always_the_same_share(implementation: str, tmp_path: Path) -> None:
    async with open_subject(implementation, tmp_path) as subject:
        scores = [await subject.learner.evaluate(model=subject.base, base=base) for base in (None, subject.base)]
        assert scores[0] == scores[1]
        assert 0 <= scores[0] <= SCORE_WHOLE


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
async def test_screening_gives_one_update_on_one_base_the_same_share_and_writes_nothing(
    implementation: str, tmp_path: Path
) -> None:
    async with open_subject(implementation, tmp_path) as subject:
        update = tmp_path / "update"
        training = await subject.learner.train(round_number=1, base=subject.base, update=update)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        scores = [
            await subject.learner.screen(base=subject.base, update=update, scale_exponents=training.scale_exponents)
            for _ in range(2)
        ]
        assert scores[0] == scores[1]
        assert 0 <= scores[0] <= SCORE_WHOLE
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
async def test_abandoned_request_does_not_spoil_the_next(implementation: str, tmp_path: Path) -> None:
    async with open_subject(implementation, tmp_path) as subject:
        with trio.CancelScope() as scope:
            scope.cancel()
            await subject.learner.train(round_number=1, base=subject.base, update=tmp_path / "update")
        assert scope.cancelled_caught
        assert 0 <= await subject.learner.evaluate(model=subject.base) <= SCORE_WHOLE


async def test_all_learners_fail_with_the_same_error(tmp_path: Path) -> None:
    async with open_subject("worker", tmp_path) as subject:
        failing = (FakeLearner(failure="the task raised"), make_hash_learner(failure_share=1.0))
        for learner in (subject.learner, *failing):
            with pytest.raises(WorkerFailed):
                await learner.train(round_number=1, base=tmp_path / "missing", update=tmp_path / "update")
