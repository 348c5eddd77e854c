"""Stories of whole nodes (C10, C12, C14, F3): what a network does when somebody leaves, comes, comes back or fails."""

from collections.abc import Awaitable, Callable

import trio

from protocol.codec import encode
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.holdings import AHEAD_PER_MEMBER_MAX
from protocol.learning.artifact_format import compute_update_size_bytes, get_trainable_tensors
from protocol.ledger.state import get_account
from protocol.mempool import PENDING_PER_MEMBER_MAX
from protocol.messages import OperationMessage
from protocol.observations import VotingResumed, VotingSuspended
from protocol.operations import SubmitUpdate, Unbond, sign_operation
from protocol.outcomes import Phase, RoundRecord
from protocol.units import Digest, MemberId, Round, Sequence, Stake
from tests.sim.tier_b.learner import SCALE_EXPONENT
from tests.sim.tier_b.scenario import Scenario
from tests.sim.tier_b.scenarios import run_world
from tests.sim.tier_b.whole import WholeNode
from tests.sim.tier_b.world import POLL_S, World
from tests.values import make_digest

ENDLESS = Scenario(rounds=0, virtual_s_max=1_500.0)


def tell(scenario: Scenario, story: Callable[[World], Awaitable[None]]) -> World:
    """Let a story happen to a network whose nodes are all down in the beginning."""

    async def act(world: World) -> None:
        async with world.open():
            await story(world)

    return run_world(scenario, 1, act)


def cut(world: World, node: WholeNode, *, is_cut: bool) -> None:
    """Cut a node off from all others, or heal it."""
    for other in world.nodes:
        if other is not node and is_cut:
            world.network.cut(node.member, other.member)
        elif other is not node:
            world.network.get_link(node.member, other.member).is_cut = False


def test_they_train_and_agree_round_by_round() -> None:
    async def story(world: World) -> None:
        world.bring_up(*world.nodes)
        await world.wait_rounds(4, *world.nodes)
        assert len(world.nodes[0].state.accepted_models) >= 4

    assert len(tell(ENDLESS, story).watch.ledger) >= 12


def test_the_job_ends_with_equal_ledgers_and_silence() -> None:
    """C12."""

    async def story(world: World) -> None:
        world.bring_up(*world.nodes)
        await world.wait_rounds(2, *world.nodes)
        await trio.sleep(60.0)
        assert len({node.state.block_hash for node in world.nodes}) == 1
        published = world.watch.published
        await trio.sleep(600.0)
        assert world.watch.published == published

    tell(Scenario(rounds=2, virtual_s_max=1_000.0), story)


def test_a_node_that_loses_power_again_and_again_catches_up() -> None:
    """C14."""

    async def story(world: World) -> None:
        *steady, shaky = world.nodes
        world.bring_up(*world.nodes)
        for cycle in range(3):
            await world.wait_rounds(2 * cycle + 1, *world.nodes)
            await trio.sleep(0.37 * (cycle + 1))
            world.bring_down(shaky)
            await world.wait_rounds(2 * cycle + 2, *steady)
            world.bring_up(shaky)
        await world.wait_rounds(8, *world.nodes)

    assert len(tell(ENDLESS, story).watch.ledger) >= 20


def test_a_node_that_starts_late_with_nothing_fetches_blocks_and_model() -> None:
    """C14, F3."""

    async def story(world: World) -> None:
        (late,) = [node for node in world.nodes if not node.machine.has_first_model]
        early = [node for node in world.nodes if node is not late]
        world.bring_up(*early)
        await world.wait_rounds(3, *early)
        world.bring_up(late)
        await world.wait_rounds(6, *world.nodes)
        assert late.state.model_digest in {node.state.model_digest for node in early}

    assert len(tell(Scenario(rounds=0, late_count=1), story).watch.ledger) >= 15


def test_a_node_that_was_cut_off_comes_back() -> None:
    async def story(world: World) -> None:
        *others, lonely = world.nodes
        world.bring_up(*world.nodes)
        await world.wait_rounds(1, *world.nodes)
        cut(world, lonely, is_cut=True)
        await world.wait_rounds(3, *others)
        assert lonely.state.rounds_settled < 3
        cut(world, lonely, is_cut=False)
        await world.wait_rounds(5, *world.nodes)

    assert len(tell(ENDLESS, story).watch.ledger) >= 15


def test_without_a_quorum_nothing_moves_and_with_it_everything_does() -> None:
    async def story(world: World) -> None:
        one, two, *rest = world.nodes
        world.bring_up(one, two)
        await trio.sleep(120.0)
        assert {one.state.height, two.state.height} == {0}
        world.bring_up(*rest)
        await world.wait_rounds(2, *world.nodes)

    tell(ENDLESS, story)


def get_drawn_to_propose(record: RoundRecord) -> set[MemberId]:
    replaced = {entry.silent for entry in record.replacements if entry.phase is Phase.TRAIN}
    return {*record.proposers, *replaced}


def test_a_member_whose_training_fails_is_silent_and_the_others_go_on() -> None:
    async def story(world: World) -> None:
        broken = world.nodes[2]
        broken.learner.failure_share = 1.0
        world.bring_up(*world.nodes)
        await world.wait_rounds(6, *world.nodes)
        drawn: list[RoundRecord] = []
        while not drawn:
            await world.wait_rounds(broken.state.rounds_settled + 1, *world.nodes)
            settled = broken.store.get_rounds(Round(1), limit=1_000)
            drawn = [record for record in settled if broken.member in get_drawn_to_propose(record)]
        assert all(broken.member in record.silent for record in drawn)

    tell(ENDLESS, story)


def test_a_node_without_its_vote_log_says_why_it_is_silent_and_votes_again_when_that_is_safe() -> None:
    """C10."""
    reasons: set[str] = set()

    async def story(world: World) -> None:
        *others, forgetful = world.nodes
        world.bring_up(*world.nodes)
        await world.wait_rounds(1, *world.nodes)
        world.bring_down(forgetful)
        forgetful.while_down.append(forgetful.machine.lose_database)
        await world.wait_rounds(2, *others)
        world.bring_up(forgetful)
        while not isinstance(forgetful.told, VotingResumed):
            await trio.sleep(POLL_S)
            # Whoever watches the world takes observations as well; what was told last stays.
            forgetful.take_observations()
            if isinstance(forgetful.told, VotingSuspended):
                reasons.add(forgetful.told.reason)
                assert forgetful.node.engine.explain_silence() == forgetful.told.reason
        while forgetful.state.view <= forgetful.told.after_view:
            await trio.sleep(POLL_S)

    world = tell(Scenario(rounds=0, idle_block_ms=1_000), story)
    assert any("votes is gone" in reason for reason in reasons)
    assert not world.watch.get_liars()


async def note_signed(_operation_id: Digest) -> None:
    """Nobody is told."""


def test_an_operation_that_was_on_disk_is_executed_though_everybody_lost_power() -> None:
    """C10, L8: nobody is there any more who asked for it."""

    async def story(world: World) -> None:
        asking = world.nodes[0]
        world.bring_up(*world.nodes)
        await world.wait_rounds(1, *world.nodes)
        unbond = Unbond(amount=Stake(7))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asking.node.submissions.submit, unbond, note_signed)
            while asking.member not in world.watch.asked:
                await trio.sleep(0.001)
            number = world.watch.asked[asking.member]
            world.bring_down(*world.nodes)
            nursery.cancel_scope.cancel()
        await trio.sleep(10.0)
        world.bring_up(*world.nodes)
        await world.wait_rounds(3, *world.nodes)
        assert all(get_account(node.state, asking.member).next_sequence > number for node in world.nodes)

    tell(ENDLESS, story)


def test_nobody_looks_for_an_artifact_that_is_nowhere_for_longer_than_its_round() -> None:
    """F3: one proposer names hundreds of updates that it never gives; what others do about it ends with the round."""
    searches: list[int] = []

    async def story(world: World) -> None:
        world.bring_up(*world.nodes)
        for number in range(1, 4):
            await world.wait_rounds(number, *world.nodes)
            namer = await wait_for_proposer(world)
            others = [node for node in world.nodes if node is not namer]
            for operation in name_artifacts(namer):
                for other in others:
                    namer.transport.send(other.member, Topic.OPERATIONS, operation)
            await trio.sleep(0.5)
            searches.append(max(count_jobs(world, other) for other in others))
        await world.wait_rounds(6, *world.nodes)
        assert max(count_jobs(world, node) for node in world.nodes) <= 4, "the search goes on"

    world = tell(ENDLESS, story)
    assert 2 <= max(searches) <= AHEAD_PER_MEMBER_MAX + 2, f"{searches} searches at a time for one proposer"
    assert all(score == 0 for node in world.nodes for score in node.scores.values())


async def wait_for_proposer(world: World) -> WholeNode:
    """Return the node that is to train an update, once there is one."""
    while True:
        for node in world.nodes:
            current = node.state.round
            if current is not None and current.phase is Phase.TRAIN and node.member in current.proposers:
                return node
        await trio.sleep(0.05)


def name_artifacts(node: WholeNode) -> list[bytes]:
    """Return signed operations of a node that submit updates which are nowhere, under numbers that it has not used."""
    current, genesis = node.state.round, node.genesis
    assert current is not None
    first = get_account(node.state, node.member).next_sequence
    operations = []
    for number in range(4, PENDING_PER_MEMBER_MAX):
        manifest = SubmitUpdate(
            round=current.round,
            base_digest=current.base_digest,
            scale_exponents=tuple(SCALE_EXPONENT for _ in get_trainable_tensors(genesis.schema)),
            artifact_digest=make_digest("nowhere", current.round, number),
            artifact_bytes=compute_update_size_bytes(genesis.schema),
            example_count=1,
        )
        operation = sign_operation(compute_chain_id(genesis), node.keys.key, Sequence(first + number), manifest)
        operations.append(encode(OperationMessage(operation=encode(operation), attempt=0)))
    return operations


def count_jobs(world: World, node: WholeNode) -> int:
    """Return what a node's workbench is busy with."""
    alive = world.instruments.census.alive
    return sum(count for (name, task), count in alive.items() if name == node.name and task.endswith("_run_job"))
