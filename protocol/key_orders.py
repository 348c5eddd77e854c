"""Computations on the curve that take too long for an event loop: the orders for them, and what they come to (B4).

:mod:`protocol.key_work` does them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.beacon.dealing import Ceremony
from protocol.beacon.group_key import GroupKey
from protocol.operations import Complain, PostDeal
from protocol.units import BlsScalar, Digest, Epoch, MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDeal:
    """Compute this node's deal; answered by DealMade."""

    ceremony: Ceremony


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDeals:
    """Check the shares dealt to this node; answered by DealsChecked."""

    ceremony: Ceremony
    deals: tuple[tuple[MemberId, PostDeal], ...]
    """With their dealers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeriveShare:
    """Derive this node's share of a group key; answered by ShareDerived."""

    chain_id: Digest
    key: GroupKey


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeDeal:
    """Check a deal ahead of the block that orders it, so that executing the block takes no time; not answered."""

    ceremony: Ceremony
    dealer: MemberId
    deal: PostDeal


KeyWork: TypeAlias = MakeDeal | CheckDeals | DeriveShare | JudgeDeal
"""What the shell is asked to compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DealMade:
    """This node's deal of a ceremony is computed (B4)."""

    deal: PostDeal


@dataclass(frozen=True, slots=True, kw_only=True)
class DealsChecked:
    """The shares that a ceremony dealt to this node are checked (B4)."""

    epoch: Epoch
    complaints: tuple[Complain, ...]
    """One about every deal whose share is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareDerived:
    """This node's share of a group key is derived from the ledger (B4)."""

    key_epoch: Epoch
    share: BlsScalar | None
    """None if it does not fit the key: a dealer cheated, and the complaint did not come in time."""


KeyWorkDone: TypeAlias = DealMade | DealsChecked | ShareDerived
"""What comes back."""
