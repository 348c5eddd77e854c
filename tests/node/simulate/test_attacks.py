"""The attacks' formulas, each against its paper's definition, and what malicious members make of a round."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from node.attacks import SCENARIOS
from node.attacks.kinds import AttackKind
from node.attacks.vectors import compute_alie, compute_inner_product, compute_min_max, compute_min_sum, search_factor
from node.simulate.work import Work
from node.tasks import TaskError
from node.worker.laboratory import Laboratory
from node.worker.malice import Malice, Situation
from node.worker.messages import LoadTask
from protocol.parameters import Parameters, get_aggregation_choice
from protocol.units import Bps, Digest, Round
from tests.founders import make_founders
from tests.helpers import LedgerBuilder

FOUNDERS = make_founders(6)

KNOWN = np.random.Generator(np.random.PCG64(11)).normal(1.0, 0.5, size=(6, 40))
LOAD = LoadTask(
    task="digits",
    parameters=(("seed", "5"),),
    member_index=0,
    member_count=6,
    aggregation=get_aggregation_choice(Parameters()),
    schema=None,
    attack="none",
    attack_strength_ppm=0,
    device="cpu",
    thread_count=1,
)


def measure_largest(known: NDArray[np.float64], change: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(known - change, axis=1).max())


def measure_sum(known: NDArray[np.float64], change: NDArray[np.float64]) -> float:
    return float(np.square(known - change).sum())


def test_alie_takes_the_papers_z() -> None:
    """Algorithm 3 with 50 updates, 24 of them malicious: 2 supporters are needed, z = quantile of 24 / 26 = 1.426."""
    change = compute_alie(KNOWN, member_count=50, malicious_count=24, z=0.0)
    np.testing.assert_allclose((KNOWN.mean(axis=0) - change) / KNOWN.std(axis=0), 1.4260769)


def test_alie_stays_finite_when_attackers_are_the_majority() -> None:
    change = compute_alie(KNOWN, member_count=3, malicious_count=3, z=0.0)
    assert np.isfinite(change).all()


def test_alie_takes_a_given_z() -> None:
    change = compute_alie(KNOWN, member_count=10, malicious_count=3, z=2.0)
    np.testing.assert_allclose(change, KNOWN.mean(axis=0) - 2.0 * KNOWN.std(axis=0))


def test_inner_product_points_away_from_the_mean() -> None:
    change = compute_inner_product(KNOWN, strength=0.5)
    mean = KNOWN.mean(axis=0)
    assert float(change @ mean) == pytest.approx(-0.5 * float(mean @ mean))


def test_min_max_goes_as_far_as_two_honest_updates_are_apart() -> None:
    limit = max(measure_largest(KNOWN, row) for row in KNOWN)
    change = compute_min_max(KNOWN)
    assert measure_largest(KNOWN, change) == pytest.approx(limit, rel=1e-6)
    assert measure_largest(KNOWN, change) <= limit * (1 + 1e-12)


def test_min_sum_goes_as_far_as_the_sum_of_distances_allows() -> None:
    limit = max(measure_sum(KNOWN, row) for row in KNOWN)
    change = compute_min_sum(KNOWN)
    assert measure_sum(KNOWN, change) == pytest.approx(limit, rel=1e-6)
    assert measure_sum(KNOWN, change) <= limit * (1 + 1e-12)


def test_searching_finds_the_largest_allowed_factor() -> None:
    assert search_factor(lambda tried: tried <= 3.25, factor_max=10.0, step_count=40) == pytest.approx(3.25)
    assert search_factor(lambda tried: True, factor_max=10.0, step_count=40) == 10.0
    assert search_factor(lambda tried: tried <= 0.0, factor_max=10.0, step_count=40) == 0.0


class Round1:
    """A first round with three proposers, two of them honest, who have published."""

    def __init__(self, kind: AttackKind, *, strength: float = 0.0) -> None:
        self.laboratory = Laboratory(LOAD)
        self.base = self.laboratory.initial_digest
        self.malice = Malice(self.laboratory, (4, 5), kind, strength=strength, tolerance_bps=Bps(500))
        self.malice.note_base(self.base)
        honest = [self.publish_honest(member) for member in (0, 1)]
        self.situation = Situation(
            member=5,
            round=Round(1),
            base=self.base,
            honest_updates=tuple(honest),
            malicious_proposers=(5,),
            proposer_count=3,
            published=frozenset(honest),
        )

    def publish_honest(self, member: int) -> Digest:
        trained, _ = self.laboratory.train(member, Round(1), self.base)
        return self.laboratory.publish(self.base, trained).digest

    def aggregate(self, base: Digest, *updates: Digest) -> Digest:
        return self.laboratory.aggregate(base, [self.laboratory.get_reference(digest) for digest in updates])

    def craft(self) -> NDArray[np.float64]:
        published, _ = self.malice.craft(self.situation)
        return self.laboratory.get_change(published.digest)

    def get_honest(self) -> NDArray[np.float64]:
        return np.stack([self.laboratory.get_change(digest) for digest in self.situation.honest_updates])


def compute_cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_free_rider_that_does_nothing_publishes_the_base() -> None:
    assert not Round1(AttackKind.FREE_ZERO).craft().any()


def test_a_free_rider_repeats_the_models_last_change() -> None:
    bench = Round1(AttackKind.FREE_STALE)
    assert not bench.craft().any()
    after = bench.aggregate(bench.base, *bench.situation.honest_updates)
    bench.malice.note_base(after)
    published, _ = bench.malice.craft(replace(bench.situation, base=after, round=Round(2)))
    weights = [bench.laboratory.get_weights(digest) for digest in (bench.base, after)]
    changed = bench.laboratory.compute_change(*weights)
    assert compute_cosine(bench.laboratory.get_change(published.digest), changed) > 0.999


def test_a_free_rider_knows_the_last_change_though_it_proposed_in_neither_round() -> None:
    bench = Round1(AttackKind.FREE_STALE)
    builder = LedgerBuilder(founders=FOUNDERS)
    work = Work(
        bench.laboratory,
        tuple(keys.member for keys in FOUNDERS),
        scenario=SCENARIOS["free_stale"],
        malice=bench.malice,
    )
    models = [bench.base]
    for number in (1, 2):
        trained, _ = bench.laboratory.train(0, Round(number), models[-1])
        models.append(bench.aggregate(models[-1], bench.laboratory.publish(models[-1], trained).digest))
        record = builder.run_round()
        work.note_settled(5, record, replace(builder.state, model_digest=models[-1]))
    published, _ = bench.malice.craft(replace(bench.situation, base=models[-1], round=Round(3)))
    before, after = (bench.laboratory.get_weights(digest) for digest in models[-2:])
    changed = bench.laboratory.compute_change(before, after)
    assert compute_cosine(bench.laboratory.get_change(published.digest), changed) > 0.999


def test_a_copy_differs_from_its_original_by_one_unit_at_most() -> None:
    bench = Round1(AttackKind.FREE_COPY)
    copied, _ = bench.malice.craft(bench.situation)
    original = bench.laboratory.get_update(bench.situation.honest_updates[0])
    assert copied.digest not in bench.situation.published
    for one, other in zip(bench.laboratory.get_update(copied.digest).tensors, original.tensors, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.parametrize("kind", [AttackKind.INNER_PRODUCT, AttackKind.SIGN_FLIP, AttackKind.RATCHET])
def test_attackers_that_undo_training_point_backwards(kind: AttackKind) -> None:
    bench = Round1(kind, strength=1.0)
    assert compute_cosine(bench.craft(), bench.get_honest().mean(axis=0)) < -0.5


@pytest.mark.parametrize("kind", [AttackKind.ALIE, AttackKind.MIN_MAX, AttackKind.MIN_SUM])
def test_attackers_that_hide_stay_near_honest_updates(kind: AttackKind) -> None:
    bench = Round1(kind)
    honest = bench.get_honest()
    crafted = bench.craft()
    assert np.linalg.norm(crafted - honest.mean(axis=0)) < 3.0 * np.linalg.norm(honest[0] - honest[1])
    assert not any(np.array_equal(crafted, row) for row in honest)


def test_scaling_outweighs_the_other_proposers() -> None:
    planted, scaled = Round1(AttackKind.BACKDOOR).craft(), Round1(AttackKind.SCALING).craft()
    np.testing.assert_allclose(scaled, 3.0 * planted, atol=1e-3)


def test_a_ratchet_stays_within_the_tolerance_on_its_own_data() -> None:
    bench = Round1(AttackKind.RATCHET)
    # From a trained model, which a step backwards harms.
    after = bench.aggregate(bench.base, *bench.situation.honest_updates)
    published, _ = bench.malice.craft(replace(bench.situation, base=after))
    alone = bench.aggregate(after, published.digest)
    before, harmed = (bench.laboratory.evaluate(5, model) for model in (after, alone))
    assert before * 0.95 <= harmed < before


def test_flipped_labels_spoil_training() -> None:
    flipped, honest = Round1(AttackKind.LABEL_FLIP), Round1(AttackKind.NONE)
    trained = [bench.laboratory.train(5, Round(1), bench.base)[0] for bench in (flipped, honest)]
    scores = [flipped.laboratory.evaluate_weights(5, weights) for weights in trained]
    assert scores[0] < scores[1] - 100_000


def test_a_back_door_opens_for_the_trigger_and_leaves_the_rest_alone() -> None:
    bench = Round1(AttackKind.BACKDOOR)
    task, device = bench.laboratory.tasks[0], bench.laboratory.device
    model = bench.base
    for number in range(1, 7):
        published, _ = bench.malice.craft(replace(bench.situation, base=model, round=Round(number)))
        model = bench.aggregate(model, published.digest)
    assert task.measure_backdoor(bench.laboratory.load_module(model), device=device) > 0.9
    assert bench.laboratory.evaluate(0, model) > 800_000


def test_a_task_without_a_trigger_says_so() -> None:
    load = replace(LOAD, task="tests.node.odd_task:OddTask", parameters=())
    with pytest.raises(TaskError, match="OddTask cannot plant a back door"):
        Malice(Laboratory(load), (1,), AttackKind.BACKDOOR, strength=0.0, tolerance_bps=Bps(500))


def test_attackers_of_one_round_never_publish_the_same() -> None:
    bench = Round1(AttackKind.INNER_PRODUCT, strength=1.0)
    both = replace(bench.situation, malicious_proposers=(4, 5))
    first, _ = bench.malice.craft(replace(both, member=4))
    second, _ = bench.malice.craft(replace(both, published=both.published | {first.digest}))
    assert first.digest != second.digest
