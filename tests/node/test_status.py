"""What a node tells people: status, rounds, stakes, model, and every observation, all of it JSON."""

import json

import pytest
import structlog
import structlog.testing
import trio
import trio.testing

from node.demo.reading import compute_counted_stake
from node.errors import ConfigError
from node.json_values import JsonObject, JsonValue, get_list, get_object
from node.observations import WATCHER_OBSERVATIONS_MAX, ObservationHub, describe_observation
from node.refusals import SENTENCES
from protocol.evidence import Offence
from protocol.genesis import FIRST_EPOCH
from protocol.ledger.state import compute_state_root
from protocol.observations import (
    BlockExecuted,
    CandidateDiffers,
    Observation,
    OffenceSeen,
    PhaseEntered,
    UpdateNotScreened,
    ViewFailed,
    VotingResumed,
    VotingSuspended,
    WorkAbandoned,
)
from protocol.outcomes import Phase
from protocol.refusals import Refusal
from protocol.units import Millis, Round, View
from tests.helpers import LedgerBuilder, make_ballot, make_digest
from tests.node.control_desks import FOUNDERS, ME, Desk, open_desk


async def ask_voting(desk: Desk) -> tuple[bool, str | None]:
    status = get_object(await desk.ask({"command": "status"}))
    is_voting, reason = status["is_voting"], status["not_voting_reason"]
    assert isinstance(is_voting, bool)
    assert reason is None or isinstance(reason, str)
    return is_voting, reason


async def test_the_status_names_round_phase_roles_and_place() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    builder.run_draw()
    async with open_desk(builder) as desk:
        status = get_object(await desk.ask({"command": "status"}))
    assert (status["height"], status["rounds_settled"]) == (builder.state.height, 1)
    assert status["state_root"] == compute_state_root(builder.state).hex()
    assert get_object(status["beacon"])["key_epoch"] is None
    assert (status["members_connected"], status["members_other"]) == (1, 3)
    current = get_object(status["round"])
    assert (current["round"], current["phase"]) == (2, "TRAIN")
    names = {keys.member: keys.founder.name for keys in FOUNDERS}
    assert current["proposers"] == [names[member] for member in builder.round.proposers]
    expected_role = "proposer" if ME in builder.round.proposers else "voter" if ME in builder.round.voters else None
    assert get_list(current["own_roles"]) == ([expected_role] if expected_role else [])


async def test_rounds_carry_names_tally_and_moves() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    records = [builder.run_round(), builder.run_round(is_accept=False)]
    async with open_desk(builder) as desk:
        rounds = [get_object(record) for record in get_list(await desk.ask({"command": "rounds"}))]
        assert await desk.ask({"command": "rounds", "from_round": 2}) == rounds[1:]
        assert await desk.ask({"command": "rounds", "from_round": 1, "limit": 1}) == rounds[:1]
        assert await desk.ask({"command": "rounds", "limit": 1}) == rounds[1:]
    assert [record["verdict"] for record in rounds] == ["ACCEPT", "REJECT"]
    for described, record in zip(rounds, records, strict=True):
        assert described["accept_count"] == record.accept_count
        assert len(get_list(described["moves"])) == len(record.moves)
        assert len(get_list(described["proposer_names"])) == len(record.proposers)


async def test_rounds_tell_how_often_they_were_judged_and_whom_standbys_replaced() -> None:
    """F11, F13."""
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_to_sealing()
    bad = make_ballot(builder.round, is_accept=False, flags=(True, False))
    builder.run_attempt(lambda _: bad)
    names = {keys.member: keys.founder.name for keys in FOUNDERS}
    async with open_desk(builder) as desk:
        current = get_object(get_object(await desk.ask({"command": "status"}))["round"])
    assert (current["attempt"], current["phase"], current["replaced"]) == (1, "SEAL", [])
    builder.run_voting(lambda _: make_ballot(builder.round))
    builder.run_draw()
    silent = builder.round.proposers
    builder.pass_deadline()
    standbys = builder.round.proposers
    async with open_desk(builder) as desk:
        current = get_object(get_object(await desk.ask({"command": "status"}))["round"])
    assert (current["attempt"], current["phase"]) == (0, "TRAIN")
    assert current["replaced"] == [names[member] for member in silent]
    builder.pass_deadlines()
    async with open_desk(builder) as desk:
        judged, replaced = [get_object(record) for record in get_list(await desk.ask({"command": "rounds"}))]
    attempts = [get_object(attempt) for attempt in get_list(judged["attempts"])]
    assert [(attempt["verdict"], attempt["condemned"]) for attempt in attempts] == [
        ("REJECT", [True, False]),
        ("ACCEPT", [False]),
    ]
    assert [get_object(update)["is_condemned"] for update in get_list(judged["updates"])] == [True, False]
    assert (judged["replaced_names"], len(get_list(replaced["attempts"]))) == ([], 1)
    assert replaced["replaced_names"] == [names[member] for member in silent]
    assert replaced["replacements"] == [
        {"phase": "TRAIN", "silent": away.hex(), "standby": standby.hex()}
        for away, standby in zip(silent, standbys, strict=True)
    ]


async def test_the_stakes_add_up_to_the_supply() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    async with open_desk(builder) as desk:
        stakes = get_object(await desk.ask({"command": "stakes"}))
    assert compute_counted_stake(stakes) == stakes["supply"] == builder.state.supply


async def test_the_model_comes_with_lineage_and_own_scores() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    accepted = builder.run_round()
    builder.run_round(is_accept=False)
    async with open_desk(builder) as desk:
        model = get_object(await desk.ask({"command": "model"}))
    assert model["digest"] == builder.state.model_digest.hex()
    assert model["scores"] == {builder.genesis.model_digest.hex(): 123_000}
    assert model["lineage"] == [{"round": 1, "verdict": "ACCEPT", "model": accepted.model_digest.hex()}]


async def test_a_score_is_what_was_recorded_or_else_measured_now() -> None:
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk:
        for word, score in (("known", 7), ("new", 500_000), ("broken", None)):
            answer = get_object(await desk.ask({"command": "score", "digest": make_digest(word).hex()}))
            assert answer["score"] == score


@pytest.mark.parametrize("digest", ["", "abc", "zz" * 32, "00" * 31, None, 7])
async def test_a_digest_that_is_none_is_refused(digest: JsonValue) -> None:
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk:
        with pytest.raises(ValueError, match=r"."):
            await desk.ask({"command": "score", "digest": digest})


@pytest.mark.parametrize("limit", [0, -1, -(10**25), True, "7", 1.5])
async def test_a_limit_that_is_no_count_is_refused(limit: JsonValue) -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    async with open_desk(builder) as desk:
        with pytest.raises(ValueError, match=r"."):
            await desk.ask({"command": "rounds", "limit": limit})
        assert len(get_list(await desk.ask({"command": "rounds", "limit": 10**25}))) == 1


async def test_an_unknown_command_is_refused() -> None:
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk:
        with pytest.raises(ConfigError, match="knows no command 'fly'"):
            await desk.ask({"command": "fly"})


async def test_a_submission_is_answered_with_what_the_ledger_made_of_it() -> None:
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk:
        done = get_object(await desk.ask({"command": "submit", "kind": "unbond", "amount": 5}))
        assert (done["height"], done["is_executed"], done["refusal"], done["error"]) == (9, True, "NONE", "")
        assert desk.sent.pop() == {"state": "signed", "operation_id": done["operation_id"]}
        stake = {"height": 0, "bonded": FOUNDERS[0].founder.bonded, "unbonding": 0, "free": 0}
        assert done["stake_before"] == done["stake_after"] == stake
        refused = get_object(await desk.ask({"command": "submit", "kind": "bond", "amount": 5}))
        assert (refused["is_executed"], refused["refusal"]) == (False, "BOND_EXCEEDS_FREE")
        assert refused["error"] == SENTENCES[Refusal.BOND_EXCEEDS_FREE]


async def test_stop_asks_for_the_end_and_never_answers() -> None:
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk:
        with trio.move_on_after(0.05) as waiting:
            await desk.ask({"command": "stop"})
        assert waiting.cancelled_caught
        assert desk.desk.stop_requested.is_set()


async def test_watching_begins_with_the_status_and_follows_what_happens() -> None:
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk, trio.open_nursery() as nursery:
        request: JsonObject = {"command": "watch"}
        nursery.start_soon(desk.ask, request)
        await trio.testing.wait_all_tasks_blocked()
        desk.hub.publish(ViewFailed(view=View(3), leader=ME, failures=2))
        await trio.testing.wait_all_tasks_blocked()
        assert [get_object(event)["event"] for event in desk.sent] == ["Status", "ViewFailed"]
        nursery.cancel_scope.cancel()


def make_observations() -> list[Observation]:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    header = builder.blocks[-1].block.header
    return [
        BlockExecuted(
            height=header.height,
            view=header.view,
            time_ms=header.time_ms,
            leader=header.leader,
            operation_count=1,
            outcome=builder.blocks[-1].outcome,
        ),
        PhaseEntered(
            round=Round(1),
            phase=Phase.SEAL,
            attempt=1,
            deadline_ms=Millis(9),
            proposers=(ME,),
            voters=(),
            replaced=(ME,),
        ),
        ViewFailed(view=View(3), leader=ME, failures=2),
        OffenceSeen(offence=Offence(member=ME, epoch=FIRST_EPOCH, view=View(3))),
        CandidateDiffers(round=Round(1), computed_digest=make_digest(1), accepted_digest=make_digest(2)),
        WorkAbandoned(round=Round(1), reason="NaN"),
        UpdateNotScreened(round=Round(1), update_digest=make_digest(3), reason="NaN"),
        VotingSuspended(reason="no vote log"),
        VotingResumed(after_view=View(8)),
    ]


@pytest.mark.parametrize("observation", make_observations(), ids=lambda observation: type(observation).__name__)
def test_every_observation_is_json_and_is_logged(observation: Observation) -> None:
    described = describe_observation(observation)
    assert described["event"] == type(observation).__name__
    assert json.loads(json.dumps(described)) == described
    hub = ObservationHub()
    with structlog.testing.capture_logs() as lines:
        hub.publish(observation)
    assert lines


async def test_why_a_node_does_not_vote_is_told() -> None:
    """C10, C13."""
    async with open_desk(LedgerBuilder(founders=FOUNDERS)) as desk:
        assert await ask_voting(desk) == (True, None)
    async with open_desk(LedgerBuilder(founders=FOUNDERS), silence="it has forgotten its votes") as desk:
        assert await ask_voting(desk) == (False, "it has forgotten its votes")


async def test_the_status_tells_whether_a_quorum_of_the_weight_is_connected() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    async with open_desk(builder) as desk:
        status = get_object(await desk.ask({"command": "status"}))
        stake = FOUNDERS[0].founder.bonded
        expected = {"own": stake, "connected": 2 * stake, "quorum": 4 * stake * 2 // 3 + 1, "total": 4 * stake}
        assert status["epoch"] == 0
        assert status["weights"] == {**expected, "has_quorum": False}
        desk.connect(FOUNDERS[2].member)
        status = get_object(await desk.ask({"command": "status"}))
        assert status["weights"] == {**expected, "connected": 3 * stake, "has_quorum": True}


async def test_a_slow_watcher_loses_news_and_learns_how_many_and_nobody_waits_for_it() -> None:
    hub = ObservationHub()
    with hub.watch() as slow:
        for _ in range(WATCHER_OBSERVATIONS_MAX + 5):
            hub.publish(ViewFailed(view=View(1), leader=ME, failures=1))
        assert slow.missed_count == 5
        assert isinstance(await slow.wait_next(), ViewFailed)
