"""What a :data:`KeyWork` order comes to: functions of the order and of this member's long-term keys (B4).

The shell calls this off its event loop, since each takes from milliseconds to a second; the simulator calls it in
place.
"""

from dataclasses import dataclass
from typing import assert_never

from protocol.beacon.dealing import build_deal, check_deal, derive_share, find_complaints
from protocol.beacon.group_key import split_points
from protocol.bls import BlsSigningKey, check_share
from protocol.errors import InvalidMessage
from protocol.key_orders import (
    CheckDeals,
    DealMade,
    DealsChecked,
    DeriveShare,
    JudgeDeal,
    KeyWork,
    MakeDeal,
    ShareDerived,
)
from protocol.units import MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """Whose keys do the work."""

    member: MemberId
    bls_key: BlsSigningKey
    secret: bytes
    """32 bytes that nobody else knows; deals derive from them."""


def do_key_work(holder: KeyHolder, work: KeyWork) -> DealMade | DealsChecked | ShareDerived | None:
    """Return the fact that an order comes to; None for one that only spares a later one its time."""
    match work:
        case MakeDeal(ceremony=ceremony):
            return DealMade(deal=build_deal(ceremony, holder.member, holder.secret))
        case CheckDeals(ceremony=ceremony, deals=deals):
            complaints = find_complaints(ceremony, deals, holder.bls_key)
            return DealsChecked(epoch=ceremony.epoch, complaints=complaints)
        case DeriveShare(chain_id=chain_id, key=key):
            share = derive_share(chain_id, key, holder.member, holder.bls_key)
            try:
                check_share(split_points(key.commitments), key.holders.index(holder.member), share)
            except InvalidMessage:
                return ShareDerived(key_epoch=key.epoch, share=None)
            return ShareDerived(key_epoch=key.epoch, share=share)
        case JudgeDeal(ceremony=ceremony, dealer=dealer, deal=deal):
            try:
                check_deal(ceremony, dealer, deal)
            except InvalidMessage:
                # The ledger will come to the same, and record it.
                return None
            return None
        case _:
            assert_never(work)
