"""The audit of an export in which blocks, signatures, certificates or frames were changed."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest

from protocol.blocks import BlockHeader, compute_operations_root, compute_reveal
from protocol.codec import encode, encode_union
from protocol.export import EXPORT_MAGIC, ExportedBlock, ExportFrame, ExportTrailer, write_export
from protocol.units import Epoch, Height, Millis, Stake, View
from protocol.votes import VoteKind
from tests.helpers import LedgerBuilder, certify, make_digest
from tests.protocol.audit.chains import (
    build_chain,
    build_tiny_chain,
    expect_failure,
    find_height_with_refusal,
    resign,
    rewrite,
    rewrite_header,
    verify,
    write,
)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(lambda h: replace(h, height=Height(4)), "next height is 3", id="height"),
        pytest.param(lambda h: replace(h, parent_hash=make_digest("x")), "parent is not", id="parent"),
        pytest.param(lambda h: replace(h, epoch=Epoch(1)), "of epoch 1", id="epoch"),
        pytest.param(lambda h: replace(h, view=h.parent_view), "is not above its parent's", id="view"),
        pytest.param(lambda h: replace(h, time_ms=Millis(1)), "is not above its parent's", id="time"),
        pytest.param(lambda h: replace(h, operations_root=make_digest("x")), "not those of the header", id="root"),
    ],
)
def test_a_header_that_its_leader_forged_is_named(change: Callable[[BlockHeader], BlockHeader], what: str) -> None:
    failure = expect_failure(rewrite_header(3, change))
    assert failure.height == 3
    assert what in failure.what


def test_a_block_of_another_leader_than_the_drawn_one_is_named() -> None:
    builder = build_chain()
    drawn = builder.blocks[2].block.header.leader
    other = next(keys for keys in builder.founders if keys.member != drawn)

    def usurp(header: BlockHeader) -> BlockHeader:
        reveal = compute_reveal(builder.chain_id, other.bls_key, header.epoch, header.view)
        return replace(header, leader=other.member, reveal=reveal)

    failure = expect_failure(rewrite_header(3, usurp))
    assert failure.what == (f"led by {other.member.hex()[:8]}, the leader drawn for view 3 is {drawn.hex()[:8]}")


def test_another_members_reveal_is_named() -> None:
    builder = build_chain()
    leader = builder.blocks[2].block.header.leader
    other = next(keys for keys in builder.founders if keys.member != leader)
    reveal = compute_reveal(builder.chain_id, other.bls_key, Epoch(0), View(3))
    failure = expect_failure(rewrite_header(3, lambda header: replace(header, reveal=reveal)))
    assert (failure.height, failure.what) == (3, "a BLS signature does not verify")


def test_a_wrong_leaders_signature_is_named() -> None:
    builder = build_chain()
    signature = builder.blocks[0].block.signature
    failure = expect_failure(
        rewrite(3, lambda exported: replace(exported, block=replace(exported.block, signature=signature)))
    )
    assert failure.height == 3
    assert "wrong proposal signature" in failure.what


def test_an_operation_left_out_is_named() -> None:
    height = find_height_with_refusal()
    failure = expect_failure(
        rewrite(
            height,
            lambda exported: replace(exported, block=replace(exported.block, operations=exported.block.operations[1:])),
        )
    )
    assert (failure.height, failure.what) == (height, "the operations are not those of the header")


def rewrite_operations(height: int, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> bytes:
    """Return the export with other operations in a block whose leader signed for them: a colluding leader."""
    builder = build_chain()

    def change_block(exported: ExportedBlock) -> ExportedBlock:
        operations = change(exported.block.operations)
        header = replace(exported.block.header, operations_root=compute_operations_root(operations))
        return replace(exported, block=resign(builder, header, operations))

    return rewrite(height, change_block)


def test_an_operation_that_its_member_did_not_sign_is_named() -> None:
    height = find_height_with_refusal()

    def forge(operations: tuple[bytes, ...]) -> tuple[bytes, ...]:
        first, *others = operations
        return (first[:-1] + bytes([first[-1] ^ 1]), *others)

    forged = expect_failure(rewrite_operations(height, forge))
    assert forged.height == height
    assert "wrong operation signature" in forged.what


def test_a_leader_that_orders_other_operations_changes_what_the_block_did() -> None:
    height = find_height_with_refusal()
    failure = expect_failure(rewrite_operations(height, lambda operations: operations[::-1]))
    assert failure.height == height
    assert failure.what.startswith("operation 0")


def recertify(change_kind: VoteKind = VoteKind.FINALIZE, *, height: int | None = None, signers: int = 4) -> bytes:
    """Return the export with another certificate at its end."""
    builder = build_chain()
    tip = len(builder.blocks)
    header = builder.blocks[(height or tip) - 1].block.header
    certificate = certify(builder.chain_id, builder.validators, builder.founders[:signers], header, change_kind)
    return rewrite(tip, lambda exported: replace(exported, certificate=certificate))


def test_three_of_four_equal_members_are_a_quorum() -> None:
    assert verify(recertify(signers=3)).height == build_chain().state.height


def test_a_certificate_without_a_quorum_is_named() -> None:
    failure = expect_failure(recertify(signers=2))
    assert (failure.height, failure.what) == (build_chain().state.height, "a certificate's signers hold no quorum")


def test_a_notarization_finalizes_nothing() -> None:
    assert expect_failure(recertify(VoteKind.NOTARIZE)).what.endswith("is for NOTARIZE, not FINALIZE")


def test_a_certificate_of_another_block_is_named() -> None:
    assert expect_failure(recertify(height=2)).what.endswith("is of another block")


def test_one_wrong_signature_in_a_certificate_is_named() -> None:
    builder = build_chain()

    def change(exported: ExportedBlock) -> ExportedBlock:
        assert exported.certificate is not None
        first, second, *others = exported.certificate.signatures
        return replace(exported, certificate=replace(exported.certificate, signatures=(second, first, *others)))

    failure = expect_failure(rewrite(len(builder.blocks), change))
    assert "wrong vote signature" in failure.what


def test_an_export_whose_tip_nobody_finalized_is_refused() -> None:
    builder = build_chain()
    blocks = builder.export()
    certified = write(builder.genesis, blocks)
    without = encode_frames(builder, (*blocks[:-1], replace(blocks[-1], certificate=None)), certified)
    failure = expect_failure(without)
    assert (failure.height, failure.what) == (builder.state.height, "the last block has no finalization certificate")


def encode_frames(builder: LedgerBuilder, blocks: tuple[ExportedBlock, ...], certified: bytes) -> bytes:
    """Return an export as a dishonest writer makes it, with the trailer of a good one."""
    frames = [encode(builder.genesis), *[encode_union(exported, ExportFrame) for exported in blocks]]
    trailer = certified[-find_trailer_length(certified) :]
    return EXPORT_MAGIC + b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames) + trailer


def find_trailer_length(encoded: bytes) -> int:
    position = len(EXPORT_MAGIC)
    while True:
        length = 4 + int.from_bytes(encoded[position : position + 4], "big")
        if position + length == len(encoded):
            return length
        position += length


def test_a_dropped_block_is_named() -> None:
    builder = build_chain()
    blocks = builder.export()
    failure = expect_failure(write(builder.genesis, (*blocks[:2], *blocks[3:])))
    assert (failure.height, failure.what) == (3, "the ledger's next height is 3")


def test_two_swapped_blocks_are_named() -> None:
    builder = build_chain()
    blocks = builder.export()
    failure = expect_failure(write(builder.genesis, (blocks[1], blocks[0], *blocks[2:])))
    assert failure.height == 1


def test_another_genesis_parameter_makes_it_another_chain() -> None:
    builder = build_chain()
    parameters = replace(builder.genesis.parameters, reward_vote=Stake(2_000_000))
    failure = expect_failure(write(replace(builder.genesis, parameters=parameters), builder.export()))
    assert failure.height == 1
    assert "its parent is not" in failure.what


def test_a_genesis_document_that_breaks_a_rule_is_named_at_height_zero() -> None:
    builder = build_chain()
    founders = builder.genesis.founders[::-1]
    failure = expect_failure(write(replace(builder.genesis, founders=founders), builder.export()))
    assert failure.height == 0
    assert "sorted by member" in failure.what


def test_an_export_cut_off_between_frames_is_named() -> None:
    builder = build_chain()
    encoded = write(builder.genesis, builder.export())
    failure = expect_failure(encoded[: -find_trailer_length(encoded)])
    assert failure.what == "the export ends without its trailer"


def test_bytes_after_the_trailer_are_named() -> None:
    builder = build_chain()
    failure = expect_failure(write(builder.genesis, builder.export()) + b"\x00")
    assert (failure.height, failure.what) == (builder.state.height, "there are bytes after the trailer")


def test_a_shortened_export_is_good_only_with_a_certificate_of_its_own() -> None:
    builder = build_chain()
    prefix = builder.export(certified=lambda height: height == 5)[:5]
    assert verify(write(builder.genesis, prefix)).height == 5


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("height", lambda trailer: replace(trailer, height=Height(7))),
        ("block_count", lambda trailer: replace(trailer, block_count=7)),
        ("tip_hash", lambda trailer: replace(trailer, tip_hash=make_digest("x"))),
        ("state_root", lambda trailer: replace(trailer, state_root=make_digest("x"))),
    ],
)
def test_a_trailer_that_promises_something_else_is_named(
    name: str, change: Callable[[ExportTrailer], ExportTrailer]
) -> None:
    builder = build_tiny_chain()
    target = BytesIO()
    trailer = write_export(target, builder.genesis, builder.export())
    good = target.getvalue()
    changed = encode_union(change(trailer), ExportFrame)
    failure = expect_failure(good[: -find_trailer_length(good)] + len(changed).to_bytes(4, "big") + changed)
    assert (failure.height, failure.what) == (2, f"the trailer's {name} is not that of the last block")
