"""W3: what becomes of a gossip message; one mistake each, and whose fault it is."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.admission import (
    CERTIFICATES_PER_MESSAGE_MAX,
    CONSENSUS_MESSAGE_BYTES_MAX,
    VOTES_PER_MESSAGE_MAX,
    Admitted,
    GossipAdmission,
    Progress,
)
from protocol.codec import encode, encode_union
from protocol.crypto import Domain
from protocol.errors import StaleMessage
from protocol.gossip import Admission, Topic
from protocol.interface import ConsensusReceived, OperationReceived, PartialReceived
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, Partial, PartialMessage, Proposal, Votes
from protocol.operations import OPERATION_BYTES_MAX, Bond
from protocol.units import BlsSignature, Digest, Epoch, Round, Sequence, Signature, Stake, View
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote
from tests.founders import FounderKeys, make_founders
from tests.helpers import encode_operation
from tests.protocol.consensus.rig import (
    CHAIN,
    FINALIZE,
    LEDGER,
    NOTARIZE,
    NULLIFY,
    VALIDATORS,
    get_follower,
    make_block,
    make_certificate,
    make_proposal,
    make_vote,
    tip_of,
)
from tests.values import make_digest

ACCEPT, IGNORE, REJECT = Admission.ACCEPT, Admission.IGNORE, Admission.REJECT
MEMBERS = frozenset(keys.member for keys in LEDGER.founders)
STRANGER = next(keys for keys in make_founders(6) if keys.member not in MEMBERS)
BLOCK = make_block(5)
VOTE = make_vote(LEDGER.founders[0], NOTARIZE, 5, BLOCK)
OTHER_VOTE = make_vote(LEDGER.founders[0], NULLIFY, 5)
FORGED = replace(VOTE, signature=Signature(bytes(64)))


@dataclass(slots=True)
class Knowledge:
    """Where consensus and ledger stand."""

    finalized_view: View = View(0)
    next_sequence: Sequence = Sequence(0)
    settled: tuple[Vote, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    validators: ValidatorSet = VALIDATORS
    admission: GossipAdmission = field(init=False)

    def __post_init__(self) -> None:
        progress = Progress(
            get_validators=lambda: self.validators,
            is_member=MEMBERS.__contains__,
            get_finalized_view=lambda: self.finalized_view,
            get_next_sequence=lambda _member: self.next_sequence,
            is_settled=lambda vote: vote in self.settled or vote.view <= self.finalized_view,
            has_certificate=lambda certificate: certificate in self.certificates,
            check_partial_wanted=self.check_partial_wanted,
        )
        self.admission = GossipAdmission(CHAIN, progress)

    def check_partial_wanted(self, partial: Partial) -> None:
        if partial.round < 5:
            raise StaleMessage("a partial of a round that is drawn")

    def judge_partial(self, message: PartialMessage) -> Admitted:
        return self.admission.judge(Topic.BEACON, encode(message))

    def judge(self, message: ConsensusMessage) -> Admitted:
        return self.admission.judge(Topic.CONSENSUS, encode_union(message, ConsensusMessage))

    def judge_operation(self, encoded: bytes, *, attempt: int = 0) -> Admitted:
        message = OperationMessage(operation=encoded, attempt=attempt)
        return self.admission.judge(Topic.OPERATIONS, encode(message))


def votes(*entries: Vote, attempt: int = 0) -> Votes:
    return Votes(votes=entries, attempt=attempt)


def certificates(*entries: Certificate) -> Certificates:
    return Certificates(certificates=entries, attempt=1)


@pytest.mark.parametrize(
    "message",
    [make_proposal(BLOCK), votes(VOTE), votes(VOTE, OTHER_VOTE), certificates(make_certificate(NOTARIZE, 5, BLOCK))],
    ids=["proposal", "vote", "votes", "certificate"],
)
def test_a_good_message_becomes_an_input(message: ConsensusMessage) -> None:
    assert Knowledge().judge(message) == Admitted(admission=ACCEPT, event=ConsensusReceived(message=message), reason="")


WRONG: dict[str, tuple[ConsensusMessage, str]] = {
    "not the view's leader": (
        make_proposal(make_block(5, leader=get_follower(5).member)),
        "does not lead view 5",
    ),
    "not signed by the leader": (
        make_proposal(replace(BLOCK, signature=Signature(bytes(64)))),
        "wrong proposal signature",
    ),
    "no votes": (votes(), "0 votes in one message"),
    "too many votes": (votes(*[VOTE] * (VOTES_PER_MESSAGE_MAX + 1)), "65 votes in one message"),
    "votes of two members": (votes(VOTE, make_vote(LEDGER.founders[1], NULLIFY, 5)), "votes of several members"),
    "a vote of no validator": (votes(make_vote(STRANGER, NULLIFY, 5)), "no validator of epoch 0"),
    "a vote whose epoch was changed": (votes(replace(VOTE, epoch=Epoch(1))), "wrong vote signature"),
    "votes of two epochs": (votes(VOTE, replace(VOTE, epoch=Epoch(1))), "a message of 2 epochs"),
    "a forged vote": (votes(FORGED), "wrong vote signature"),
    "a forged vote among good ones": (
        votes(VOTE, replace(OTHER_VOTE, signature=VOTE.signature)),
        "wrong vote signature",
    ),
    "no certificates": (certificates(), "0 certificates in one message"),
    "too many certificates": (
        certificates(*[make_certificate(NULLIFY, 5)] * (CERTIFICATES_PER_MESSAGE_MAX + 1)),
        "65 certificates in one message",
    ),
    "a certificate without a quorum": (certificates(make_certificate(NULLIFY, 5, count=2)), "no quorum"),
    "a bad certificate among good ones": (
        certificates(make_certificate(NULLIFY, 5), make_certificate(NULLIFY, 6, count=2)),
        "no quorum",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_message_that_breaks_a_rule_is_rejected(name: str) -> None:
    message, error = WRONG[name]
    admitted = Knowledge().judge(message)
    assert (admitted.admission, admitted.event) == (REJECT, None)
    assert error in admitted.reason


STALE: dict[str, tuple[Knowledge, ConsensusMessage]] = {
    "a proposal for a final view": (Knowledge(finalized_view=View(5)), make_proposal(BLOCK)),
    "votes for a final view": (Knowledge(finalized_view=View(5)), votes(VOTE, OTHER_VOTE)),
    "votes that are counted": (Knowledge(settled=(VOTE,)), votes(VOTE)),
    "certificates for a final view": (Knowledge(finalized_view=View(5)), certificates(make_certificate(NULLIFY, 5))),
    "certificates that are known": (
        Knowledge(certificates=(make_certificate(NULLIFY, 5),)),
        certificates(make_certificate(NULLIFY, 5)),
    ),
}


@pytest.mark.parametrize("name", STALE)
def test_a_message_that_comes_too_late_is_ignored(name: str) -> None:
    knowledge, message = STALE[name]
    assert knowledge.judge(message).admission is IGNORE


def test_a_message_that_comes_too_late_costs_no_signature_check() -> None:
    """W3: it is nobody's fault, and must be cheap."""
    assert Knowledge(finalized_view=View(5)).judge(votes(FORGED)).admission is IGNORE


def get_votes(admitted: Admitted) -> tuple[Vote, ...]:
    assert isinstance(admitted.event, ConsensusReceived)
    assert isinstance(admitted.event.message, Votes)
    return admitted.event.message.votes


def test_only_verified_votes_reach_consensus() -> None:
    """L7: an unverified one could become evidence against its supposed sender."""
    knowledge = Knowledge(settled=(FORGED,))
    assert get_votes(knowledge.judge(votes(FORGED, OTHER_VOTE))) == (OTHER_VOTE,)
    later = make_vote(LEDGER.founders[0], NULLIFY, 6)
    assert get_votes(knowledge.judge(votes(OTHER_VOTE, FORGED, later, attempt=1))) == (OTHER_VOTE, later)


def test_a_true_vote_does_not_cover_for_a_forged_one() -> None:
    """W3: as the first of a repetition it is verified, known or not."""
    knowledge = Knowledge(settled=(FORGED, VOTE))
    assert knowledge.judge(votes(FORGED, VOTE, attempt=1)).admission is REJECT
    assert get_votes(knowledge.judge(votes(VOTE, FORGED, attempt=1))) == (VOTE,)


def test_a_repetition_of_known_votes_passes_with_its_oldest() -> None:
    """C16, W4: it tells how far behind its sender is, although it adds nothing."""
    old = make_vote(LEDGER.founders[0], NOTARIZE, 3, make_block(3))
    knowledge = Knowledge(finalized_view=View(4), settled=(VOTE,))
    assert get_votes(knowledge.judge(votes(old, VOTE, attempt=7))) == (old,)
    assert get_votes(knowledge.judge(votes(old, OTHER_VOTE, attempt=7))) == (old, OTHER_VOTE)


def test_only_new_certificates_reach_consensus() -> None:
    known, forged, new = (
        make_certificate(NULLIFY, 5),
        make_certificate(NULLIFY, 4, count=1),
        make_certificate(NULLIFY, 6),
    )
    knowledge = Knowledge(finalized_view=View(4), certificates=(known,))
    event = knowledge.judge(certificates(known, forged, new)).event
    assert isinstance(event, ConsensusReceived)
    assert event.message == certificates(new)


def test_certificates_inside_a_proposal_are_not_the_forwarders_fault() -> None:
    """C3: consensus judges them, and does not vote."""
    spoilt: Proposal = make_proposal(make_block(6, tip_of(BLOCK)), make_certificate(NOTARIZE, 5, BLOCK, count=2))
    assert Knowledge().judge(spoilt).admission is ACCEPT


def sign(sequence: int = 0, *, keys: FounderKeys = LEDGER.founders[0], chain: Digest = CHAIN) -> bytes:
    return encode_operation(chain, keys.signing_key, Sequence(sequence), Bond(amount=Stake(1)))


def test_a_good_operation_becomes_an_input() -> None:
    encoded = sign()
    expected = Admitted(admission=ACCEPT, event=OperationReceived(operation=encoded), reason="")
    assert Knowledge().judge_operation(encoded) == expected
    assert Knowledge().judge_operation(encoded, attempt=3) == expected


@pytest.mark.parametrize(
    ("encoded", "error"),
    [
        pytest.param(sign(keys=STRANGER), "no member", id="of no member"),
        pytest.param(sign(chain=make_digest("other chain")), "wrong operation signature", id="of another chain"),
        pytest.param(sign()[:-1], "not msgpack", id="cut off"),
        pytest.param(bytes(OPERATION_BYTES_MAX + 1), "at most", id="too long"),
    ],
)
def test_an_operation_that_breaks_a_rule_is_rejected(encoded: bytes, error: str) -> None:
    admitted = Knowledge().judge_operation(encoded)
    assert admitted.admission is REJECT
    assert error in admitted.reason


def test_an_executed_operation_is_ignored_however_often_it_is_sent_again() -> None:
    """W3: anybody could raise the attempt number, and everybody would forward it for ever."""
    assert Knowledge(next_sequence=Sequence(4)).judge_operation(sign(4)).admission is ACCEPT
    assert Knowledge(next_sequence=Sequence(5)).judge_operation(sign(4), attempt=99).admission is IGNORE


def test_a_message_over_the_limit_is_rejected() -> None:
    """W1, W3."""
    admitted = Knowledge().admission.judge(Topic.CONSENSUS, bytes(CONSENSUS_MESSAGE_BYTES_MAX + 1))
    assert (admitted.admission, "at most" in admitted.reason) == (REJECT, True)


def make_partial_message(*, round_number: int = 5, signer: int = 0) -> PartialMessage:
    partial = Partial(
        member=LEDGER.founders[0].member,
        round=Round(round_number),
        key_epoch=Epoch(1),
        signature=BlsSignature(bytes(48)),
    )
    signature = LEDGER.founders[signer].signing_key.sign(Domain.PARTIAL, CHAIN, encode(partial))
    return PartialMessage(partial=partial, signature=signature, attempt=0)


def test_a_partial_is_accepted_from_its_member_whatever_it_is_worth() -> None:
    """B3: whether it is right is seen when it is combined."""
    message = make_partial_message()
    admitted = Knowledge().judge_partial(message)
    assert (admitted.admission, admitted.event) == (ACCEPT, PartialReceived(partial=message.partial))


def test_a_partial_that_somebody_else_signed_is_rejected() -> None:
    """B3: nobody is blamed for another's."""
    assert Knowledge().judge_partial(make_partial_message(signer=1)).admission is REJECT


def test_a_partial_of_a_round_that_is_drawn_is_ignored() -> None:
    assert Knowledge().judge_partial(make_partial_message(round_number=4)).admission is IGNORE


def test_what_is_no_partial_is_rejected() -> None:
    assert Knowledge().admission.judge(Topic.BEACON, b"").admission is REJECT


@given(topic=st.sampled_from(Topic), message=st.binary(max_size=300))
def test_any_bytes_are_judged(topic: Topic, message: bytes) -> None:
    """W1: nothing that a stranger sends raises anything here."""
    assert Knowledge().admission.judge(topic, message).admission is REJECT


@given(data=st.data())
def test_a_changed_message_is_never_accepted_as_the_same_member_of_another_view(data: st.DataObject) -> None:
    """C15: flipping any byte of a signed vote makes it no vote."""
    encoded = bytearray(encode_union(votes(make_vote(LEDGER.founders[1], FINALIZE, 5, BLOCK)), ConsensusMessage))
    place = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(min_value=1, max_value=255))
    admitted = Knowledge().admission.judge(Topic.CONSENSUS, bytes(encoded))
    # The last byte is the attempt counter, which is nobody's statement; a view that is over is ignored unseen.
    assert (admitted.admission is not ACCEPT) or place == len(encoded) - 1
