"""The forger: takes part like an honest member, and beside that sends whatever might fool somebody.

Votes in other members' names, certificates with too little behind them, old signatures in new company, blocks with a
signature that is not their leader's. All of it must be refused, and nobody may fall over it.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from protocol.blocks import Block
from protocol.codec import decode_union, encode_union
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, FinalizedBlock, Input
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import build_validator_set
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.units import Digest, Height, MemberId, Millis, Signature, View
from protocol.votes import Certificate, Vote, VoteKind, build_certificate, sign_vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo

FORGES = 0.3
"""The share of the votes it hears that it makes something of."""


class Forger:
    """Lies in others' names."""

    def __init__(self, home: AdversaryHome) -> None:
        self._home = home
        self._puppet = Puppet(home)
        self._chain_id = compute_chain_id(home.genesis)
        self._validators = build_validator_set(compute_genesis_state(home.genesis))
        self._random = random.Random(f"forger-{home.index}-{home.seed}")
        self._attempt = 0

    def start(self, now_ms: Millis) -> list[Action]:
        return self._spoil(self._puppet.start(now_ms))

    def on_gossip(self, _sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        actions = self._spoil(self._puppet.on_gossip(topic, message, now_ms))
        if topic is Topic.CONSENSUS and self._random.random() < FORGES:
            heard = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
            if isinstance(heard, Votes):
                actions += [self._send(forged) for forged in self._forge(heard.votes)]
        return actions

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return self._spoil(self._puppet.handle(event, now_ms))

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        """Return a true chain, in which one leader's signature or the last certificate is not the true one."""
        blocks = list(self._puppet.serve_blocks(from_height))
        if not blocks:
            return ()
        if self._random.random() < 0.5:
            place = self._random.randrange(len(blocks))
            blocks[place] = replace(blocks[place], block=self._sign_badly(blocks[place].block))
        else:
            certificate = blocks[-1].certificate
            assert certificate is not None
            signatures = (self._make_signature(), *certificate.signatures[1:])
            blocks[-1] = replace(blocks[-1], certificate=replace(certificate, signatures=signatures))
        return tuple(blocks)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        block = self._puppet.get_unfinalized_block(block_hash)
        return None if block is None else self._sign_badly(block)

    def get_votes_seen(self, _member: MemberId) -> tuple[Vote, ...]:
        return ()

    def _forge(self, votes: tuple[Vote, ...]) -> list[ConsensusMessage]:
        heard = votes[-1]
        kind = self._random.choice(list(VoteKind))
        block_hash = None if kind is VoteKind.NULLIFY else heard.block_hash or self._make_digest()
        forged = replace(heard, kind=kind, block_hash=block_hash, signature=self._make_signature())
        self._attempt += 1
        return [
            Votes(votes=(forged,), attempt=0),
            # A true vote that everybody knows covers for a false one about the same view.
            Votes(votes=(forged, heard), attempt=self._attempt),
            Certificates(certificates=(self._build_thin(heard.view),), attempt=self._attempt),
            Certificates(certificates=(self._build_padded(heard),), attempt=self._attempt),
        ]

    def _build_thin(self, view: View) -> Certificate:
        """Return a certificate with one true signature, its own, and no quorum."""
        vote = sign_vote(
            self._chain_id,
            self._home.keys.key,
            epoch=self._validators.epoch,
            kind=VoteKind.NULLIFY,
            # Far ahead: in this view it will never come to contradict itself.
            view=View(view + 1_000_000),
            block_hash=None,
        )
        return build_certificate(self._validators, (vote,))

    def _build_padded(self, heard: Vote) -> Certificate:
        """Return a certificate in which one true signature stands for everybody's."""
        everybody = tuple(replace(heard, member=validator.member) for validator in self._validators.validators)
        return build_certificate(self._validators, everybody)

    def _spoil(self, effects: Sequence[Effect]) -> list[Action]:
        """Send every other own proposal with a certificate that proves nothing."""
        actions: list[Action] = []
        for effect in effects:
            if isinstance(effect, Broadcast) and effect.topic is Topic.CONSENSUS and self._random.random() < 0.5:
                actions.append(replace(effect, message=self._spoil_message(effect.message)))
            else:
                actions.append(effect)
        return actions

    def _spoil_message(self, message: bytes) -> bytes:
        decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
        if not isinstance(decoded, Proposal) or decoded.parent_certificate is None:
            return message
        certificate = decoded.parent_certificate
        spoilt = replace(certificate, signatures=(self._make_signature(), *certificate.signatures[1:]))
        return encode_union(replace(decoded, parent_certificate=spoilt), ConsensusMessage)

    def _send(self, message: ConsensusMessage) -> SendTo:
        return SendTo(
            receivers=tuple(range(self._home.node_count)),
            topic=Topic.CONSENSUS,
            message=encode_union(message, ConsensusMessage),
        )

    def _sign_badly(self, block: Block) -> Block:
        return replace(block, signature=self._make_signature())

    def _make_signature(self) -> Signature:
        return Signature(self._random.randbytes(64))

    def _make_digest(self) -> Digest:
        return Digest(self._random.randbytes(32))


def make(home: AdversaryHome) -> Forger:
    """Return the member."""
    return Forger(home)
