"""A node's part in the outputs: when its partial leaves, how outputs come together, and who is found out (B2, B3)."""

from dataclasses import dataclass, field, replace

import pytest

from protocol.beacon_outputs import BeaconOutputs
from protocol.blocks import BeaconProof, Block
from protocol.bls import sign_partial
from protocol.codec import decode
from protocol.errors import InvalidMessage, PrematureMessage, StaleMessage
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, Observe
from protocol.messages import Partial, PartialMessage
from protocol.observations import PartialWrong
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import BlsScalar, Epoch, MemberId, Millis, Round
from tests.ceremonies import get_share, make_proof, run_ceremony
from tests.founders import make_founders
from tests.helpers import LedgerBuilder

PARAMETERS = Parameters(epoch_blocks=8, timeout_view_ms=Millis(500))
NOW = Millis(1_000)


@dataclass(slots=True)
class Bench:
    """One node's outputs over a ledger with a round that waits under a key."""

    builder: LedgerBuilder = field(default_factory=lambda: LedgerBuilder(make_founders(4), PARAMETERS))
    outputs: BeaconOutputs = field(init=False)

    def __post_init__(self) -> None:
        run_ceremony(self.builder, 0, 1, 2, 3)
        if self.builder.round.key_epoch is None:
            self.builder.pass_deadlines()
        self.outputs = BeaconOutputs(self.builder.chain_id, self.builder.founders[0].signing_key, PARAMETERS, NOW)

    @property
    def round(self) -> Round:
        return self.builder.round.round

    def get_shares(self, founder: int) -> dict[Epoch, BlsScalar]:
        (key,) = self.builder.state.beacon_keys
        return {key.epoch: get_share(self.builder, key, self.builder.founders[founder])}

    def make_partial(self, founder: int, *, round_number: Round | None = None) -> Partial:
        number = self.round if round_number is None else round_number
        ((epoch, share),) = self.get_shares(founder).items()
        member = self.builder.founders[founder].member
        return Partial(member=member, round=number, key_epoch=epoch, signature=sign_partial(share, number))

    def hear(self, *partials: Partial) -> None:
        for partial in partials:
            self.outputs.on_partial(partial, self.builder.state)

    def get_proof(self, *branch: Block) -> BeaconProof | None:
        return self.outputs.get_proof(self.builder.state, branch)

    def follow(self, now_ms: Millis = NOW) -> list[Effect]:
        return self.outputs.follow(self.builder.state, self.get_shares(0), now_ms)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def get_partials(effects: list[Effect]) -> list[PartialMessage]:
    return [
        decode(PartialMessage, effect.message, bytes_max=1_000)
        for effect in effects
        if isinstance(effect, Broadcast) and effect.topic is Topic.BEACON
    ]


def get_blamed(effects: list[Effect]) -> list[MemberId]:
    observed = [effect.observation for effect in effects if isinstance(effect, Observe)]
    return [observation.member for observation in observed if isinstance(observation, PartialWrong)]


def test_a_partial_leaves_for_the_round_that_the_ledger_has_open(bench: Bench) -> None:
    (message,) = get_partials(bench.follow())
    assert message.partial == bench.make_partial(0)


def test_no_partial_leaves_for_a_round_that_is_drawn_or_not_open(bench: Bench) -> None:
    proof = make_proof(bench.builder, bench.builder.state.beacon_keys[0], bench.round)
    bench.builder.add_block(beacon=proof)
    assert bench.builder.round.phase is Phase.TRAIN
    assert get_partials(bench.follow()) == []
    assert bench.outputs.resend_ms is None


def test_no_partial_leaves_without_a_share(bench: Bench) -> None:
    assert bench.outputs.follow(bench.builder.state, {}, NOW) == []


def test_without_a_share_nothing_is_to_be_sent_again(bench: Bench) -> None:
    """A time that stays in the past would wake the node for ever."""
    bench.follow()
    assert bench.outputs.resend_ms is not None
    bench.outputs.follow(bench.builder.state, {}, NOW)
    assert bench.outputs.resend_ms is None


def test_an_output_that_is_on_the_ledger_is_not_put_into_another_block(bench: Bench) -> None:
    bench.hear(*[bench.make_partial(founder) for founder in (1, 2, 3)])
    bench.follow()
    proof = bench.get_proof()
    assert proof is not None
    bench.builder.add_block(beacon=proof)
    assert bench.get_proof() is None


def test_a_partial_is_sent_again_while_the_round_waits(bench: Bench) -> None:
    (first,) = get_partials(bench.follow())
    assert bench.outputs.resend_ms == NOW + 500
    assert bench.follow(Millis(NOW + 499)) == []
    (second,) = get_partials(bench.follow(Millis(NOW + 500)))
    assert (second.partial, second.attempt) == (first.partial, first.attempt + 1)


def test_a_clock_that_is_put_back_does_not_keep_a_partial_waiting(bench: Bench) -> None:
    bench.follow(Millis(NOW + 3_600_000))
    assert len(get_partials(bench.follow(NOW))) == 1


@pytest.mark.parametrize("others", [(1, 2), (3, 1), (2, 3, 1)])
def test_a_threshold_of_partials_makes_the_output(bench: Bench, others: tuple[int, ...]) -> None:
    bench.hear(*[bench.make_partial(founder) for founder in others])
    assert bench.get_proof() is None
    bench.follow()
    proof = make_proof(bench.builder, bench.builder.state.beacon_keys[0], bench.round)
    assert bench.get_proof() == proof
    block = bench.builder.build_block(beacon=proof)
    assert bench.get_proof(block) is None


def test_too_few_partials_make_nothing(bench: Bench) -> None:
    bench.hear(bench.make_partial(1))
    bench.follow()
    assert bench.get_proof() is None


def test_whoever_lies_is_found_out_and_heard_no_more(bench: Bench) -> None:
    """B3: the others' partials are looked at only after what they came to did not verify."""
    lies = [replace(bench.make_partial(founder), signature=bench.make_partial(2).signature) for founder in (1, 3)]
    bench.hear(*lies)
    effects = bench.follow()
    assert sorted(get_blamed(effects)) == sorted(partial.member for partial in lies)
    assert bench.get_proof() is None
    with pytest.raises(StaleMessage, match="wrong partial"):
        bench.outputs.check_wanted(bench.make_partial(1), bench.builder.state)


def test_a_lie_does_not_keep_the_output_back(bench: Bench) -> None:
    lie = replace(bench.make_partial(1), signature=bench.make_partial(2).signature)
    bench.hear(lie, bench.make_partial(2), bench.make_partial(3))
    bench.follow()
    assert bench.get_proof() is not None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"round": Round(1)}, StaleMessage, id="a round that is drawn"),
        pytest.param({"round": Round(99)}, PrematureMessage, id="a round that nobody has opened"),
        pytest.param({"key_epoch": Epoch(9)}, PrematureMessage, id="a key that is not known yet"),
        pytest.param({"member": MemberId(bytes(32))}, InvalidMessage, id="somebody without a share"),
    ],
)
def test_what_is_of_no_use_is_turned_away(bench: Bench, change: dict[str, object], error: type[Exception]) -> None:
    partial: Partial = replace(bench.make_partial(1), **change)  # type: ignore[arg-type]
    with pytest.raises(error):
        bench.outputs.check_wanted(partial, bench.builder.state)


def test_a_partial_counts_once(bench: Bench) -> None:
    bench.hear(bench.make_partial(1))
    with pytest.raises(StaleMessage, match="known"):
        bench.outputs.check_wanted(bench.make_partial(1), bench.builder.state)


def test_the_next_rounds_partials_are_kept_for_it(bench: Bench) -> None:
    """Whoever has seen the next opening block first speaks first."""
    coming = bench.builder.state.next_round
    bench.hear(*[bench.make_partial(founder, round_number=coming) for founder in (1, 2, 3)])
    bench.follow()
    proof = make_proof(bench.builder, bench.builder.state.beacon_keys[0], bench.round)
    bench.builder.add_block(beacon=proof)
    bench.follow()
    assert bench.get_proof() is None
    bench.builder.pass_deadlines()
    assert bench.round == coming
    bench.follow()
    assert bench.get_proof() == make_proof(bench.builder, bench.builder.state.beacon_keys[0], coming)
