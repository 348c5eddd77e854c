"""What the doctor says of the way to the others, and of who answers there."""

from dataclasses import replace

import pytest

from node.config import Config
from node.doctor import network
from node.doctor.daemon import DaemonFacts
from node.doctor.findings import Level
from node.doctor.network import AddressFacts, PeerFacts, WeightFacts
from node.doctor.worker import WorkerFacts, check_worker
from node.json_values import JsonObject
from node.libp2p_transport.probe import Answer
from protocol.units import MemberId
from tests.founders import make_founders
from tests.helpers import LedgerBuilder

BETA, GAMMA = MemberId(b"b" * 32), MemberId(b"g" * 32)
PLACE = "/dns4/beta.example.org/tcp/4001"
PEER = PeerFacts(name="beta", member=BETA, weight=10, addresses=(PLACE,), answers=(Answer(member=BETA),))
NOBODY = Answer(member=None, reason="Connection refused")
NAMES = {BETA: "beta", GAMMA: "gamma"}
STOPPED = DaemonFacts(holder=None)


@pytest.mark.parametrize(
    ("peer", "level", "text"),
    [
        (PEER, Level.OK, f"beta answers at {PLACE} and has proved who it is"),
        (replace(PEER, is_connected=True), Level.OK, "beta answers at"),
        (replace(PEER, is_connected=False), Level.WARNING, "the daemon is not connected with it"),
        (replace(PEER, is_stray=True), Level.FAILURE, "of another network than chain 12345678"),
        (replace(PEER, answers=(NOBODY,)), Level.WARNING, f"cannot be reached ({PLACE}: Connection refused)"),
        (replace(PEER, answers=(NOBODY,), is_connected=True), Level.OK, "beta is connected, though"),
        (replace(PEER, answers=(Answer(member=GAMMA),)), Level.FAILURE, f"at {PLACE} answers gamma and not beta"),
        (replace(PEER, answers=(Answer(member=MemberId(bytes(32))),)), Level.FAILURE, "answers 12D3KooW"),
        (replace(PEER, addresses=(), answers=()), Level.WARNING, "beta has no address"),
        (replace(PEER, addresses=("/ip4/192.0.2.7/tcp/1", PLACE), answers=(NOBODY, PEER.answers[0])), Level.OK, PLACE),
    ],
)
def test_a_peer_is_judged_by_who_answers_and_by_what_the_daemon_says(peer: PeerFacts, level: Level, text: str) -> None:
    finding = network.check_peer(peer, NAMES, "chain 12345678")
    assert finding.level is level
    assert text in finding.text


def test_a_quorum_is_more_than_two_thirds_of_the_weight() -> None:
    away = replace(PEER, answers=(NOBODY,))
    assert network.check_weight(WeightFacts(own=11, others=(PEER, away))).level is Level.OK
    assert network.check_weight(WeightFacts(own=10, others=(PEER, away))).level is Level.FAILURE
    assert network.check_weight(WeightFacts(own=11, others=(away, replace(PEER, is_stray=True)))).level is Level.FAILURE


@pytest.mark.parametrize(
    ("listen", "announce", "told", "others", "level"),
    [
        ("/ip4/0.0.0.0/tcp/4001", ("/dns4/me.example.org/tcp/4001",), None, (PLACE,), Level.OK),
        ("/ip4/0.0.0.0/tcp/4001", (), None, (PLACE,), Level.WARNING),
        ("/ip6/::/tcp/4001", (), None, (PLACE,), Level.WARNING),
        ("/ip4/0.0.0.0/tcp/4001", ("/ip4/127.0.0.1/tcp/4001",), None, (PLACE,), Level.WARNING),
        ("/ip4/127.0.0.1/tcp/4001", (), None, ("/ip4/127.0.0.1/tcp/4002",), Level.OK),
        ("/ip4/192.0.2.1/tcp/4001", (), ("/ip4/192.0.2.1/tcp/4001",), (PLACE,), Level.OK),
        ("/ip4/192.0.2.1/tcp/4001", (), ("/ip4/192.0.2.9/tcp/4001",), (PLACE,), Level.WARNING),
    ],
)
def test_an_address_that_nobody_elsewhere_can_dial_is_pointed_out(
    listen: str, announce: tuple[str, ...], told: tuple[str, ...] | None, others: tuple[str, ...], level: Level
) -> None:
    config = Config(name="me", listen=(listen,), announce=announce)
    assert network.check_address(AddressFacts(config=config, told=told, others=others)).level is level


def test_without_a_daemon_the_ledger_says_who_the_others_are_and_the_operator_where() -> None:
    founders = make_founders(3)
    state = LedgerBuilder(founders=founders).state
    config = Config(name="me", peers=((founders[1].member, (PLACE,)),))
    peers = network.list_peers(state, config, STOPPED, founders[0].member)
    assert {peer.member for peer in peers} == {founders[1].member, founders[2].member}
    moved = next(peer for peer in peers if peer.member == founders[1].member)
    assert (moved.addresses, moved.is_connected, moved.name) == ((PLACE,), None, founders[1].founder.name)
    assert all(peer.weight > 0 for peer in peers)
    assert network.find_told(state, founders[0].member) == founders[0].founder.addresses
    assert network.find_told(state, BETA) is None


def test_with_a_daemon_its_own_list_counts() -> None:
    entry: JsonObject = {
        "name": "beta",
        "member": BETA.hex(),
        "weight": 10,
        "addresses": ["/ip4/127.0.0.1/tcp/51000"],
        "dialled": [PLACE],
        "is_connected": True,
        "is_stray": False,
    }
    daemon = DaemonFacts(holder="7", status={"weights": {"own": 4}}, peers=(entry,))
    assert network.list_peers(None, None, daemon, None) == (replace(PEER, is_connected=True, answers=()),)
    assert network.get_own_weight(None, daemon, None) == 4


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (WorkerFacts(task="digits", device="cpu"), Level.OK, "can be loaded on device cpu"),
        (WorkerFacts(task="digits", device="cpu", worker_pid=9), Level.OK, "runs as process 9"),
        (WorkerFacts(task="digits", device="cuda", failure="no CUDA"), Level.FAILURE, "device cuda (no CUDA): install"),
    ],
)
def test_the_worker(facts: WorkerFacts, level: Level, text: str) -> None:
    finding = check_worker(facts)
    assert finding.level is level
    assert text in finding.text
