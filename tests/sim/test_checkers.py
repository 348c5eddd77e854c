"""Every checker must be able to fail: the core is broken in one place at a time, and the simulator has to notice."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import pytest

import protocol.consensus.machine
import protocol.consensus.outgoing
import protocol.evidence
import protocol.ledger.transition
import protocol.validators
from protocol.consensus.machine import Consensus
from protocol.consensus.outgoing import GOSSIP_AGAIN_MAX, Outgoing
from protocol.consensus.own_votes import EXCLUDED_BY, OwnVotes
from protocol.consensus.pacemaker import Pacemaker
from protocol.consensus.tally import Tally
from protocol.consensus.voting_guard import VotingGuard
from protocol.interface import AskWitnesses, Effect, Persist
from protocol.journal import OwnVoteRecord
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.units import Stake, View, Weight
from protocol.votes import Certificate, VoteKind
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.sim.checkers import check_supply
from tests.sim.cluster import Cluster, Setting
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults
from tests.sim.scenarios import PARAMETERS, SCENARIOS, Scenario, build_cluster, is_done
from tests.values import make_digest

SEEDS = range(12)
CONTRADICTION = "an honest member signed two things that exclude each other"
CONVICTION = "an honest member can be convicted"
GIVEN_UP = "by a member that gave it up"


def find_failure(scenario: Scenario, seeds: Iterable[int] = SEEDS) -> str:
    """Return the first failure that some seed of a scenario shows, or nothing if all is well."""
    for seed in seeds:
        try:
            with remember_signatures():
                cluster = build_cluster(scenario, seed)
                cluster.start()
                done = partial(is_done, scenario, cluster)
                if not cluster.loop.run_until(done, deadline_ms=scenario.deadline_ms):
                    return "not done in time"
        except AssertionError as error:
            return str(error)
    return ""


def run_halves() -> Cluster:
    """Run four nodes of which two and two hear each other only."""
    keys = make_keys(4)
    setting = Setting(genesis=make_genesis(keys, PARAMETERS), keys=keys, seed=1, heal_ms=60_000)
    with remember_signatures():
        cluster = Cluster(setting)
        cluster.start()
        cluster.network.split([0, 1])
        cluster.loop.run_for(20_000)
    return cluster


def test_halves_of_a_network_agree_on_nothing() -> None:
    """C7: without the mutation of the next test, neither half has a quorum."""
    assert [len(node.disk.blocks) for node in run_halves().nodes] == [0, 0, 0, 0]


def test_a_quorum_of_one_half_is_caught_as_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol.validators, "compute_quorum_weight", lambda total: Weight(total // 2))
    with pytest.raises(AssertionError, match="fork at height 1"):
        run_halves()


CRASHES = replace(SCENARIOS["crashes-4"], faults=Faults(loss=0.1, delay_ms_max=300, crashes=16))


def test_forgetting_own_votes_is_caught_as_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10."""
    assert find_failure(CRASHES, range(2)) == ""
    monkeypatch.setattr(OwnVotes, "restore", lambda _self, _records, _tip_view: None)
    failure = find_failure(CRASHES)
    # Whichever comes first: the vote itself that is out of place, or what it contradicts once both have been seen.
    assert "signed two things that exclude each other" in failure or GIVEN_UP in failure


def test_finalizing_after_nullifying_is_caught_as_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    """C5."""
    slow = replace(SCENARIOS["lossy-4"], faults=Faults(delay_ms_max=1_500))
    assert find_failure(slow, range(2)) == ""
    monkeypatch.setitem(EXCLUDED_BY, VoteKind.FINALIZE, (VoteKind.FINALIZE,))
    assert find_failure(slow) in {CONTRADICTION, CONVICTION}


def test_notarizing_twice_is_caught_as_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    """C3."""
    monkeypatch.setitem(EXCLUDED_BY, VoteKind.NOTARIZE, ())
    monkeypatch.setattr(OwnVotes, "restore", lambda _self, _records, _tip_view: None)
    failure = find_failure(CRASHES)
    # Whichever comes first: the same, or more votes of a view in the journal than views allow.
    places = ("signed two things that exclude each other", GIVEN_UP, "the journal holds")
    assert any(place in failure for place in places)


def test_a_vote_that_leaves_before_it_is_durable_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10."""
    cast_durably = Consensus._cast

    def cast(self: Consensus, kind: VoteKind, view: View, block_hash: object) -> None:
        cast_durably(self, kind, view, block_hash)  # type: ignore[arg-type]
        self.effects = [
            effect
            for effect in self.effects
            if not (isinstance(effect, Persist) and isinstance(effect.record, OwnVoteRecord))
        ]

    monkeypatch.setattr(Consensus, "_cast", cast)
    assert "left before it was durable" in find_failure(SCENARIOS["calm-4"])


def test_silence_after_a_standstill_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: without repetition, one lost message can stop everybody."""
    monkeypatch.setattr(Outgoing, "build_standstill", lambda *_: [])
    assert find_failure(SCENARIOS["lossy-4"]) == "not done in time"


def test_timeouts_that_never_come_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C4."""
    monkeypatch.setattr(Consensus, "_arm_if_active", lambda _self, _now_ms: None)
    assert find_failure(SCENARIOS["silent-4"]) == "not done in time"


def test_voting_at_once_after_losing_the_votes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: a node that forgot its votes and votes all the same contradicts itself sooner or later."""
    loses = replace(SCENARIOS["lost-votes-4"], rounds=3)

    def forget_suspension(self: VotingGuard) -> list[Effect]:
        self._is_suspended = False
        return [AskWitnesses()]

    monkeypatch.setattr(VotingGuard, "start", forget_suspension)
    monkeypatch.setattr(VotingGuard, "notice", lambda _self, _vote: [])
    assert find_failure(loses, range(60)) in {CONTRADICTION, CONVICTION}


def test_an_old_backup_that_nobody_doubts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: a node that goes on from an old copy of its disk, and asks nobody, contradicts what it has forgotten."""
    assert find_failure(SCENARIOS["old-backup-4"], range(2)) == ""
    monkeypatch.setattr(VotingGuard, "is_open", lambda _self, _validators, _view: True)
    monkeypatch.setattr(VotingGuard, "notice", lambda _self, _vote: [])
    assert find_failure(SCENARIOS["old-backup-4"], range(60)) in {CONTRADICTION, CONVICTION}


@pytest.mark.parametrize("is_witness_restarted", [False, True])
def test_a_restored_member_is_blamed_for_what_a_witness_could_tell_it_only(is_witness_restarted: bool) -> None:
    """C10: whoever heard its vote tells it, unless it forgot the vote in a restart of its own."""
    with remember_signatures():
        cluster = build_cluster(SCENARIOS["calm-4"], seed=1)
        node, witness = cluster.nodes[:2]
        cluster.hearsay.watch(node)
        cluster.start()
        cluster.loop.run_for(1_000)
        backup = node.disk.copy()
        # The two are no quorum, so that all they can do is to give views up, and to hear that of each other.
        cluster.network.split([node.index, witness.index])
        cluster.loop.run_for(4_000)
        vote = next(vote for vote in node.disk.votes - backup.votes if vote.kind is VoteKind.NULLIFY)
        cluster.crash(node)
        if is_witness_restarted:
            cluster.crash(witness)
            cluster.boot(witness)
        node.disk = backup
        cluster.boot(node)
        assert cluster.hearsay.is_forgotten(vote)
        cluster.loop.run_for(2_000)
        assert cluster.hearsay.is_forgotten(vote) is is_witness_restarted


def test_certificates_of_a_long_standstill_that_are_not_repeated_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C2, C9: a straggler that lacks old certificates for good stops whoever depends on it."""

    def choose_newest(certificates: list[Certificate], _attempt: int) -> list[list[Certificate]]:
        return [certificates[-GOSSIP_AGAIN_MAX:]] if certificates else []

    monkeypatch.setattr(protocol.consensus.outgoing, "choose_chunks", choose_newest)
    assert find_failure(SCENARIOS["long-standstill-4"], [0]) == "a straggler stops everybody"


def test_a_buffer_without_a_window_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C15: votes for any view are kept."""
    monkeypatch.setattr(protocol.consensus.machine, "VIEW_WINDOW", 10**18)
    assert "too many views" in find_failure(SCENARIOS["spammer-4"])


def test_timeouts_that_stay_short_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C11: in a slow network every view is given up before its block is there."""
    slow = replace(SCENARIOS["calm-4"], heal_ms=100_000, faults=Faults(delay_ms_max=1_200), deadline_ms=200_000)
    assert find_failure(slow, range(2)) == ""
    monkeypatch.setattr(Pacemaker, "compute_timeout_ms", lambda self: self._parameters.timeout_view_ms)
    assert find_failure(replace(slow, deadline_ms=60_000)) == "not done in time"


def test_evidence_that_is_never_used_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """L7."""
    monkeypatch.setattr(Tally, "_find_conflict", lambda _self, _by_kind, _vote: None)
    monkeypatch.setattr(protocol.consensus.machine, "find_conflict", lambda _known, _other: None)
    impatient = replace(SCENARIOS["equivocator-4"], deadline_ms=40_000)
    assert find_failure(impatient, [1]) == "not done in time"


def test_evidence_against_an_honest_member_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """L7: somebody who takes honest pairs of votes for offences is found out."""
    monkeypatch.setattr(protocol.evidence, "is_conflict", lambda first, second: first.kind is not second.kind)
    monkeypatch.setattr("protocol.consensus.tally.is_conflict", lambda first, second: first.kind is not second.kind)
    assert find_failure(SCENARIOS["calm-4"]) == CONVICTION


@pytest.mark.parametrize(
    "change",
    [
        lambda state: replace(state, treasury=Stake(state.treasury + 1)),
        lambda state: replace(state, burned=Stake(state.burned + 1)),
        lambda state: replace(state, supply=Stake(state.supply - 1)),
        lambda state: replace(state, accounts=state.accounts[1:]),
        lambda state: replace(state, treasury=Stake(-1), burned=Stake(1)),
    ],
    ids=["minted to the treasury", "burned without a burn", "supply changed", "account lost", "negative amount"],
)
def test_stake_from_nowhere_is_caught(change: Callable[[object], object]) -> None:
    """L2."""
    state = compute_genesis_state(LedgerBuilder(make_founders(4)).genesis)
    check_supply(state)
    with pytest.raises(AssertionError, match="stake"):
        check_supply(change(state))  # type: ignore[arg-type]


def test_a_ledger_that_computes_differently_on_one_node_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C7: agreement is about states, not about blocks alone."""
    roots = (make_digest("root", number) for number in itertools.count())
    monkeypatch.setattr(protocol.ledger.transition, "compute_state_root", lambda _state: next(roots))
    assert "fork at height 1" in find_failure(SCENARIOS["calm-4"])
