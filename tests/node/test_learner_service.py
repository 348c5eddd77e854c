"""What the worker does with an institution's own task, without the process around it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from node.tasks import TaskError
from node.worker.artifacts import WrittenArtifact, read_model, write_model
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
from node.worker.scoring import NoScore
from node.worker.service import Service
from protocol.aggregation.fixed_point import NotFiniteError
from protocol.chunks import ArtifactHasher
from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import (
    ModelSchema,
    check_model_header,
    check_update_header,
    compute_model_header,
)
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice
from protocol.units import Ppm

LOAD = LoadTask(
    task="tests.node.odd_task:OddTask",
    parameters=(),
    member_index=0,
    member_count=3,
    aggregation=get_aggregation_choice(Parameters(aggregation=AggregationRule.MEAN)),
    schema=None,
    attack="none",
    attack_strength_ppm=4_000_000,
    device="cpu",
    thread_count=1,
)


class Bench:
    """A service with a loaded task, and its initial model on disk."""

    def __init__(self, folder: Path, load: LoadTask = LOAD) -> None:
        self.folder = folder
        self.base = folder / "base"
        self.service = Service()
        self.service.handle(load)
        described = self.service.handle(DescribeTask(initial_model=str(self.base)))
        assert isinstance(described, TaskDescribed)
        self.described = described
        self.schema = described.schema

    def train(self, name: str, *, round_number: int = 2) -> UpdateSource:
        path = self.folder / name
        trained = self.service.handle(TrainModel(round_number=round_number, base=str(self.base), update=str(path)))
        assert isinstance(trained, ModelTrained)
        return UpdateSource(path=str(path), scale_exponents=trained.scale_exponents)

    def aggregate(self, *updates: UpdateSource) -> Path:
        candidate = self.folder / "candidate"
        request = AggregateUpdates(base=str(self.base), updates=updates, candidate=str(candidate))
        aggregated = self.service.handle(request)
        assert isinstance(aggregated, UpdatesAggregated)
        return candidate

    def read_module(self) -> dict[str, bytes]:
        """Return the bits of the shared tensors that the task saw last."""
        loaded = self.service._get_loaded()
        return {spec.name: loaded.tensors.get_tensor(spec.name).tobytes() for spec in self.schema.tensors}


def read_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    return safetensors.numpy.load_file(path)


def compute_changes(bench: Bench, candidate: Path) -> dict[str, float]:
    base, changed = read_tensors(bench.base), read_tensors(candidate)
    return {name: float((changed[name] - base[name]).mean()) for name in base}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_schema_holds_float_tensors_and_knows_the_frozen_ones(bench: Bench) -> None:
    assert [(spec.name, spec.shape, spec.is_trainable) for spec in bench.schema.tensors] == [
        ("body.weight", (3, 2), True),
        ("body.bias", (3,), True),
        ("norm.weight", (3,), True),
        ("norm.bias", (3,), True),
        ("norm.running_mean", (3,), True),
        ("norm.running_var", (3,), True),
        ("frozen.weight", (1, 3), False),
        ("frozen.bias", (1,), False),
    ]


def test_initial_model_is_an_artifact_of_the_schema_under_its_digest(bench: Bench) -> None:
    artifact = bench.base.read_bytes()
    check_model_header(bench.schema, artifact, len(artifact))
    hasher = ArtifactHasher()
    hasher.update(artifact)
    assert (bench.described.model_digest, bench.described.model_bytes) == hasher.finish()[:2]


def test_initial_model_does_not_depend_on_training_before(bench: Bench) -> None:
    bench.train("update")
    again = bench.service.handle(DescribeTask(initial_model=str(bench.folder / "again")))
    assert again == bench.described


def test_update_is_an_artifact_of_the_schema(bench: Bench) -> None:
    artifact = Path(bench.train("update").path).read_bytes()
    check_update_header(bench.schema, artifact, len(artifact))


def test_aggregating_one_update_gives_the_trained_model_and_leaves_frozen_tensors(bench: Bench) -> None:
    candidate = bench.aggregate(bench.train("update"))
    assert compute_changes(bench, candidate) == pytest.approx(
        {
            "body.weight": 0.25,
            "body.bias": 0.25,
            "norm.weight": 0.25,
            "norm.bias": 0.25,
            "norm.running_mean": 0.0,
            "norm.running_var": 0.0,
            "frozen.weight": 0.0,
            "frozen.bias": 0.0,
        },
        abs=1e-5,
    )
    assert read_tensors(candidate)["frozen.weight"].tobytes() == read_tensors(bench.base)["frozen.weight"].tobytes()


def test_candidate_does_not_depend_on_the_order_of_updates(bench: Bench) -> None:
    one, other = bench.train("one"), bench.train("other", round_number=3)
    assert bench.aggregate(one, other).read_bytes() == bench.aggregate(other, one).read_bytes()


@pytest.mark.parametrize("rule", [AggregationRule.CLIPPED_MEAN, AggregationRule.CENTERED_CLIPPING])
def test_the_chains_numbers_reach_its_rule(tmp_path: Path, rule: AggregationRule) -> None:
    """F5: a radius of a thousandth shortens the update to it."""
    parameters = Parameters(aggregation=rule, clip_radius_micro=1_000, aggregation_iterations=3)
    bench = Bench(tmp_path, replace(LOAD, aggregation=get_aggregation_choice(parameters)))
    base, candidate = read_tensors(bench.base), read_tensors(bench.aggregate(bench.train("update")))
    length = np.sqrt(sum(float(np.square(candidate[name] - base[name]).sum()) for name in base))
    assert length == pytest.approx(0.001 if rule is AggregationRule.CLIPPED_MEAN else 0.003, rel=1e-3)


def test_sign_flip_publishes_the_change_times_minus_the_strength(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(LOAD, attack="sign_flip"))
    changes = compute_changes(bench, bench.aggregate(bench.train("update")))
    assert changes["body.weight"] == pytest.approx(-1.0, abs=1e-4)
    assert changes["norm.running_mean"] == 0.0


def test_noise_publishes_the_change_under_noise_of_its_strength(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(LOAD, attack="noise", attack_strength_ppm=16_000_000))
    candidate = bench.aggregate(bench.train("update"))
    base, poisoned = read_tensors(bench.base), read_tensors(candidate)
    noise = np.concatenate([(poisoned[name] - base[name]).ravel() for name in base if not name.startswith("frozen")])
    assert 8.0 < noise.std() < 32.0


def test_label_flip_of_a_task_without_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot flip labels"):
        Bench(tmp_path, replace(LOAD, attack="label_flip"))


def test_task_that_builds_another_model_than_genesis_is_refused(bench: Bench) -> None:
    other = ModelSchema(tensors=(replace(bench.schema.tensors[0], shape=(4, 2)), *bench.schema.tensors[1:]))
    with pytest.raises(TaskError, match=r"builds trainable tensor body.weight \[3, 2\] where the genesis document has"):
        Service().handle(replace(LOAD, schema=other))


def test_task_that_builds_fewer_tensors_than_genesis_is_refused(bench: Bench) -> None:
    more = ModelSchema(tensors=(*bench.schema.tensors, replace(bench.schema.tensors[0], name="extra")))
    with pytest.raises(TaskError, match="8 tensors, the genesis document has 9"):
        Service().handle(replace(LOAD, schema=more))


def test_model_in_another_precision_is_refused() -> None:
    with pytest.raises(TaskError, match="float32"):
        Service().handle(replace(LOAD, parameters=(("mood", "double"),)))


def test_training_that_diverges_writes_no_update(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(LOAD, parameters=(("mood", "diverge"),)))
    with pytest.raises(NotFiniteError, match="NaN"):
        bench.train("update", round_number=1)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    bench.train("update", round_number=2)


def test_damaged_artifact_is_refused_and_leaves_no_candidate(bench: Bench) -> None:
    update = bench.train("update")
    Path(update.path).write_bytes(Path(update.path).read_bytes()[:-1])
    with pytest.raises(InvalidMessage, match="update artifact of"):
        bench.aggregate(update)
    assert sorted(path.name for path in bench.folder.iterdir()) == ["base", "update"]


def test_scale_out_of_range_is_refused(bench: Bench) -> None:
    update = bench.train("update")
    with pytest.raises(InvalidMessage, match="scale exponent 0"):
        bench.aggregate(replace(update, scale_exponents=(0, *update.scale_exponents[1:])))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_model_that_is_not_finite_is_neither_read_nor_written(bench: Bench, poison: float) -> None:
    artifact = bytearray(bench.base.read_bytes())
    start = len(compute_model_header(bench.schema))
    artifact[start : start + 4] = np.array([poison], dtype="<f4").tobytes()
    bad = bench.folder / "bad"
    bad.write_bytes(bytes(artifact))
    with pytest.raises(NotFiniteError, match=r"body\.weight"):
        bench.service.handle(EvaluateModel(model=str(bad)))
    with pytest.raises(NotFiniteError, match=r"body\.weight"):
        write_model(bench.schema, bad, lambda name: np.full(6, poison, dtype=np.float32))


def test_what_is_written_is_read_back(bench: Bench) -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    tensors = {
        spec.name: generator.standard_normal(int(np.prod(spec.shape)), dtype=np.float32)
        for spec in bench.schema.tensors
    }
    written = write_model(bench.schema, bench.folder / "model", tensors.__getitem__)
    read: dict[str, list[float]] = {name: [] for name in tensors}
    read_model(bench.schema, bench.folder / "model", lambda name, _, piece: read[name].extend(piece.tolist()))
    assert read == {name: tensor.tolist() for name, tensor in tensors.items()}
    assert isinstance(written, WrittenArtifact)
    assert written.size_bytes == (bench.folder / "model").stat().st_size


@pytest.mark.parametrize(("score", "ppm"), [("0", 0), ("0.25", 250_000), ("1", 1_000_000)])
def test_score_becomes_parts_per_million(tmp_path: Path, score: str, ppm: int) -> None:
    bench = Bench(tmp_path, replace(LOAD, parameters=(("score", score),)))
    assert bench.service.handle(EvaluateModel(model=str(bench.base))) == ModelEvaluated(score=Ppm(ppm))


@pytest.mark.parametrize("score", ["-0.1", "1.1", "nan", "inf"])
def test_score_outside_its_range_is_an_error(tmp_path: Path, score: str) -> None:
    bench = Bench(tmp_path, replace(LOAD, parameters=(("score", score),)))
    with pytest.raises(NoScore, match="a score is from 0 to 1"):
        bench.service.handle(EvaluateModel(model=str(bench.base)))


def halve(update: UpdateSource, shift: int) -> UpdateSource:
    """Return an update's share of 2**-shift."""
    return replace(update, scale_exponents=tuple(max(-48, exponent - shift) for exponent in update.scale_exponents))


@pytest.mark.parametrize("shift", [0, 3, 40])
@pytest.mark.parametrize("rule", AggregationRule)
def test_screening_evaluates_the_very_bits_that_an_artifact_would_hold(
    tmp_path: Path, rule: AggregationRule, shift: int
) -> None:
    """F8, for every rule of a chain, also those that shorten long updates; and nothing is written."""
    parameters = Parameters(aggregation=rule, clip_radius_micro=500_000)
    bench = Bench(tmp_path, replace(LOAD, aggregation=get_aggregation_choice(parameters)))
    share = halve(bench.train("update"), shift)
    before = sorted(path.name for path in tmp_path.iterdir())
    bench.service.handle(ScreenUpdate(base=str(bench.base), update=share))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    screened = bench.read_module()
    bench.service.handle(EvaluateModel(model=str(bench.aggregate(share))))
    assert screened == bench.read_module()
    bench.service.handle(EvaluateModel(model=str(bench.base)))
    assert (screened == bench.read_module()) == (shift == 40)


def test_what_was_screened_before_does_not_show(bench: Bench) -> None:
    one = bench.train("one")
    other = halve(one, 1)
    bench.service.handle(ScreenUpdate(base=str(bench.base), update=one))
    first = bench.read_module()
    bench.service.handle(ScreenUpdate(base=str(bench.base), update=other))
    assert bench.read_module() != first
    bench.service.handle(ScreenUpdate(base=str(bench.base), update=one))
    assert bench.read_module() == first


def test_screening_a_damaged_update_or_with_illegal_scales_is_an_error_and_the_next_is_welcome(bench: Bench) -> None:
    good, cut = bench.train("update"), bench.train("cut")
    Path(cut.path).write_bytes(Path(cut.path).read_bytes()[:-1])
    with pytest.raises(InvalidMessage, match="update artifact of"):
        bench.service.handle(ScreenUpdate(base=str(bench.base), update=cut))
    for exponents in ((-7, *good.scale_exponents[1:]), (-49, *good.scale_exponents[1:]), good.scale_exponents[1:]):
        with pytest.raises(InvalidMessage, match="scale exponent"):
            bench.service.handle(ScreenUpdate(base=str(bench.base), update=replace(good, scale_exponents=exponents)))
    with pytest.raises(FileNotFoundError):
        bench.service.handle(ScreenUpdate(base=str(bench.base), update=replace(good, path=str(bench.folder / "none"))))
    scored = bench.service.handle(ScreenUpdate(base=str(bench.base), update=good))
    assert scored == ModelEvaluated(score=Ppm(500_000))


def test_a_base_that_is_not_finite_is_not_screened_on(bench: Bench) -> None:
    update = bench.train("update")
    header, artifact = len(compute_model_header(bench.schema)), bench.base.read_bytes()
    for place in (header, len(artifact) - 4):
        poisoned = artifact[:place] + np.array([np.nan], dtype="<f4").tobytes() + artifact[place + 4 :]
        bench.base.write_bytes(poisoned)
        with pytest.raises(NotFiniteError):
            bench.service.handle(ScreenUpdate(base=str(bench.base), update=update))


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", str(2**64)])
def test_seed_that_is_no_64_bit_number_is_an_error(seed: str) -> None:
    with pytest.raises(TaskError, match="task parameter seed"):
        Service().handle(replace(LOAD, parameters=(("seed", seed),)))


def test_request_before_a_task_is_loaded_is_an_error() -> None:
    with pytest.raises(TaskError, match="no task is loaded"):
        Service().handle(EvaluateModel(model="anything"))
