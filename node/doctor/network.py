"""Checks of the way to the others: this node's own address, each peer by really dialling it, whether they suffice."""

import ipaddress
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from node.config import Config
from node.doctor.daemon import DaemonFacts
from node.doctor.findings import Finding, fail, ok, warn
from node.json_values import get_int, get_list, get_object
from node.libp2p_transport.probe import Answer, ask_identity
from node.members import build_names
from node.peer_ids import member_to_peer_id
from protocol.ledger.state import LedgerState, get_connected_members
from protocol.units import MemberId, Weight
from protocol.validators import compute_quorum_weight

DIAL_S: Final = 5.0
DIALS_MAX: Final = 16
"""How many addresses are dialled at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """One other member: where it should be, who is there, and what the daemon makes of it."""

    name: str
    member: MemberId
    weight: int
    addresses: tuple[str, ...]
    is_connected: bool | None = None
    """As the daemon says; None if none runs."""
    is_stray: bool = False
    """Whether the daemon has heard that it runs another network."""
    answers: tuple[Answer, ...] = ()
    """Of each address; empty before it was dialled."""

    def has_proved(self) -> bool:
        """Return whether it was met at one of its addresses."""
        return any(answer.member == self.member for answer in self.answers)

    def is_reachable(self) -> bool:
        """Return whether the two nodes can work together, as far as that can be seen."""
        return not self.is_stray and (self.has_proved() or self.is_connected is True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressFacts:
    """Where this node says it is."""

    config: Config
    told: tuple[str, ...] | None
    """What the ledger tells the others; None if this node is no member."""
    others: tuple[str, ...]
    """Where the others say they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """How much of the weight could vote together."""

    own: int
    others: tuple[PeerFacts, ...]


def list_peers(
    state: LedgerState | None, config: Config | None, daemon: DaemonFacts, me: MemberId | None
) -> tuple[PeerFacts, ...]:
    """Return all other members, as the daemon knows them, or else as the ledger and the operator name them."""
    if daemon.status is not None:
        return tuple(
            PeerFacts(
                name=str(peer["name"]),
                member=MemberId(bytes.fromhex(str(peer["member"]))),
                weight=get_int(peer["weight"]),
                addresses=tuple(map(str, get_list(peer.get("dialled", peer["addresses"])))),
                is_connected=peer["is_connected"] is True,
                is_stray=peer.get("is_stray") is True,
            )
            for peer in daemon.peers
        )
    if state is None:
        return ()
    names, fixed = build_names(state), dict(config.peers if config is not None else ())
    weights = {entry.member: entry.weight for entry in state.validators}
    addresses = {entry.member: entry.addresses for entry in get_connected_members(state)} | fixed
    return tuple(
        PeerFacts(
            name=names.get(member, member.hex()[:8]), member=member, weight=weights.get(member, 0), addresses=places
        )
        for member, places in sorted(addresses.items())
        if member != me
    )


async def dial_peers(peers: tuple[PeerFacts, ...]) -> tuple[PeerFacts, ...]:
    """Dial every address of every peer, and return the peers with what came of it."""
    answers: dict[tuple[MemberId, str], Answer] = {}
    places = trio.CapacityLimiter(DIALS_MAX)

    async def ask(member: MemberId, address: str) -> None:
        async with places:
            answers[member, address] = await ask_identity(address, timeout_s=DIAL_S)

    async with trio.open_nursery() as nursery:
        for peer in peers:
            for address in peer.addresses:
                nursery.start_soon(partial(ask, peer.member, address))
    return tuple(
        replace(peer, answers=tuple(answers[peer.member, address] for address in peer.addresses)) for peer in peers
    )


def check_peer(peer: PeerFacts, names: dict[MemberId, str], network: str) -> Finding:
    """Judge what dialling a member came to, and what the daemon says of it.

    Args:
        peer: The member, dialled.
        names: Of all members, for whoever else answers.
        network: What this network is called for people: its chain.
    """
    if peer.is_stray:
        return fail(
            "peer",
            f"{peer.name} answered, but of another network than {network}: one of you has a wrong genesis.json; compare"
            " what `pnyx genesis check` prints",
        )
    if peer.has_proved():
        return _judge_met(peer)
    if peer.is_connected:
        return ok("peer", f"{peer.name} is connected, though nothing of it was met by dialling: it dials this node")
    if not peer.addresses:
        return warn("peer", f"{peer.name} has no address: ask for one, and name it under [peers] in config.toml")
    for address, answer in zip(peer.addresses, peer.answers, strict=True):
        if answer.member is not None:
            who = names.get(answer.member, member_to_peer_id(answer.member))
            return fail(
                "peer",
                f"at {address} answers {who} and not {peer.name}: ask {peer.name} for the right address, and name it"
                " under [peers] in config.toml",
            )
    dialled = zip(peer.addresses, peer.answers, strict=True)
    reasons = "; ".join(f"{address}: {answer.reason}" for address, answer in dialled)
    return warn(
        "peer",
        f"{peer.name} cannot be reached ({reasons}): ask whether its node runs, and let firewalls on the way pass its"
        " port",
    )


def _judge_met(peer: PeerFacts) -> Finding:
    address = next(
        address for address, answer in zip(peer.addresses, peer.answers, strict=True) if answer.member == peer.member
    )
    if peer.is_connected is False:
        return warn(
            "peer",
            f"{peer.name} answers at {address}, and the daemon is not connected with it: if that stays, compare genesis"
            " documents (`pnyx genesis check`), and see whether its log says stranger_refused or peer_banned",
        )
    return ok("peer", f"{peer.name} answers at {address} and has proved who it is")


def check_weight(facts: WeightFacts) -> Finding:
    """Check that whoever can be reached has a quorum of the weight."""
    total = facts.own + sum(peer.weight for peer in facts.others)
    reachable = facts.own + sum(peer.weight for peer in facts.others if peer.is_reachable())
    share = reachable * 100 // max(total, 1)
    if reachable >= compute_quorum_weight(Weight(total)):
        return ok("quorum", f"this node and whom it reaches have {share}% of the weight")
    return fail(
        "quorum",
        f"this node and whom it reaches have {share}% of the weight, and more than two thirds are needed: nothing is"
        " decided until more can be reached",
    )


def check_address(facts: AddressFacts) -> Finding:
    """Check that others can dial what this node says of itself."""
    config = facts.config
    own = config.announce or config.listen
    are_others_local = bool(facts.others) and all(map(is_loopback, facts.others))
    useless = [address for address in own if is_unspecified(address) or is_loopback(address)]
    if not are_others_local and len(useless) == len(own):
        return warn(
            "address",
            f"nobody elsewhere can dial {', '.join(own)}: name an address of this machine in config.toml (announce),"
            " and give the new card, or that address, to the others",
        )
    if facts.told is not None and set(facts.told) != set(own):
        return warn(
            "address",
            f"others dial {', '.join(facts.told)}, as the ledger tells them, and config.toml names {', '.join(own)}:"
            " change it back, or have the others name the new address under [peers] in their config.toml",
        )
    return ok("address", f"others dial this node at {', '.join(own)}")


def is_loopback(address: str) -> bool:
    """Return whether a multiaddress leads no further than its own machine."""
    host = _get_host(address)
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def is_unspecified(address: str) -> bool:
    """Return whether a multiaddress means every address of a machine, which nobody elsewhere can dial."""
    host = _get_host(address)
    return _is_ip(host) and ipaddress.ip_address(host).is_unspecified


def _get_host(address: str) -> str:
    match = re.match(r"/\w+/([^/]+)/", address)
    return "" if match is None else match[1]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def find_told(state: LedgerState | None, me: MemberId | None) -> tuple[str, ...] | None:
    """Return which addresses the ledger tells the others for a member; None if it tells none."""
    if state is None or me is None:
        return None
    return next((entry.addresses for entry in get_connected_members(state) if entry.member == me), None)


def get_own_weight(state: LedgerState | None, daemon: DaemonFacts, me: MemberId | None) -> int:
    """Return this node's weight."""
    if daemon.status is not None:
        return get_int(get_object(daemon.status["weights"])["own"])
    return 0 if state is None else next((entry.weight for entry in state.validators if entry.member == me), 0)
