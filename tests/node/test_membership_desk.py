"""What the control desk says and does about members that come and go (L9)."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from node.cards import Card
from node.commands.membership import find_candidate
from node.errors import ConfigError
from node.json_documents import to_json
from node.json_values import JsonObject, get_list, get_object
from node.peer_ids import member_to_peer_id
from protocol.epochs import is_last_of_epoch
from protocol.ledger.membership import CANDIDACY_EPOCHS
from protocol.observations import EpochStarted
from protocol.operations import Approve, Join, Leave
from protocol.parameters import Parameters
from protocol.units import Epoch, Weight
from tests.helpers import LedgerBuilder
from tests.newcomers import BOND, make_newcomer
from tests.node.control_desks import FOUNDERS, Desk, open_desk

PARAMETERS = Parameters(epoch_blocks=4, evidence_window_epochs=1)
TOTAL = sum(keys.founder.bonded for keys in FOUNDERS)


def make_builder() -> LedgerBuilder:
    return LedgerBuilder(founders=FOUNDERS, parameters=PARAMETERS)


def end_epoch(builder: LedgerBuilder) -> None:
    builder.add_block()
    while not is_last_of_epoch(builder.parameters, builder.state.height):
        builder.add_block()


def describe_card(newcomer: Join) -> JsonObject:
    content = newcomer.card
    card = Card(
        version=content.version,
        name=content.name,
        member=content.member,
        peer_id=member_to_peer_id(content.member),
        bls_key=content.bls_key,
        possession=content.possession,
        addresses=content.addresses,
        signature=newcomer.signature,
    )
    return get_object(to_json(card))


async def join(desk: Desk, newcomer: Join) -> JsonObject:
    request: JsonObject = {"command": "submit", "kind": "join", "card": describe_card(newcomer), "bond": BOND}
    return get_object(get_object(await desk.ask(request))["admission"])


async def test_a_join_puts_the_card_on_the_ledger_and_tells_what_is_still_missing() -> None:
    newcomer = make_newcomer()
    async with open_desk(make_builder()) as desk:
        admission = await join(desk, newcomer)
        assert desk.submitted == [newcomer]
        (candidate,) = map(get_object, get_list(admission["newcomers"]))
        assert candidate == {
            "name": "newcomer-0",
            "member": newcomer.card.member.hex(),
            "bond": BOND,
            "approvals": [FOUNDERS[0].founder.name],
            "weight": TOTAL // 4,
            "is_approved": False,
            "lapses_in_epoch": CANDIDACY_EPOCHS,
        }
        assert (admission["weight_needed"], admission["weight_total"]) == (TOTAL * 2 // 3 + 1, TOTAL)
        assert (admission["epoch"], admission["epoch_ends_at_height"], admission["is_member"]) == (0, 4, False)


async def test_an_approval_that_completes_the_quorum_admits_when_the_epoch_ends() -> None:
    builder, newcomer = make_builder(), make_newcomer()
    async with open_desk(builder) as desk:
        builder.add_payloads((FOUNDERS[1].member, newcomer))
        approval = Approve(member=newcomer.card.member, bond=BOND)
        builder.add_payloads((FOUNDERS[2].member, approval))
        request: JsonObject = {"command": "submit", "kind": "approve", "member": approval.member.hex(), "bond": BOND}
        admission = get_object(get_object(await desk.ask(request))["admission"])
        assert desk.submitted == [approval]
        (candidate,) = map(get_object, get_list(admission["newcomers"]))
        assert (candidate["weight"], candidate["is_approved"]) == (TOTAL * 3 // 4, True)
        end_epoch(builder)
        status = get_object(await desk.ask({"command": "status"}))
        assert {"name": "newcomer-0", "member": approval.member.hex()} in get_list(status["members"])
        assert get_object(await desk.ask({"command": "newcomers"}))["newcomers"] == []


async def test_a_departure_tells_when_the_stake_is_released() -> None:
    builder = make_builder()
    async with open_desk(builder) as desk:
        departure = get_object(get_object(await desk.ask({"command": "submit", "kind": "leave"}))["departure"])
        assert desk.submitted == [Leave()]
        assert departure == {"is_leaving": True, "released_in_epoch": 2, "released_at_height": 8}
        standings = []
        for _ in range(3):
            standings.append(get_object(await desk.ask({"command": "status"}))["standing"])
            end_epoch(builder)
    assert standings == [
        "leaves when the epoch ends",
        "has left; its stake is released when epoch 2 begins",
        "has left, and may not connect any more",
    ]


async def test_a_node_without_an_account_says_so_and_asks_the_ledger_for_nothing() -> None:
    stranger = make_newcomer().card.member
    async with open_desk(make_builder(), me=stranger) as desk:
        status = get_object(await desk.ask({"command": "status"}))
        assert (status["name"], status["is_member"], status["standing"]) == ("me", False, "waits to be admitted")
        with pytest.raises(ConfigError, match=r"me is no member as far as this node's ledger goes \(height 0\)"):
            await desk.ask({"command": "submit", "kind": "bond", "amount": 5})
        assert desk.submitted == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"kind": "steal", "amount": 5}, "submit takes kind bond, unbond, join, approve or leave"),
        ({"kind": "bond", "amount": 0}, "submit takes as amount an amount from 1 to"),
        ({"kind": "unbond", "amount": 1 << 64}, "submit takes as amount an amount from 1 to"),
        ({"kind": "approve", "member": "ab", "bond": 1}, "a member of 64 hex digits"),
        ({"kind": "approve", "member": "ab" * 32, "bond": -1}, "submit takes as bond an amount from 1 to"),
        ({"kind": "join", "card": {}, "bond": 1}, "card: "),
    ],
)
async def test_a_submission_that_makes_no_sense_is_refused(request_: JsonObject, words: str) -> None:
    async with open_desk(make_builder()) as desk:
        with pytest.raises(ConfigError, match=words):
            await desk.ask({"command": "submit", **request_})
        assert desk.submitted == []


async def test_a_card_that_somebody_has_changed_is_refused_before_the_ledger_sees_it() -> None:
    newcomer = make_newcomer()
    forged = replace(newcomer, card=replace(newcomer.card, addresses=("/ip4/127.0.0.1/tcp/6",)))
    async with open_desk(make_builder()) as desk:
        with pytest.raises(ConfigError, match="ask newcomer-0 for a new card"):
            await join(desk, forged)
        assert desk.submitted == []


def make_waiting(*pairs: tuple[str, bytes]) -> list[JsonObject]:
    return [{"name": name, "member": member.hex(), "bond": 5_000_000} for name, member in pairs]


ANNA, BERT = bytes([0xAB]) * 32, bytes([0xAC]) * 32


@pytest.mark.parametrize("text", ["anna", ANNA.hex(), "abab", "ABAB"])
def test_a_candidate_is_found_by_name_or_key(text: str) -> None:
    waiting = make_waiting(("anna", ANNA), ("bert", BERT))
    assert find_candidate(waiting, text, 5_000_000)["name"] == "anna"


@pytest.mark.parametrize(
    ("text", "words"),
    [("cleo", "nobody called 'cleo'"), ("", "nobody called"), ("a", "could be anna"), (ANNA.hex(), "could be anna")],
)
def test_what_could_mean_two_newcomers_means_none(text: str, words: str) -> None:
    waiting = make_waiting(("anna", ANNA), (ANNA.hex(), BERT))
    with pytest.raises(ConfigError, match=words):
        find_candidate(waiting, text, None)


def test_another_bond_than_the_operator_insists_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="waits with a bond of 5 tokens, not 6"):
        find_candidate(make_waiting(("anna", ANNA)), "anna", 6_000_000)


async def test_who_watches_learns_the_names_of_a_new_epoch() -> None:
    builder, newcomer = make_builder(), make_newcomer()
    started = EpochStarted(
        key_epoch=None,
        epoch=Epoch(1), validator_count=4, total_weight=Weight(TOTAL), joined=(newcomer.card.member,), left=()
    )
    async with open_desk(builder) as desk, trio.open_nursery() as nursery:
        request: JsonObject = {"command": "watch"}
        nursery.start_soon(desk.ask, request)
        await trio.testing.wait_all_tasks_blocked()
        builder.add_payloads((FOUNDERS[1].member, newcomer))
        desk.hub.publish(started)
        await trio.testing.wait_all_tasks_blocked()
        told = get_object(desk.sent[-1])
        assert told["event"] == "EpochStarted"
        assert {"name": "newcomer-0", "member": newcomer.card.member.hex()} in get_list(told["members"])
        nursery.cancel_scope.cancel()
