"""What a node tells people: how it is, its peers, the rounds, the stakes, the model. Read only.

Every answer is JSON. Members are named as the ledger names them, with their full key beside the name wherever a program
may want it. Amounts are micro-tokens, times milliseconds since the Unix epoch, scores parts per million.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import psutil

from node.errors import ConfigError
from node.json_values import JsonObject, JsonValue
from node.members import (
    build_names,
    describe_departure,
    describe_newcomer,
    describe_newcomers,
    describe_standing,
    find_account,
    get_name,
)
from node.observations import describe_round
from node.peer_clocks import PeerClocks
from node.peer_ids import member_to_peer_id
from node.ports import Clock, PeerStatus, Store, Transport
from node.timings import Timings
from protocol.genesis import Genesis, compute_chain_id
from protocol.ledger.state import (
    Account,
    LedgerState,
    RoundState,
    build_validator_set,
    compute_state_root,
    get_connected_members,
)
from protocol.outcomes import RoundRecord
from protocol.units import MemberId, Round, View, Weight
from protocol.validators import ValidatorSet

LINEAGE_ROUNDS_MAX: Final = 1_000
"""How far back the lineage of the model is told; ``model export`` tells all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How the status reads the parts of a running node."""

    get_state: Callable[[], LedgerState]
    get_view: Callable[[], View]
    explain_silence: Callable[[], str | None]
    """Tells why the node casts no votes in consensus; None if it does (C10, C13)."""
    store: Store
    transport: Transport
    clock: Clock
    peer_clocks: PeerClocks
    timings: Timings


class Informant:
    """Answers people's questions about one running node."""

    def __init__(self, *, genesis: Genesis, member: MemberId, name: str, version: str, windows: Windows) -> None:
        """Take who this node is, what it is called while the ledger does not tell, and where to look."""
        self._own_name = name
        self._genesis = genesis
        self._chain_id = compute_chain_id(genesis)
        self._member = member
        self._version = version
        self._windows = windows
        self._started_ms = windows.clock.get_now_ms()

    def get_state(self) -> LedgerState:
        """Return the ledger after the last final block."""
        return self._windows.get_state()

    def describe_status(self) -> JsonObject:
        """Return how the node is, in one object."""
        state = self._windows.get_state()
        peers = self._windows.transport.get_peers()
        others = {entry.member for entry in get_connected_members(state)} - {self._member}
        silence = self._windows.explain_silence()
        return {
            "network": self._genesis.name,
            "chain_id": self._chain_id.hex(),
            "name": self._get_name(self._member),
            "member": self._member.hex(),
            "peer_id": member_to_peer_id(self._member),
            "is_member": find_account(state, self._member) is not None,
            "standing": describe_standing(state, self._member),
            "members": self.describe_names(),
            "version": self._version,
            "pid": os.getpid(),
            "uptime_ms": self._windows.clock.get_now_ms() - self._started_ms,
            "height": state.height,
            "epoch": state.epoch,
            "view": self._windows.get_view(),
            "block_hash": state.block_hash.hex(),
            "state_root": compute_state_root(state).hex(),
            "time_ms": state.time_ms,
            "is_voting": silence is None,
            "not_voting_reason": silence,
            "clock": self._describe_clock(),
            "weights": _describe_weights(build_validator_set(state), self._member, peers),
            "members_connected": sum(peer.is_connected for peer in peers if peer.member in others),
            "members_other": len(others),
            "beacon": _describe_key(state),
            "round": None if state.round is None else self._describe_open_round(state.round),
            "rounds_settled": state.rounds_settled,
            "rounds_max": self._genesis.parameters.rounds_max,
            "model": state.model_digest.hex(),
            "task": self._genesis.task.name,
            "rss_bytes": psutil.Process().memory_info().rss,
            "timings": self._describe_timings(),
        }

    def describe_peers(self) -> list[JsonValue]:
        """Return every other member and how well it is connected."""
        state = self._windows.get_state()
        return [self._describe_peer(peer, state) for peer in self._windows.transport.get_peers()]

    def describe_rounds(self, from_round: Round | None, *, limit: int) -> list[JsonValue]:
        """Return settled rounds, ascending; without a first one, the latest."""
        first = self._find_recent_round(limit) if from_round is None else from_round
        return [self._describe_settled(record) for record in self._windows.store.get_rounds(first, limit=limit)]

    def describe_stakes(self) -> JsonObject:
        """Return every member's stake, and where the rest of the supply is."""
        state = self._windows.get_state()
        return {
            "height": state.height,
            "supply": state.supply,
            "treasury": state.treasury,
            "burned": state.burned,
            "members": [self._describe_account(account) for account in state.accounts],
        }

    def describe_model(self) -> JsonObject:
        """Return the current model, this node's own scores, and the recent rounds that changed the model."""
        state = self._windows.get_state()
        scores: dict[str, JsonValue] = {
            record.model_digest.hex(): record.score for record in self._windows.store.get_scores()
        }
        rounds = self._windows.store.get_rounds(self._find_recent_round(LINEAGE_ROUNDS_MAX), limit=LINEAGE_ROUNDS_MAX)
        return {
            "digest": state.model_digest.hex(),
            "genesis_digest": self._genesis.model_digest.hex(),
            "bytes": self._genesis.model_bytes,
            "accepted": [digest.hex() for digest in state.accepted_models],
            "scores": scores,
            "lineage": [
                {"round": record.round, "verdict": record.verdict.name, "model": record.model_digest.hex()}
                for record in rounds
                if record.model_digest != record.base_digest
            ],
        }

    def describe_names(self) -> list[JsonValue]:
        """Return who is called what."""
        names = build_names(self._windows.get_state())
        return [{"name": name, "member": member.hex()} for member, name in sorted(names.items())]

    def describe_newcomers(self) -> JsonObject:
        """Return who waits to be admitted."""
        return describe_newcomers(self._windows.get_state(), self._genesis.parameters)

    def describe_newcomer(self, member: MemberId) -> JsonObject:
        """Return how far somebody's admission is."""
        return describe_newcomer(self._windows.get_state(), self._genesis.parameters, member)

    def describe_departure(self) -> JsonObject:
        """Return when this member's stake is free, if it has asked to leave."""
        return describe_departure(self._windows.get_state(), self._genesis.parameters, self._member)

    def describe_own_stake(self) -> JsonObject:
        """Return this member's own stake, and the height at which it is that.

        Raises:
            ConfigError: This node's member has no account.
        """
        state = self._windows.get_state()
        own = find_account(state, self._member)
        if own is None:
            raise ConfigError(
                f"{self._own_name} is no member as far as this node's ledger goes (height {state.height}): let a"
                " validator ask for it with `pnyx join`, and wait until it is admitted"
            )
        account = self._describe_account(own)
        return {"height": state.height, **{name: account[name] for name in ("bonded", "unbonding", "free")}}

    def _find_recent_round(self, count: int) -> Round:
        """Return the round from which on at most so many have settled."""
        return Round(max(self._windows.get_state().rounds_settled - count + 1, 1))

    def _describe_open_round(self, current: RoundState) -> JsonObject:
        roles = []
        if self._member in current.proposers:
            roles.append("proposer")
        if self._member in current.voters:
            roles.append("voter")
        return {
            "round": current.round,
            "phase": current.phase.name,
            "attempt": current.attempt,
            "deadline_ms": current.deadline_ms,
            "proposers": self._get_names(current.proposers),
            "voters": self._get_names(current.voters),
            "replaced": self._get_names(tuple(entry.silent for entry in current.replacements)),
            "submitted": self._get_names(tuple(entry.member for entry in current.updates)),
            "sealed": self._get_names(tuple(entry.member for entry in current.seals)),
            "revealed": self._get_names(tuple(entry.member for entry in current.reveals)),
            "own_roles": list[JsonValue](roles),
        }

    def _describe_settled(self, record: RoundRecord) -> JsonObject:
        described = describe_round(record)
        described["proposer_names"] = self._get_names(record.proposers)
        described["voter_names"] = self._get_names(record.voters)
        described["replaced_names"] = self._get_names(tuple(entry.silent for entry in record.replacements))
        return described

    def _describe_peer(self, peer: PeerStatus, state: LedgerState) -> JsonObject:
        return {
            "name": self._get_name(peer.member),
            "member": peer.member.hex(),
            "peer_id": member_to_peer_id(peer.member),
            "is_connected": peer.is_connected,
            "is_member": find_account(state, peer.member) is not None,
            "weight": get_weight(state, peer.member),
            "addresses": list[JsonValue](peer.addresses),
            "bytes_received": peer.bytes_received,
            "bytes_sent": peer.bytes_sent,
            "score": peer.score,
            "round_trip_ms": peer.round_trip_ms,
            "dialled": list[JsonValue](peer.dialled),
            "is_stray": peer.is_stray,
        }

    def _describe_account(self, account: Account) -> JsonObject:
        return {
            "name": self._get_name(account.member),
            "member": account.member.hex(),
            "bonded": account.bonded,
            "unbonding": sum(entry.amount for entry in account.unbonding),
            "free": account.free,
            "is_jailed": account.is_jailed,
            "is_evicted": account.is_evicted,
            "is_leaving": account.is_leaving,
            "is_exhausted": account.bonded < self._genesis.parameters.bond_min,
            "weight": get_weight(self._windows.get_state(), account.member),
        }

    def _describe_clock(self) -> JsonObject:
        """Return by how much this machine's clock differs, at least, from most others'."""
        reading = self._windows.peer_clocks.read(self._windows.clock.get_now_ms())
        return {
            "behind_ms": reading.behind_ms,
            "ahead_ms": reading.ahead_ms,
            "member_count": reading.member_count,
        }

    def _describe_timings(self) -> JsonObject:
        return {
            activity.value: {"count": spent.count, "wall_ms": spent.wall_ms, "worst_ms": spent.worst_ms}
            for activity, spent in self._windows.timings.spent.items()
        }

    def _get_name(self, member: MemberId) -> str:
        names = build_names(self._windows.get_state())
        return names.get(member, self._own_name) if member == self._member else get_name(names, member)

    def _get_names(self, members: tuple[MemberId, ...]) -> list[JsonValue]:
        return [self._get_name(member) for member in members]


def get_weight(state: LedgerState, member: MemberId) -> Weight:
    """Return what a member's vote counts in this epoch; 0 if it is no validator."""
    return next((entry.weight for entry in state.validators if entry.member == member), Weight(0))


def _describe_key(state: LedgerState) -> JsonObject:
    """Return which group key rounds are drawn with, and how far the key generation of the epoch is (B4)."""
    key = state.beacon_keys[-1] if state.beacon_keys else None
    return {
        "key_epoch": None if key is None else key.epoch,
        "public_key": None if key is None else key.public_key.hex(),
        "holder_count": 0 if key is None else len(key.holders),
        "threshold": 0 if key is None else key.threshold,
        "deal_count": sum(not entry.is_disqualified for entry in state.deals),
    }


def _describe_weights(validators: ValidatorSet, me: MemberId, peers: Iterable[PeerStatus]) -> JsonObject:
    """Return how much of the consensus weight is connected, our own included, and how much it takes."""
    present = sorted({me, *(peer.member for peer in peers if peer.is_connected)})
    voting = [member for member in present if validators.has_member(member)]
    return {
        "own": validators.get_validator(me).weight if validators.has_member(me) else 0,
        "connected": validators.compute_weight(voting),
        "quorum": validators.quorum_weight,
        "total": validators.total_weight,
        "has_quorum": validators.is_quorum(voting),
    }
