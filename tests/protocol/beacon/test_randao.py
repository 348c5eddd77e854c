"""The RANDAO mix (B5): every reveal, and nothing else, changes it."""

from protocol.beacon.randao import compute_first_mix, fold_mix
from protocol.units import BlsSignature
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_digest

REVEALS = (BlsSignature(bytes([1]) * 48), BlsSignature(bytes([2]) * 48))


def test_the_first_mix_depends_on_chain_and_seed() -> None:
    first = compute_first_mix(make_digest("chain"), make_digest("seed"))
    assert first == compute_first_mix(make_digest("chain"), make_digest("seed"))
    assert first != compute_first_mix(make_digest("other chain"), make_digest("seed"))
    assert first != compute_first_mix(make_digest("chain"), make_digest("other seed"))


def test_the_mix_depends_on_every_reveal_and_their_order() -> None:
    start = compute_first_mix(make_digest("chain"), make_digest("seed"))
    forwards = fold_mix(fold_mix(start, REVEALS[0]), REVEALS[1])
    backwards = fold_mix(fold_mix(start, REVEALS[1]), REVEALS[0])
    assert len({start, fold_mix(start, REVEALS[0]), forwards, backwards}) == 4


def test_a_block_folds_its_leaders_reveal_into_the_mix() -> None:
    builder = LedgerBuilder(make_founders(4))
    before = builder.state.mix
    builder.add_block()
    assert builder.state.mix == fold_mix(before, builder.blocks[0].block.header.reveal)


def test_time_and_operations_of_a_block_leave_the_mix_alone() -> None:
    """F2: no block hash, operations root or timestamp may enter a draw."""
    early, late = LedgerBuilder(make_founders(4)), LedgerBuilder(make_founders(4))
    early.add_block()
    late.add_block(time_ms=type(late.state.time_ms)(late.state.time_ms + 4_321))
    assert early.state.block_hash != late.state.block_hash
    assert early.state.mix == late.state.mix
