"""Signs changed messages again, with the keys that an attacker holds, so that changes get past the signatures.

Who signs what it likes is a member that misbehaves; with everybody's keys there is nothing left that a signature would
stop, which is right for code that must only not fall over.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property

from protocol.blocks import Block, BlockHeader, compute_block_hash, compute_operations_root, compute_reveal, sign_block
from protocol.cards import sign_card
from protocol.codec import encode
from protocol.crypto import Domain
from protocol.errors import MalformedMessage
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import build_validator_set
from protocol.messages import Certificates, ConsensusMessage, PartialMessage, Proposal, Votes
from protocol.operations import Join, Payload, decode_operation, sign_operation
from protocol.units import BlsSignature, Digest, Epoch, MemberId, View
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, VoteKind, build_certificate, sign_vote
from tests.fuzz.recording import Recording
from tests.sim.keys import NodeKeys


@dataclass(frozen=True)
class Signer:
    """Signs in the name of those whose keys it has; what others signed it leaves as it is."""

    chain_id: Digest
    validators: tuple[ValidatorSet, ...]
    """Of every epoch of the run."""
    keys: tuple[NodeKeys, ...]

    @cached_property
    def by_member(self) -> dict[MemberId, NodeKeys]:
        """The keys by member."""
        return {entry.key.member: entry for entry in self.keys}

    def sign_message(self, message: ConsensusMessage) -> ConsensusMessage:
        """Return a message with every signature made again that this signer can make."""
        match message:
            case Votes(votes=votes):
                return replace(message, votes=tuple(self.sign_vote(vote) for vote in votes))
            case Certificates(certificates=certificates):
                return replace(message, certificates=tuple(self.sign_certificate(entry) for entry in certificates))
            case Proposal(block=block, parent_certificate=parent, nullifications=nullifications):
                return replace(
                    message,
                    block=self.sign_block(block),
                    parent_certificate=None if parent is None else self.sign_certificate(parent),
                    nullifications=tuple(self.sign_certificate(entry) for entry in nullifications),
                )

    def sign_partial(self, message: PartialMessage) -> PartialMessage:
        """Return a partial of the beacon in its member's name."""
        keys = self.by_member.get(message.partial.member)
        if keys is None:
            return message
        signature = keys.key.sign(Domain.PARTIAL, self.chain_id, encode(message.partial))
        return replace(message, signature=signature)

    def sign_vote(self, vote: Vote) -> Vote:
        """Return a vote signed by its member."""
        keys = self.by_member.get(vote.member)
        return vote if keys is None else self.cast(keys, vote.epoch, vote.kind, vote.view, vote.block_hash)

    def cast(self, keys: NodeKeys, epoch: Epoch, kind: VoteKind, view: View, block_hash: Digest | None) -> Vote:
        """Return a member's vote."""
        return sign_vote(self.chain_id, keys.key, epoch=epoch, kind=kind, view=view, block_hash=block_hash)

    def sign_certificate(self, certificate: Certificate) -> Certificate:
        """Return a certificate for the same thing, of all keys, if they can make one; else as it is."""
        made = self.certify(certificate.epoch, certificate.kind, certificate.view, certificate.block_hash)
        return certificate if made is None else made

    def certify(self, epoch: Epoch, kind: VoteKind, view: View, block_hash: Digest | None) -> Certificate | None:
        """Return a certificate with the vote of everybody whose keys there are, if they are enough."""
        validators = self.get_validators(epoch)
        signers = [entry.member for entry in validators.validators if entry.member in self.by_member]
        if not validators.is_quorum(signers):
            return None
        votes = tuple(self.cast(self.by_member[member], epoch, kind, view, block_hash) for member in signers)
        return build_certificate(validators, votes)

    def get_validators(self, epoch: Epoch) -> ValidatorSet:
        """Return who votes in an epoch, or in the last one that is known."""
        return self.validators[min(epoch, len(self.validators) - 1)]

    def sign_block(self, block: Block) -> Block:
        """Return a block with its operations, their root, its reveal and its signature made again."""
        operations = tuple(self.sign_encoded_operation(encoded) for encoded in block.operations)
        header = replace(block.header, operations_root=compute_operations_root(operations))
        keys = self.by_member.get(header.leader)
        if keys is None:
            return replace(block, header=header, operations=operations)
        reveal = _reveal(self.chain_id, keys, header.epoch, header.view)
        return sign_block(self.chain_id, keys.key, replace(header, reveal=reveal), operations)

    def sign_encoded_operation(self, encoded: bytes) -> bytes:
        """Return an operation signed by its member; what is none stays as it is."""
        try:
            content = decode_operation(encoded).content
        except MalformedMessage:
            return encoded
        keys = self.by_member.get(content.member)
        if keys is None:
            return encoded
        return encode(sign_operation(self.chain_id, keys.key, content.sequence, self.sign_payload(content.payload)))

    def sign_payload(self, payload: Payload) -> Payload:
        """Return a payload with the newcomer's signature made again, if it is one that has it."""
        keys = self.by_member.get(payload.card.member) if isinstance(payload, Join) else None
        if keys is None or not isinstance(payload, Join):
            return payload
        return replace(payload, signature=sign_card(keys.key, payload.card))

    def lead(self, header: BlockHeader) -> BlockHeader:
        """Return a header led by whoever leads its view."""
        return replace(header, leader=self.get_validators(header.epoch).compute_leader(header.view))

    def finalize(self, block: Block) -> Certificate | None:
        """Return the certificate that makes a block final."""
        block_hash = compute_block_hash(self.chain_id, block.header)
        return self.certify(block.header.epoch, VoteKind.FINALIZE, block.header.view, block_hash)

    def spray(self, keys: NodeKeys, epoch: Epoch, views: Iterable[View], kind: VoteKind, block_hash: Digest) -> Votes:
        """Return one message with a member's votes for many views."""
        named = None if kind is VoteKind.NULLIFY else block_hash
        return Votes(votes=tuple(self.cast(keys, epoch, kind, view, named) for view in views), attempt=0)


def make_signer(recording: Recording, keys: tuple[NodeKeys, ...]) -> Signer:
    """Return a signer for a recorded run's chain."""
    states = (compute_genesis_state(recording.genesis), *recording.states)
    by_epoch = {state.epoch: build_validator_set(state) for state in states}
    validators = tuple(by_epoch[epoch] for epoch in sorted(by_epoch))
    return Signer(chain_id=recording.chain_id, validators=validators, keys=keys)


@cache
def _reveal(chain_id: Digest, keys: NodeKeys, epoch: Epoch, view: View) -> BlsSignature:
    return compute_reveal(chain_id, keys.bls_key, epoch, view)
