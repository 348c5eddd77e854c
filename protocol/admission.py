"""Admission of gossip: what happens to a message before it is forwarded (W3).

A message is checked for size, decoded, its signer looked up, and its signatures verified; what adds nothing any more
is ignored before any signature is verified. The certificates inside a proposal are checked later, by consensus, which
knows many of them already; the proposal itself is signed, so whoever forwards it is not to blame for them.

A consensus message is of one epoch (C13). One of an earlier epoch than this node's goes to consensus, and no further,
if its sender seems to need help or if it could still convict. One of a later epoch cannot be judged, since the
validators of that epoch are not known yet: it is not forwarded, and the engine learns that it is behind.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never, cast

from protocol.blocks import check_block_signature
from protocol.codec import decode, decode_union, encode
from protocol.crypto import Domain, check_signature
from protocol.errors import InvalidMessage, InvalidOperation, PrematureMessage, ProtocolError, StaleMessage
from protocol.gossip import Admission, Topic
from protocol.interface import ConsensusReceived, EarlyReceived, Input, OperationReceived, PartialReceived
from protocol.messages import (
    Certificates,
    ConsensusMessage,
    OperationMessage,
    Partial,
    PartialMessage,
    Proposal,
    Votes,
    get_epoch,
)
from protocol.operations import OPERATION_BYTES_MAX, check_operation_signature, decode_operation
from protocol.units import Digest, MemberId, Sequence, View
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, check_certificate, check_vote

CONSENSUS_MESSAGE_BYTES_MAX: Final = 1_048_576
VOTES_PER_MESSAGE_MAX: Final = 64
CERTIFICATES_PER_MESSAGE_MAX: Final = 64
PARTIAL_MESSAGE_BYTES_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What became of a message: whether it is forwarded, the input it is, and otherwise why it is none."""

    admission: Admission
    event: Input | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What admission needs to know of consensus and ledger to tell stale from new."""

    get_validators: Callable[[], ValidatorSet]
    """Of the current epoch."""
    is_member: Callable[[MemberId], bool]
    """Whether somebody has an account, or waits for admission at the end of the epoch."""
    get_finalized_view: Callable[[], View]
    get_next_sequence: Callable[[MemberId], Sequence]
    """Raises InvalidOperation for whoever has no account yet."""
    is_settled: Callable[[Vote], bool]
    has_certificate: Callable[[Certificate], bool]
    check_partial_wanted: Callable[[Partial], None]
    """Raises for a partial that is of no use."""


class GossipAdmission:
    """Judges gossip for one chain; pure but for what it reads of consensus."""

    def __init__(self, chain_id: Digest, progress: Progress) -> None:
        """Take whose messages count, and where consensus stands."""
        self._chain_id = chain_id
        self._progress = progress

    def judge(self, topic: Topic, message: bytes) -> Admitted:
        """Return what to do with a message and, if it is accepted, the input for the engine."""
        try:
            return self._check(topic, message)
        except (StaleMessage, PrematureMessage) as error:
            return Admitted(admission=Admission.IGNORE, event=None, reason=str(error))
        except ProtocolError as error:
            return Admitted(admission=Admission.REJECT, event=None, reason=str(error))

    def _check(self, topic: Topic, message: bytes) -> Admitted:
        match topic:
            case Topic.CONSENSUS:
                return self._check_consensus(message)
            case Topic.OPERATIONS:
                return _accept(self._check_operation(message))
            case Topic.BEACON:
                return _accept(self._check_partial(message))

    def _check_operation(self, message: bytes) -> OperationReceived:
        encoded = decode(OperationMessage, message, bytes_max=OPERATION_BYTES_MAX + 64).operation
        operation = decode_operation(encoded)
        if not self._progress.is_member(operation.content.member):
            raise InvalidMessage("an operation of no member")
        try:
            first = self._progress.get_next_sequence(operation.content.member)
        except InvalidOperation as error:
            # Where the epoch has changed it is a member already, so whoever forwards it is right to.
            raise PrematureMessage("an operation of a newcomer that is not admitted yet") from error
        if operation.content.sequence < first:
            raise StaleMessage("an operation whose number the ledger has left behind")
        check_operation_signature(self._chain_id, operation)
        return OperationReceived(operation=encoded)

    def _check_partial(self, message: bytes) -> PartialReceived:
        """Check who says it; whether it is right is seen when enough of them are combined (B3)."""
        decoded = decode(PartialMessage, message, bytes_max=PARTIAL_MESSAGE_BYTES_MAX)
        partial = decoded.partial
        self._progress.check_partial_wanted(partial)
        check_signature(partial.member, Domain.PARTIAL, self._chain_id, encode(partial), decoded.signature)
        return PartialReceived(partial=partial)

    def _check_consensus(self, message: bytes) -> Admitted:
        decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=CONSENSUS_MESSAGE_BYTES_MAX))
        _check_size(decoded)
        epoch, current = get_epoch(decoded), self._progress.get_validators().epoch
        if epoch > current:
            early = EarlyReceived(epoch=epoch, signer=self._check_signer(decoded), message=message)
            return Admitted(admission=Admission.IGNORE, event=early, reason=f"a message of epoch {epoch}")
        if epoch < current:
            late = ConsensusReceived(message=self._check_late(decoded))
            return Admitted(admission=Admission.IGNORE, event=late, reason=f"votes of epoch {epoch}")
        match decoded:
            case Proposal():
                self._check_proposal(decoded)
            case Votes():
                decoded = self._check_votes(decoded)
            case Certificates():
                decoded = self._check_certificates(decoded)
        return _accept(ConsensusReceived(message=decoded))

    def _check_signer(self, message: ConsensusMessage) -> MemberId | None:
        """Return the one member that signed all of a message of a later epoch; None for certificates."""
        match message:
            case Proposal(block=block):
                signer = block.header.leader
                self._check_is_member(signer)
                check_block_signature(self._chain_id, block.header, block.signature)
            case Votes(votes=votes):
                signer = self._check_sender(message)
                self._check_is_member(signer)
                for vote in votes:
                    check_vote(self._chain_id, vote)
            case Certificates():
                return None
            case _:
                assert_never(message)
        return signer

    def _check_late(self, message: ConsensusMessage) -> Votes:
        """Return the votes of an epoch that is over, if somebody repeats them or they may still convict."""
        if not isinstance(message, Votes):
            raise StaleMessage("a block or certificates of an epoch that is over")
        self._check_is_member(self._check_sender(message))
        return self._verify_votes(message)

    def _check_is_member(self, member: MemberId) -> None:
        if not self._progress.is_member(member):
            raise StaleMessage(f"{member.hex()[:8]} is no member as far as this node knows")

    def _check_sender(self, message: Votes) -> MemberId:
        senders = {vote.member for vote in message.votes}
        if len(senders) != 1:
            raise InvalidMessage("votes of several members in one message")
        return next(iter(senders))

    def _check_proposal(self, proposal: Proposal) -> None:
        header = proposal.block.header
        if header.view <= self._progress.get_finalized_view():
            raise StaleMessage("a proposal for a view that is over")
        if self._progress.get_validators().compute_leader(header.view) != header.leader:
            raise InvalidMessage(f"member {header.leader.hex()[:8]} does not lead view {header.view}")
        check_block_signature(self._chain_id, header, proposal.block.signature)

    def _check_votes(self, message: Votes) -> Votes:
        """Return the message with those votes alone that were verified: nothing else may reach the tally."""
        self._progress.get_validators().get_index(self._check_sender(message))
        return self._verify_votes(message)

    def _verify_votes(self, message: Votes) -> Votes:
        new = [vote for vote in message.votes if not self._progress.is_settled(vote)]
        if not new and message.attempt == 0:
            raise StaleMessage("votes that add nothing")
        # A deliberate re-send asks for help: its oldest vote tells how far behind the sender is, so it is checked in
        # any case.
        asking = message.votes[:1] if message.attempt > 0 else ()
        checked = tuple(dict.fromkeys((*asking, *new)))
        for vote in checked:
            check_vote(self._chain_id, vote)
        return replace(message, votes=checked)

    def _check_certificates(self, message: Certificates) -> Certificates:
        """Return the message with those certificates alone that were verified."""
        finalized_view = self._progress.get_finalized_view()
        new = [
            certificate
            for certificate in message.certificates
            if certificate.view > finalized_view and not self._progress.has_certificate(certificate)
        ]
        if not new:
            raise StaleMessage("certificates that add nothing")
        for certificate in new:
            check_certificate(self._chain_id, self._progress.get_validators(), certificate)
        return replace(message, certificates=tuple(new))


def _check_size(message: ConsensusMessage) -> None:
    match message:
        case Votes(votes=votes) if not 0 < len(votes) <= VOTES_PER_MESSAGE_MAX:
            raise InvalidMessage(f"{len(votes)} votes in one message")
        case Certificates(certificates=held) if not 0 < len(held) <= CERTIFICATES_PER_MESSAGE_MAX:
            raise InvalidMessage(f"{len(held)} certificates in one message")
        case _:
            pass


def _accept(event: Input) -> Admitted:
    return Admitted(admission=Admission.ACCEPT, event=event, reason="")
