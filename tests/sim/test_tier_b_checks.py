"""Every check of tier B must be able to fail: a part is broken in one place at a time, and the simulator notices."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

import tests.sim.memory_transport
import tests.sim.tier_b.reckoning
from node.driver import Driver
from node.services import RecentBlocks
from node.submissions import Judged, Submissions, TellSigned, _Submission
from protocol.admission import Admitted, GossipAdmission
from protocol.audit import AuditFailure
from protocol.blocks import Block
from protocol.consensus.voting_guard import LOG_IS_GONE, LOG_IS_OLD, VotingGuard
from protocol.errors import InvalidMessage, ProtocolError
from protocol.gossip import Topic
from protocol.interface import AskWitnesses, Effect, Observe, Persist, PersistBlock
from protocol.journal import OwnOperationRecord, OwnProposalRecord
from protocol.operations import Payload
from protocol.units import View
from tests.sim.memory_disk import seal, unseal
from tests.sim.tier_b.machine import Machine
from tests.sim.tier_b.reckoning import check_end
from tests.sim.tier_b.scenario import Scenario
from tests.sim.tier_b.scenarios import run_scenario, run_world
from tests.sim.tier_b.world import World


def find_failure(name: str, seeds: range = range(4)) -> str:
    """Return the first failure that some seed of a scenario shows, or nothing if all is well."""
    failures: list[str] = []
    for seed in seeds:
        try:
            run_scenario(name, seed)
        except* (AssertionError, AuditFailure) as group:
            failures += [str(error) for error in flatten(group)]
        if failures:
            return failures[0]
    return ""


def flatten(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the errors in a group of groups."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += flatten(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def keep_back(monkeypatch: pytest.MonkeyPatch, kind: type[object]) -> None:
    """Let no driver write records of a kind."""
    make_durable = Driver._make_durable

    async def make_some_durable(driver: Driver, effects: Sequence[Persist | PersistBlock]) -> None:
        kept = [effect for effect in effects if not (isinstance(effect, Persist) and isinstance(effect.record, kind))]
        await make_durable(driver, kept)

    monkeypatch.setattr(Driver, "_make_durable", make_some_durable)


async def perform_before_writing(driver: Driver, effects: Sequence[Effect]) -> None:
    """Send first and write then: what C10 forbids."""
    for effect in effects:
        await driver._perform_one(effect)
    await driver._make_durable([effect for effect in effects if isinstance(effect, Persist | PersistBlock)])


def test_a_node_that_sends_before_it_writes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10."""
    monkeypatch.setattr(Driver, "_perform", perform_before_writing)
    assert "left before it was durable" in find_failure("calm")


@pytest.mark.parametrize(
    ("kind", "words"), [(OwnProposalRecord, "a proposal of"), (OwnOperationRecord, "an operation of")]
)
def test_a_record_that_is_never_written_is_caught(
    monkeypatch: pytest.MonkeyPatch, kind: type[object], words: str
) -> None:
    """C10."""
    keep_back(monkeypatch, kind)
    failure = find_failure("calm")
    assert failure.startswith(words)
    assert "left before it was durable" in failure


def test_a_disk_that_loses_everything_without_saying_so_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: the vote log is lost, the marker that would tell of it as well, and nobody listens to those who know."""
    cut_power = Machine.cut_power

    def lose_everything(machine: Machine) -> None:
        cut_power(machine)
        machine._memory.image = None
        machine._memory.marker = 0
        machine.ledgers_lost += 1

    monkeypatch.setattr(VotingGuard, "notice", lambda _guard, _vote: [])
    monkeypatch.setattr(Machine, "cut_power", lose_everything)
    assert "signed two" in find_failure("power-cuts", range(12))


def test_a_disk_that_loses_its_last_block_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_power = Machine.cut_power

    def lose_last_block(machine: Machine) -> None:
        cut_power(machine)
        image = machine._memory.image
        if image is not None:
            machine._memory.image = replace(image, blocks=image.blocks[:-1], outcomes=image.outcomes[:-1])

    monkeypatch.setattr(Machine, "cut_power", lose_last_block)
    assert "lost its blocks" in find_failure("power-cuts")


def test_forgotten_operations_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: after a restart another operation would get the number of one that has left."""
    monkeypatch.setattr("protocol.own_operations.OwnOperations.restore", lambda *_: None)
    assert "two operations of one number" in find_failure("operators")


@pytest.mark.parametrize(
    ("kept", "words"),
    [((), "tells nobody"), ((Observe,), "writes down nothing"), ((Persist, Observe), "votes and has forgotten")],
    ids=["silence", "nothing written", "votes"],
)
def test_a_node_that_hides_its_amnesia_is_caught(
    monkeypatch: pytest.MonkeyPatch, kept: tuple[type[object], ...], words: str
) -> None:
    """C10."""
    start = VotingGuard.start

    def start_all_the_same(guard: VotingGuard) -> list[Effect]:
        effects = start(guard)
        guard._is_suspended = False
        return [effect for effect in effects if isinstance(effect, (AskWitnesses, *kept))]

    monkeypatch.setattr(VotingGuard, "start", start_all_the_same)
    monkeypatch.setattr(VotingGuard, "explain", lambda guard, *_: LOG_IS_GONE if guard._is_log_lost else LOG_IS_OLD)
    monkeypatch.setattr(VotingGuard, "notice", lambda _guard, _vote: [])
    assert words in find_failure("lost-databases", range(6))


def test_a_node_that_does_not_listen_to_who_has_seen_its_votes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: restored from an old backup, it signs again what it has signed otherwise before."""
    monkeypatch.setattr(VotingGuard, "notice", lambda _guard, _vote: [])
    assert "signed two things" in find_failure("old-backups", range(16))


def test_a_status_that_calls_a_silent_node_voting_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """C10."""
    monkeypatch.setattr(VotingGuard, "explain", lambda *_: None)
    assert "does not say why it is silent" in find_failure("lost-databases")


def test_blame_for_what_is_merely_late_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """W3."""
    check = GossipAdmission._check

    def check_harshly(admission: GossipAdmission, topic: Topic, message: bytes) -> Admitted:
        try:
            return check(admission, topic, message)
        except ProtocolError as error:
            raise InvalidMessage(str(error)) from error

    monkeypatch.setattr(GossipAdmission, "_check", check_harshly)
    # Honest members are blamed, or are cut off before anybody looks.
    assert re.search("holds against honest members|not done after", find_failure("lossy"))


def test_requests_without_a_limit_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """W5."""
    monkeypatch.setattr(tests.sim.memory_transport, "REQUESTS_PER_PEER_MAX", 1_000)
    assert "requests of one member at a time" in find_failure("pest")


def test_a_submission_that_is_forgotten_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = Submissions.submit

    async def submit_and_keep(submissions: Submissions, payload: Payload, tell_signed: TellSigned) -> Judged:
        submissions._waiting.append(_Submission(payload))
        return await submit(submissions, payload, tell_signed)

    monkeypatch.setattr(Submissions, "submit", submit_and_keep)
    assert "owes an answer" in find_failure("operators")


def test_blocks_that_are_remembered_for_ever_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(recent: RecentBlocks, block: Block) -> None:
        recent._blocks[block.header.operations_root] = block

    monkeypatch.setattr(RecentBlocks, "add", add)
    monkeypatch.setattr(tests.sim.tier_b.reckoning, "RECENT_BLOCKS_MAX", 5)
    assert "recent blocks" in find_failure("calm")


def test_tasks_without_a_bound_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that is started with each batch and never ends."""
    on_blocks_durable = Driver._on_blocks_durable

    async def start_another(driver: Driver) -> None:
        await on_blocks_durable(driver)
        fetcher = driver._hands.fetcher
        assert fetcher._nursery is not None
        fetcher._nursery.start_soon(fetcher._poll_progress)

    monkeypatch.setattr(Driver, "_on_blocks_durable", start_another)
    assert "_poll_progress" in find_failure("calm")


def tamper(change: Callable[[World], None]) -> str:
    """Return what the reckoning says about a world that was changed after its last round."""
    failures: list[str] = []

    async def act(world: World) -> None:
        async with world.open():
            world.bring_up(*world.nodes)
            await world.wait_rounds(2, *world.nodes)
            change(world)
            check_end(world.watch, world.network, world.instruments.census, world.nodes)

    try:
        run_world(Scenario(rounds=2), 1, act)
    except* (AssertionError, AuditFailure) as group:
        failures += [str(error) for error in flatten(group)]
    return failures[0] if failures else ""


def test_a_ledger_on_disk_that_replays_to_something_else_is_caught() -> None:
    """The audit, from the outside: somebody changed the disk of one node, checksums and all."""

    def change(world: World) -> None:
        memory = world.nodes[1].machine._memory
        assert memory.image is not None
        row = memory.image.outcomes[3]
        outcome = unseal(row)
        changed = outcome.replace(outcome[-8:], bytes([*outcome[-8:-1], outcome[-1] ^ 1]))
        outcomes = (*memory.image.outcomes[:3], seal(changed), *memory.image.outcomes[4:])
        memory.image = replace(memory.image, outcomes=outcomes)

    assert tamper(lambda _world: None) == ""
    assert "height 4" in tamper(change)


def test_a_state_in_memory_that_is_not_that_of_the_disk_is_caught() -> None:
    def change(world: World) -> None:
        engine = world.nodes[2].node.engine
        engine.state = replace(engine.state, view=View(engine.state.view + 1))

    assert "another state than the node has" in tamper(change)

