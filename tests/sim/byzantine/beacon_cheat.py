"""The beacon's cheats: dealers whose deals are wrong in one way each, false complainers, holders that lie.

Each follows every other rule, so that nothing but the check of the broken one stands between it and a key or an output
(B1 to B4, B6).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto

from protocol.beacon import dealing
from protocol.beacon.dealing import Ceremony, find_complaints
from protocol.blocks import Block
from protocol.bls import (
    compute_commitments,
    compute_ephemeral_key,
    derive_ephemeral_secret,
    derive_polynomial,
    encrypt_share,
    prove_knowledge,
    sign_partial,
)
from protocol.bls.scalars import derive_scalar
from protocol.codec import decode, encode
from protocol.crypto import Domain, compute_digest
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, FinalizedBlock, Input, OperationRequested
from protocol.key_orders import DealMade, DealsChecked
from protocol.ledger.ceremony import is_dealing_open
from protocol.ledger.state import build_ceremony
from protocol.messages import Partial, PartialMessage
from protocol.operations import PostDeal
from protocol.units import BlsScalar, Digest, Epoch, Height, MemberId, Millis
from protocol.votes import Vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, Adversary

SPEAKS_FROM = 5
INFINITY = b"\xc0" + bytes(95)


class Cheat(Enum):
    """What is wrong."""

    WRONG_SHARE = auto()
    """One honest member's share does not fit the commitments; everything public does."""
    NO_SCALAR = auto()
    """One honest member's share is no number below the group order."""
    WITHHELD_SHARE = auto()
    REPOSTED_KEY = auto()
    """The ephemeral key of another dealer, to read shares out of honest complaints."""
    INFINITY = auto()
    NOT_CANONICAL = auto()
    COPIED_DEAL = auto()
    LATE = auto()
    NEVER = auto()
    NEVER_AT_FIRST = auto()
    """No deal in the first two epochs."""
    FALSE_COMPLAINT = auto()
    WRONG_PARTIAL = auto()
    COPIED_PARTIAL = auto()
    REPLAYED_PARTIAL = auto()
    EARLY_PARTIAL = auto()
    """True, but of a round that is not open yet."""
    OTHER_KEY = auto()
    """A partial under another key than the round's."""
    SILENT_HOLDER = auto()
    """No partial of the rounds before :data:`SPEAKS_FROM`."""


class BeaconCheat:
    """Spoils what its engine makes of the beacon."""

    def __init__(self, home: AdversaryHome, cheat: Cheat) -> None:
        self._home = home
        self._cheat = cheat
        self._puppet = Puppet(home)
        self._random = random.Random(f"cheat-{home.index}-{home.seed}")
        self._held: PostDeal | None = None
        self._heard: dict[int, Partial] = {}
        self._sent: list[PartialMessage] = []

    def start(self, now_ms: Millis) -> list[Action]:
        return self._twist(self._puppet.start(now_ms), now_ms)

    def on_gossip(self, _sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        if topic is Topic.BEACON:
            partial = decode(PartialMessage, message, bytes_max=len(message)).partial
            self._heard[partial.round] = partial
        return self._twist(self._puppet.on_gossip(topic, message, now_ms), now_ms)

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        match event:
            case DealMade(deal=deal):
                self._held = deal
                return self._twist([], now_ms)
            case DealsChecked() if self._cheat is Cheat.FALSE_COMPLAINT:
                event = self._complain(event)
            case _:
                pass
        return self._twist(self._puppet.handle(event, now_ms), now_ms)

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._puppet.serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._puppet.get_unfinalized_block(block_hash)

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...]:
        return self._puppet.get_votes_seen(member)

    def _twist(self, effects: Sequence[Effect], now_ms: Millis) -> list[Action]:
        actions: list[Action] = []
        for effect in [*effects, *self._try_to_deal(now_ms)]:
            if isinstance(effect, Broadcast) and effect.topic is Topic.BEACON:
                actions += self._spoil_partial(decode(PartialMessage, effect.message, bytes_max=len(effect.message)))
            else:
                actions.append(effect)
        return actions

    def _try_to_deal(self, now_ms: Millis) -> list[Effect]:
        if self._held is None:
            return []
        deal = self._spoil_deal(self._held)
        if deal is None:
            return []
        self._held = None
        if self._cheat is Cheat.LATE:
            # The engine would not, any more.
            return self._puppet.handle(OperationRequested(payload=deal), now_ms)
        return self._puppet.handle(DealMade(deal=deal), now_ms)

    def _spoil_deal(self, deal: PostDeal) -> PostDeal | None:
        """Return what to post instead of a deal; None while there is nothing to post yet."""
        state = self._puppet.engine.state
        others = [entry.deal for entry in state.deals if entry.dealer != self._home.keys.key.member]
        if deal.epoch != state.epoch:
            self._held = None
            return None
        match self._cheat:
            case Cheat.WRONG_SHARE | Cheat.NO_SCALAR:
                return self._build_wrong_deal()
            case Cheat.WITHHELD_SHARE:
                return replace(deal, shares=deal.shares[:-32])
            case Cheat.REPOSTED_KEY if others:
                return replace(deal, ephemeral_key=others[0].ephemeral_key, ephemeral_proof=others[0].ephemeral_proof)
            case Cheat.COPIED_DEAL if others:
                return others[0]
            case Cheat.INFINITY:
                return replace(deal, commitments=INFINITY + deal.commitments[96:])
            case Cheat.NOT_CANONICAL:
                return replace(deal, commitments=bytes([deal.commitments[0] & 0x7F]) + deal.commitments[1:])
            case Cheat.LATE if not is_dealing_open(self._home.genesis.parameters, Height(state.height + 1)):
                return deal
            case Cheat.NEVER_AT_FIRST if state.epoch >= 2:
                return deal
            case Cheat.REPOSTED_KEY | Cheat.COPIED_DEAL | Cheat.LATE | Cheat.NEVER | Cheat.NEVER_AT_FIRST:
                return None
            case _:
                return deal

    def _build_wrong_deal(self) -> PostDeal:
        """Return a deal that holds for everybody but the one recipient whose share is wrong."""
        ceremony, me = self._get_ceremony(), self._home.keys.key.member
        seed = compute_digest(Domain.DEAL_SECRET, self._home.keys.salt_secret, ceremony.epoch.to_bytes(8, "big"))
        polynomial, ephemeral = derive_polynomial(seed, ceremony.threshold), derive_ephemeral_secret(seed)
        commitments, ephemeral_key = b"".join(compute_commitments(polynomial)), compute_ephemeral_key(ephemeral)
        honest = [index for index, member in enumerate(ceremony.dealers) if not self._is_adversary(member)]
        victim, context = self._random.choice(honest), dealing._compute_context(ceremony, me)
        shares = [polynomial.evaluate(index) for index in range(len(ceremony.dealers))]
        no_scalar = BlsScalar(b"\xff" * 32)
        shares[victim] = no_scalar if self._cheat is Cheat.NO_SCALAR else derive_scalar(Domain.DEAL_SECRET, b"wrong")
        encrypted = b"".join(
            encrypt_share(ephemeral, ceremony.bls_keys[index], share, context, index)
            for index, share in enumerate(shares)
        )
        whole = dealing._compute_whole_context(ceremony, me, commitments, ephemeral_key, encrypted)
        return PostDeal(
            epoch=ceremony.epoch,
            commitments=commitments,
            ephemeral_key=ephemeral_key,
            shares=encrypted,
            secret_proof=prove_knowledge(polynomial.get_secret(), whole),
            ephemeral_proof=prove_knowledge(ephemeral, whole),
        )

    def _complain(self, event: DealsChecked) -> DealsChecked:
        """Return complaints about everybody's deal: each opens the true share, which fits."""
        state = self._puppet.engine.state
        if event.epoch != state.epoch:
            return event
        spoiled = [
            (entry.dealer, replace(entry.deal, commitments=_spoil_commitments(entry.deal.commitments)))
            for entry in state.deals
            if entry.dealer != self._home.keys.key.member
        ]
        complaints = find_complaints(self._get_ceremony(), spoiled, self._home.keys.bls_key)
        return replace(event, complaints=complaints)

    def _spoil_partial(self, message: PartialMessage) -> list[Action]:
        partial, state = message.partial, self._puppet.engine.state
        match self._cheat:
            case Cheat.WRONG_PARTIAL:
                share = derive_scalar(Domain.PARTIAL, partial.round.to_bytes(8, "big"))
                return [self._say(replace(partial, signature=sign_partial(share, partial.round)), message.attempt)]
            case Cheat.COPIED_PARTIAL if partial.round in self._heard:
                signature = self._heard[partial.round].signature
                return [self._say(replace(partial, signature=signature), message.attempt)]
            case Cheat.REPLAYED_PARTIAL:
                old = [self._say(one.partial, message.attempt) for one in self._sent[-3:]]
                self._sent.append(message)
                return [*old, self._say(partial, message.attempt)]
            case Cheat.EARLY_PARTIAL:
                share_of = self._puppet.engine._beacon._shares.shares[partial.key_epoch]
                early = replace(
                    partial, round=state.next_round, signature=sign_partial(share_of, state.next_round)
                )
                return [self._say(early, message.attempt), self._say(partial, message.attempt)]
            case Cheat.SILENT_HOLDER if partial.round < SPEAKS_FROM:
                return []
            case Cheat.OTHER_KEY:
                epochs = [key.epoch for key in state.beacon_keys if key.epoch != partial.key_epoch] or [Epoch(99)]
                return [self._say(replace(partial, key_epoch=epochs[0]), message.attempt)]
            case _:
                return [self._say(partial, message.attempt)]

    def _say(self, partial: Partial, attempt: int) -> Broadcast:
        chain_id = self._puppet.engine.state.chain_id
        signature = self._home.keys.key.sign(Domain.PARTIAL, chain_id, encode(partial))
        message = PartialMessage(partial=partial, signature=signature, attempt=attempt)
        return Broadcast(topic=Topic.BEACON, message=encode(message))

    def _get_ceremony(self) -> Ceremony:
        state = self._puppet.engine.state
        return build_ceremony(state.chain_id, state.epoch, state.validators, state.members)

    def _is_adversary(self, member: MemberId) -> bool:
        places = sorted(founder.member for founder in self._home.genesis.founders)
        return member in places and places.index(member) in self._home.adversaries


def _spoil_commitments(commitments: bytes) -> bytes:
    """Return commitments that no share fits."""
    return commitments[:96] * 2 + commitments[192:]


def make(cheat: Cheat) -> Callable[[AdversaryHome], Adversary]:
    """Return what makes an adversary of one kind."""
    return lambda home: BeaconCheat(home, cheat)


def make_any(home: AdversaryHome) -> Adversary:
    """Return an adversary of a kind that the seed draws."""
    return BeaconCheat(home, random.Random(f"any-cheat-{home.index}-{home.seed}").choice(list(Cheat)))
