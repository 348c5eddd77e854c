"""Values of a round that fit the ledger's state: digests, manifests, ballots and their openings, evidence."""

import hashlib
from collections.abc import Sequence as Items
from typing import Final

from protocol.crypto import SigningKey
from protocol.evidence import ConflictingVotes, build_vote_evidence
from protocol.genesis import FIRST_EPOCH
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec, compute_update_size_bytes
from protocol.ledger.state import RoundState
from protocol.operations import Ballot, RevealBallot, SubmitUpdate
from protocol.units import Digest, MemberId, Salt, View
from protocol.votes import VoteKind, sign_vote

SCHEMA: Final = ModelSchema(
    tensors=(
        TensorSpec(name="weight", shape=(4, 3), dtype=TensorDtype.F32, is_trainable=True),
        TensorSpec(name="bias", shape=(3,), dtype=TensorDtype.F32, is_trainable=True),
        TensorSpec(name="frozen", shape=(2,), dtype=TensorDtype.F32, is_trainable=False),
    )
)


def make_digest(*words: str | int | bytes) -> Digest:
    """Return a digest that depends on all words, for anything that only needs to be told apart."""
    return Digest(hashlib.sha256(repr(words).encode()).digest())


def make_manifest(round_state: RoundState, *, artifact: Digest, example_count: int = 100) -> SubmitUpdate:
    """Return a legal manifest for a round."""
    return SubmitUpdate(
        round=round_state.round,
        base_digest=round_state.base_digest,
        scale_exponents=(-20, -20),
        artifact_digest=artifact,
        artifact_bytes=compute_update_size_bytes(SCHEMA),
        example_count=example_count,
    )


def make_ballot(
    round_state: RoundState,
    *,
    is_accept: bool = True,
    candidate: Digest | None = None,
    flags: Items[bool] | None = None,
    is_base_flagged: bool = False,
) -> Ballot:
    """Return a ballot that fits a round; the candidate is a function of the round unless given."""
    return Ballot(
        candidate_digest=candidate or make_candidate(round_state),
        is_accept=is_accept,
        update_flags=tuple(flags) if flags is not None else (False,) * len(round_state.updates),
        is_base_flagged=is_base_flagged,
    )


def make_candidate(round_state: RoundState) -> Digest:
    """Return what stands for the candidate that a round's updates aggregate to."""
    return make_digest("candidate", *[entry.manifest.artifact_digest for entry in round_state.updates])


def make_salt(member: MemberId, round_state: RoundState) -> Salt:
    """Return the salt of a member's seal in a round."""
    return Salt(make_digest("salt", member, round_state.round))


def make_equivocation(chain_id: Digest, key: SigningKey, view: View) -> ConflictingVotes:
    """Return evidence that a key notarized two blocks in one view."""
    first, second = (
        sign_vote(
            chain_id, key, epoch=FIRST_EPOCH, kind=VoteKind.NOTARIZE, view=view, block_hash=make_digest("fork", fork)
        )
        for fork in range(2)
    )
    return build_vote_evidence(first, second)


def make_reveal(round_state: RoundState, member: MemberId, ballot: Ballot) -> RevealBallot:
    """Return the opening of the seal that :meth:`LedgerBuilder.run_sealing` makes."""
    return RevealBallot(
        round=round_state.round, attempt=round_state.attempt, ballot=ballot, salt=make_salt(member, round_state)
    )
