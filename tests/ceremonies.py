"""Key generations on a test's ledger: honest deals, spoiled ones, shares of the key, and outputs under it."""

from dataclasses import replace

from protocol.beacon.dealing import Ceremony, build_deal, derive_share, find_complaints
from protocol.beacon.group_key import GroupKey
from protocol.blocks import BeaconProof
from protocol.bls import combine, sign_partial
from protocol.ledger.state import build_ceremony
from protocol.operations import Complain, PostDeal
from protocol.units import BlsScalar, MemberId, Round
from tests.founders import FounderKeys
from tests.helpers import LedgerBuilder
from tests.values import make_digest


def get_ceremony(builder: LedgerBuilder) -> Ceremony:
    """Return the key generation of the ledger's epoch."""
    state = builder.state
    return build_ceremony(state.chain_id, state.epoch, state.validators, state.members)


def make_deal(builder: LedgerBuilder, founder: int) -> PostDeal:
    """Return a founder's deal for the ledger's epoch."""
    return build_deal(get_ceremony(builder), builder.founders[founder].member, make_digest("deals", founder))


def spoil_share(builder: LedgerBuilder, deal: PostDeal, recipient: MemberId) -> PostDeal:
    """Return a deal with a wrong share for one recipient, which its proofs do not cover."""
    place = get_ceremony(builder).dealers.index(recipient) * 32 + 31
    return replace(deal, shares=deal.shares[:place] + bytes([deal.shares[place] ^ 1]) + deal.shares[place + 1 :])


def complain(builder: LedgerBuilder, complainer: FounderKeys, dealer: MemberId) -> Complain:
    """Return a complaint about what a dealer dealt, whether it is right or not."""
    deal = next(entry.deal for entry in builder.state.deals if entry.dealer == dealer)
    changed = replace(deal, commitments=deal.commitments[:96] * 2 + deal.commitments[192:])
    (complaint,) = find_complaints(get_ceremony(builder), [(dealer, changed)], complainer.bls_key)
    return complaint


def run_ceremony(builder: LedgerBuilder, *dealers: int) -> None:
    """Let founders deal, and end the epoch."""
    epoch = builder.state.epoch
    builder.add_payloads(*[(builder.founders[founder].member, make_deal(builder, founder)) for founder in dealers])
    while builder.state.epoch == epoch:
        builder.add_block()


def get_share(builder: LedgerBuilder, key: GroupKey, keys: FounderKeys) -> BlsScalar:
    """Return a founder's share of a key."""
    return derive_share(builder.chain_id, key, keys.member, keys.bls_key)


def make_proof(builder: LedgerBuilder, key: GroupKey, round_number: Round) -> BeaconProof:
    """Return a round's output under a key, as its holders make it."""
    partials = {
        key.holders.index(keys.member): sign_partial(get_share(builder, key, keys), round_number)
        for keys in builder.founders
        if keys.member in key.holders
    }
    signature = combine(partials, key.threshold)
    return BeaconProof(round=round_number, key_epoch=key.epoch, signature=signature)
