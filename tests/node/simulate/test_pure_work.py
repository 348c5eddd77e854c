"""Sharing work between members changes nothing but the time that it takes."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

import node.simulate.run
import protocol.blocks
import protocol.bls.encryption
import protocol.codec
import protocol.engine
import protocol.votes
from node.simulate.plan import SimulationPlan
from node.simulate.pure_work import share_pure_work
from node.simulate.result import build_summary
from node.simulate.run import run_simulation
from protocol.bls import BlsSigningKey, compute_ephemeral_key, derive_ephemeral_secret
from protocol.crypto import Domain, SigningKey
from protocol.errors import InvalidMessage
from protocol.units import Digest, Epoch, View
from protocol.validators import ValidatorSet
from protocol.votes import VoteKind, sign_vote

CHAIN = Digest(bytes(32))
PLAN = SimulationPlan(node_count=4, round_count=2, proposer_count=2, attack="sign_flip", fraction=0.25)


def test_a_run_that_shares_nothing_has_the_same_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    # Short epochs, so that validators change on the way.
    plan = replace(PLAN, settings=("epoch_blocks=5",))
    shared = build_summary(run_simulation(plan))
    monkeypatch.setattr(node.simulate.run, "share_pure_work", nullcontext)
    alone = build_summary(run_simulation(plan))
    assert alone | {"elapsed_s": 0} == shared | {"elapsed_s": 0}


def test_everything_is_as_before_when_the_simulation_is_over() -> None:
    places = [
        (protocol.engine, "apply_block"),
        (protocol.codec, "_decode"),
        (protocol.votes, "check_signature"),
        (protocol.blocks, "check_bls_signature"),
        (SigningKey, "sign"),
        (BlsSigningKey, "sign"),
        (BlsSigningKey, "compute_shared_point"),
        (protocol.bls.encryption, "compute_dealt_point"),
        (ValidatorSet, "compute_weight"),
    ]
    before = [getattr(place, name) for place, name in places]
    with share_pure_work():
        assert all(getattr(place, name) is not old for (place, name), old in zip(places, before, strict=True))
    assert [getattr(place, name) for place, name in places] == before


def test_wrong_signatures_stay_wrong() -> None:
    key = SigningKey(bytes(range(32)))
    with share_pure_work():
        vote = sign_vote(CHAIN, key, epoch=Epoch(0), kind=VoteKind.NULLIFY, view=View(3), block_hash=None)
        protocol.votes.check_vote(CHAIN, vote)
        for forged in (
            replace(vote, view=View(4)),
            replace(vote, signature=type(vote.signature)(bytes(64))),
            replace(vote, member=SigningKey(bytes(32)).member),
        ):
            for _ in range(2):
                with pytest.raises(InvalidMessage):
                    protocol.votes.check_vote(CHAIN, forged)
        with pytest.raises(InvalidMessage):
            protocol.votes.check_vote(Digest(bytes([1]) * 32), vote)


def test_wrong_bls_signatures_stay_wrong() -> None:
    one, other = BlsSigningKey(bytes(range(48))), BlsSigningKey(bytes(range(1, 49)))
    with share_pure_work():
        check = vars(protocol.blocks)["check_bls_signature"]
        signature = one.sign(Domain.REVEAL, CHAIN, b"message")
        check(one.public_key, Domain.REVEAL, CHAIN, b"message", signature)
        with pytest.raises(InvalidMessage):
            check(other.public_key, Domain.REVEAL, CHAIN, b"message", signature)
        with pytest.raises(InvalidMessage):
            check(one.public_key, Domain.REVEAL, CHAIN, b"another", signature)


def test_a_dealers_point_is_the_recipients_and_nobody_elses() -> None:
    secret = derive_ephemeral_secret(bytes(range(32)))
    one, other = BlsSigningKey(bytes(range(48))), BlsSigningKey(bytes(range(1, 49)))
    alone = one.compute_shared_point(compute_ephemeral_key(secret))
    with share_pure_work():
        assert protocol.bls.encryption.compute_dealt_point(secret, one.public_key) == alone
        assert one.compute_shared_point(compute_ephemeral_key(secret)) == alone
        assert other.compute_shared_point(compute_ephemeral_key(secret)) != alone
