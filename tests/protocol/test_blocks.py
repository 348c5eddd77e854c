"""What a block's hash and signature cover, and the leader's reveal (B5, W2)."""

from dataclasses import fields, replace

import pytest

from protocol.blocks import (
    BeaconProof,
    BlockHeader,
    check_block_signature,
    check_reveal,
    compute_block_hash,
    compute_operations_root,
    compute_reveal,
    sign_block,
)
from protocol.errors import InvalidMessage
from protocol.units import BlsSignature, Digest, Epoch, Height, MemberId, Millis, Round, View
from tests.helpers import FounderKeys, make_founders
from tests.values import make_digest

CHAIN, OTHER_CHAIN = make_digest("chain"), make_digest("other chain")
LEADER, OTHER = make_founders(2)
HEADER = BlockHeader(
    epoch=Epoch(0),
    view=View(3),
    parent_view=View(2),
    parent_hash=make_digest("parent"),
    height=Height(2),
    time_ms=Millis(1_000),
    operations_root=compute_operations_root((b"one",)),
    reveal=compute_reveal(CHAIN, LEADER.bls_key, Epoch(0), View(3)),
    leader=LEADER.member,
)
CHANGES: dict[str, object] = {
    "epoch": Epoch(1),
    "view": View(4),
    "parent_view": View(1),
    "parent_hash": make_digest("other parent"),
    "height": Height(3),
    "time_ms": Millis(1_001),
    "operations_root": compute_operations_root((b"two",)),
    "reveal": BlsSignature(bytes(48)),
    "leader": OTHER.member,
    "beacon": BeaconProof(round=Round(1), key_epoch=Epoch(1), signature=BlsSignature(bytes(48))),
}


def test_the_changes_below_are_about_every_field() -> None:
    assert list(CHANGES) == [field.name for field in fields(BlockHeader)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_block_hash_covers_every_field(name: str) -> None:
    """C7: whoever certifies a hash certifies all of the block."""
    changed: BlockHeader = replace(HEADER, **{name: CHANGES[name]})  # type: ignore[arg-type]
    assert compute_block_hash(CHAIN, changed) != compute_block_hash(CHAIN, HEADER)


def test_a_block_hash_names_the_chain() -> None:
    """W2."""
    assert compute_block_hash(CHAIN, HEADER) != compute_block_hash(OTHER_CHAIN, HEADER)


def test_an_operations_root_covers_operations_and_their_order() -> None:
    roots = [compute_operations_root(operations) for operations in ((), (b"",), (b"a", b"b"), (b"b", b"a"), (b"ab",))]
    assert len(set(roots)) == len(roots)


def test_a_leader_signs_its_block() -> None:
    block = sign_block(CHAIN, LEADER.signing_key, HEADER, (b"one",))
    check_block_signature(CHAIN, HEADER, block.signature)


@pytest.mark.parametrize(
    ("chain", "header", "signer"),
    [
        pytest.param(OTHER_CHAIN, HEADER, LEADER, id="another chain"),
        pytest.param(CHAIN, replace(HEADER, time_ms=Millis(2_000)), LEADER, id="another block"),
        pytest.param(CHAIN, HEADER, OTHER, id="another signer"),
    ],
)
def test_a_block_of_somebody_else_is_refused(chain: Digest, header: BlockHeader, signer: FounderKeys) -> None:
    """C3, W2."""
    block = sign_block(CHAIN, signer.signing_key, HEADER, (b"one",))
    with pytest.raises(InvalidMessage, match="wrong proposal signature"):
        check_block_signature(chain, header, block.signature)


def test_a_leaders_reveal_verifies() -> None:
    """B5."""
    check_reveal(CHAIN, LEADER.founder.bls_key, HEADER)


@pytest.mark.parametrize(
    ("reveal", "error"),
    [
        pytest.param(compute_reveal(CHAIN, LEADER.bls_key, Epoch(0), View(4)), "does not verify", id="of another view"),
        pytest.param(
            compute_reveal(CHAIN, LEADER.bls_key, Epoch(1), View(3)), "does not verify", id="of another epoch"
        ),
        pytest.param(
            compute_reveal(OTHER_CHAIN, LEADER.bls_key, Epoch(0), View(3)), "does not verify", id="of another chain"
        ),
        pytest.param(
            compute_reveal(CHAIN, OTHER.bls_key, Epoch(0), View(3)), "does not verify", id="of another member"
        ),
        pytest.param(BlsSignature(bytes(48)), "no point of the group", id="no point"),
    ],
)
def test_any_other_reveal_is_refused(reveal: BlsSignature, error: str) -> None:
    """B5: a leader that could choose its reveal could choose the draw."""
    with pytest.raises(InvalidMessage, match=error):
        check_reveal(CHAIN, LEADER.founder.bls_key, replace(HEADER, reveal=reveal))


def test_hashes_are_pinned() -> None:
    zeros = replace(HEADER, parent_hash=Digest(bytes(32)), reveal=BlsSignature(bytes(48)), leader=MemberId(bytes(32)))
    assert compute_operations_root((b"one",)).hex() == (
        "3dbf38da8c826f2bb47fe15705fc9f1044e41f3a6a4bd201aafc77e3be2b3b46"
    )
    assert compute_block_hash(Digest(bytes(32)), zeros).hex() == (
        "ce8eb85333122117139de29d968f95237e2ceddc0348c17e02691cef9a76cf65"
    )
