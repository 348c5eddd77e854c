"""Which vote may follow which in one view: all pairs (C3, C4, C5)."""

import itertools

import pytest

from protocol.consensus.checks import ConsensusConfig
from protocol.consensus.own_votes import OwnVotes
from protocol.consensus.voting_guard import VotingGuard
from protocol.units import Digest, Epoch, View
from protocol.votes import VoteKind
from tests.helpers import CREATED_MS
from tests.protocol.consensus.rig import CHAIN, FINALIZE, LEDGER, NOTARIZE, NULLIFY, PARAMETERS, VALIDATORS
from tests.values import make_digest

ME = LEDGER.founders[0]
VIEW = View(5)
MAY_FOLLOW = {(NOTARIZE, NULLIFY), (NOTARIZE, FINALIZE), (FINALIZE, NOTARIZE)}
"""A node that catches up may finalize first and notarize later; it says nothing else twice or both ways."""


def make_own_votes() -> OwnVotes:
    guard = VotingGuard(ME.signing_key, PARAMETERS, started_ms=CREATED_MS, tip=(Epoch(0), View(0)), has_vote_log=True)
    for keys in LEDGER.founders:
        guard.on_witness(keys.member)
    config = ConsensusConfig(
        chain_id=CHAIN,
        parameters=PARAMETERS,
        validators=VALIDATORS,
        key=ME.signing_key,
        bls_key=ME.bls_key,
        started_ms=CREATED_MS,
    )
    return OwnVotes(config, guard)


def get_block_hash(kind: VoteKind) -> Digest | None:
    return None if kind is NULLIFY else make_digest("block")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(VoteKind, VoteKind)))
def test_a_vote_follows_another_only_where_the_rules_allow_it(first: VoteKind, second: VoteKind) -> None:
    own = make_own_votes()
    assert own.is_free_to_cast(first, VIEW)
    own.cast(first, VIEW, get_block_hash(first))
    assert own.is_free_to_cast(second, VIEW) == ((first, second) in MAY_FOLLOW)
    assert own.is_free_to_cast(second, View(VIEW + 1))
