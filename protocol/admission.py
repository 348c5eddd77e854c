"""Admission of gossip: what happens to a message before it is forwarded (W3).

A message is checked for size, decoded, its signer looked up, and its signatures verified; what adds nothing any more
is ignored before any signature is verified. The certificates inside a proposal are checked later, by consensus, which
knows many of them already; the proposal itself is signed, so whoever forwards it is not to blame for them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

from protocol.blocks import check_block_signature
from protocol.codec import decode, decode_union
from protocol.errors import InvalidMessage, PrematureMessage, ProtocolError, StaleMessage
from protocol.gossip import Admission, Topic
from protocol.interface import ConsensusReceived, Input, OperationReceived
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, Proposal, Votes
from protocol.operations import OPERATION_BYTES_MAX, check_operation_signature, decode_operation
from protocol.units import Digest, MemberId, Sequence, View
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, check_certificate, check_vote

CONSENSUS_MESSAGE_BYTES_MAX: Final = 1_048_576
VOTES_PER_MESSAGE_MAX: Final = 64
CERTIFICATES_PER_MESSAGE_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What became of a message: the input it is, if it is accepted, and otherwise why not."""

    admission: Admission
    event: Input | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What admission needs to know of consensus and ledger to tell stale from new."""

    get_finalized_view: Callable[[], View]
    get_next_sequence: Callable[[MemberId], Sequence]
    is_settled: Callable[[Vote], bool]
    has_certificate: Callable[[Certificate], bool]


class GossipAdmission:
    """Judges gossip for one chain; pure but for what it reads of consensus."""

    def __init__(
        self, chain_id: Digest, validators: ValidatorSet, members: frozenset[MemberId], progress: Progress
    ) -> None:
        """Take whose messages count, and where consensus stands."""
        self._chain_id = chain_id
        self._validators = validators
        self._members = members
        self._progress = progress

    def judge(self, topic: Topic, message: bytes) -> Admitted:
        """Return what to do with a message and, if it is accepted, the input for the engine."""
        try:
            event = self._check(topic, message)
        except (StaleMessage, PrematureMessage) as error:
            return Admitted(admission=Admission.IGNORE, event=None, reason=str(error))
        except ProtocolError as error:
            return Admitted(admission=Admission.REJECT, event=None, reason=str(error))
        return Admitted(admission=Admission.ACCEPT, event=event, reason="")

    def _check(self, topic: Topic, message: bytes) -> Input:
        match topic:
            case Topic.CONSENSUS:
                return self._check_consensus(message)
            case Topic.OPERATIONS:
                return self._check_operation(message)
            case Topic.BEACON:
                raise InvalidMessage("nothing is published on the beacon topic: the beacon is in the blocks (B5)")

    def _check_operation(self, message: bytes) -> OperationReceived:
        encoded = decode(OperationMessage, message, bytes_max=OPERATION_BYTES_MAX + 64).operation
        operation = decode_operation(encoded)
        if operation.content.member not in self._members:
            raise InvalidMessage("an operation of no member")
        if operation.content.sequence < self._progress.get_next_sequence(operation.content.member):
            raise StaleMessage("an operation whose number the ledger has left behind")
        check_operation_signature(self._chain_id, operation)
        return OperationReceived(operation=encoded)

    def _check_consensus(self, message: bytes) -> ConsensusReceived:
        decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=CONSENSUS_MESSAGE_BYTES_MAX))
        match decoded:
            case Proposal():
                self._check_proposal(decoded)
            case Votes():
                decoded = self._check_votes(decoded)
            case Certificates():
                decoded = self._check_certificates(decoded)
        return ConsensusReceived(message=decoded)

    def _check_proposal(self, proposal: Proposal) -> None:
        header = proposal.block.header
        if header.view <= self._progress.get_finalized_view():
            raise StaleMessage("a proposal for a view that is over")
        if self._validators.compute_leader(header.view) != header.leader:
            raise InvalidMessage(f"member {header.leader.hex()[:8]} does not lead view {header.view}")
        check_block_signature(self._chain_id, header, proposal.block.signature)

    def _check_votes(self, message: Votes) -> Votes:
        """Return the message with those votes alone that were verified: nothing else may reach the tally."""
        if not 0 < len(message.votes) <= VOTES_PER_MESSAGE_MAX:
            raise InvalidMessage(f"{len(message.votes)} votes in one message")
        if len({vote.member for vote in message.votes}) != 1:
            raise InvalidMessage("votes of several members in one message")
        self._validators.get_index(message.votes[0].member)
        new = [vote for vote in message.votes if not self._progress.is_settled(vote)]
        if not new and message.attempt == 0:
            raise StaleMessage("votes that add nothing")
        # A deliberate re-send asks for help: its oldest vote tells how far behind the sender is, so it is checked in
        # any case.
        asking = message.votes[:1] if message.attempt > 0 else ()
        checked = tuple(dict.fromkeys((*asking, *new)))
        for vote in checked:
            if vote.epoch != self._validators.epoch:
                raise InvalidMessage(f"a vote of epoch {vote.epoch}")
            check_vote(self._chain_id, vote)
        return replace(message, votes=checked)

    def _check_certificates(self, message: Certificates) -> Certificates:
        """Return the message with those certificates alone that were verified."""
        if not 0 < len(message.certificates) <= CERTIFICATES_PER_MESSAGE_MAX:
            raise InvalidMessage(f"{len(message.certificates)} certificates in one message")
        finalized_view = self._progress.get_finalized_view()
        new = [
            certificate
            for certificate in message.certificates
            if certificate.view > finalized_view and not self._progress.has_certificate(certificate)
        ]
        if not new:
            raise StaleMessage("certificates that add nothing")
        for certificate in new:
            check_certificate(self._chain_id, self._validators, certificate)
        return replace(message, certificates=tuple(new))
