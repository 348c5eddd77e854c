"""The laboratory makes the artifacts that the members' workers would write, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.tasks import TaskError
from node.worker.laboratory import Laboratory
from node.worker.messages import (
    AggregateUpdates,
    DescribeTask,
    EvaluateModel,
    LoadTask,
    ModelEvaluated,
    ModelTrained,
    ScreenUpdate,
    TaskDescribed,
    TrainModel,
    UpdatesAggregated,
    UpdateSource,
)
from node.worker.service import Service
from protocol.chunks import ArtifactHasher
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice
from protocol.units import Digest, Round

LOAD = LoadTask(
    task="digits",
    parameters=(("seed", "5"),),
    member_index=0,
    member_count=5,
    aggregation=get_aggregation_choice(Parameters()),
    schema=None,
    attack="none",
    attack_strength_ppm=0,
    device="cpu",
    thread_count=1,
)


def compute_digest_of(path: Path) -> Digest:
    hasher = ArtifactHasher()
    hasher.update(path.read_bytes())
    return hasher.finish()[0]


@pytest.mark.parametrize("rule", [AggregationRule.MEDIAN, AggregationRule.MULTI_KRUM, AggregationRule.GEOMETRIC_MEDIAN])
def test_artifacts_and_scores_are_those_of_separate_workers(tmp_path: Path, rule: AggregationRule) -> None:
    load = replace(LOAD, aggregation=get_aggregation_choice(Parameters(aggregation=rule, proposer_count=5)))
    laboratory = Laboratory(load)
    base, digests, sources = tmp_path / "base", [], []
    service = Service()
    for member in range(load.member_count):
        service.handle(replace(load, member_index=member))
        described = service.handle(DescribeTask(initial_model=str(base)))
        assert isinstance(described, TaskDescribed)
        assert described.model_digest == laboratory.initial_digest
        path = tmp_path / f"update-{member}"
        trained = service.handle(TrainModel(round_number=1, base=str(base), update=str(path)))
        assert isinstance(trained, ModelTrained)
        weights, example_count = laboratory.train(member, Round(1), laboratory.initial_digest)
        published = laboratory.publish(laboratory.initial_digest, weights)
        assert published.digest == compute_digest_of(path)
        assert published.size_bytes == path.stat().st_size
        assert (published.scale_exponents, example_count) == (trained.scale_exponents, trained.example_count)
        digests.append(published.digest)
        sources.append(UpdateSource(path=str(path), scale_exponents=trained.scale_exponents))
    candidate = tmp_path / "candidate"
    request = AggregateUpdates(base=str(base), updates=tuple(sources), candidate=str(candidate))
    aggregated = service.handle(request)
    assert isinstance(aggregated, UpdatesAggregated)
    references = [laboratory.get_reference(digest) for digest in digests]
    assert laboratory.aggregate(laboratory.initial_digest, references) == aggregated.digest
    scored = service.handle(EvaluateModel(model=str(candidate)))
    assert isinstance(scored, ModelEvaluated)
    assert laboratory.evaluate(load.member_count - 1, aggregated.digest) == scored.score
    for reference, source in zip(references, sources, strict=True):
        screened = service.handle(ScreenUpdate(base=str(base), update=source))
        assert isinstance(screened, ModelEvaluated)
        assert laboratory.screen(load.member_count - 1, laboratory.initial_digest, reference) == screened.score
    assert len({laboratory.screen(0, laboratory.initial_digest, reference) for reference in references}) > 1


def test_a_change_added_to_its_base_gives_the_trained_model_again() -> None:
    laboratory = Laboratory(LOAD)
    base = laboratory.get_weights(laboratory.initial_digest)
    trained, _ = laboratory.train(1, Round(1), laboratory.initial_digest)
    change = laboratory.compute_change(base, trained)
    np.testing.assert_array_equal(laboratory.add_change(base, change), trained)
    published = laboratory.publish(laboratory.initial_digest, trained)
    np.testing.assert_allclose(laboratory.get_change(published.digest), change, atol=2**-14)


def test_only_what_is_kept_stays() -> None:
    laboratory = Laboratory(LOAD)
    trained, _ = laboratory.train(0, Round(1), laboratory.initial_digest)
    update = laboratory.publish(laboratory.initial_digest, trained)
    candidate = laboratory.aggregate(laboratory.initial_digest, [laboratory.get_reference(update.digest)])
    laboratory.keep([candidate])
    assert laboratory.get_weights(candidate) is not None
    with pytest.raises(KeyError):
        laboratory.get_weights(laboratory.initial_digest)
    with pytest.raises(KeyError):
        laboratory.get_update(update.digest)


def test_weights_that_are_no_numbers_cannot_be_published() -> None:
    laboratory = Laboratory(LOAD)
    broken = laboratory.get_weights(laboratory.initial_digest).copy()
    broken[7] = np.nan
    with pytest.raises(TaskError, match="NaN or infinity"):
        laboratory.publish(laboratory.initial_digest, broken)
