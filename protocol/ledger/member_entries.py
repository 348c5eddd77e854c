"""Who the members are, who of them validates, and who wants to become one; changes between epochs (C13, L9)."""

from dataclasses import dataclass

from protocol.cards import CardContent
from protocol.units import BlsPublicKey, Epoch, MemberId, Stake, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEntry:
    """Who a member is, for people and for those who connect to it (L1); changes between epochs only."""

    member: MemberId
    name: str
    bls_key: BlsPublicKey
    addresses: tuple[str, ...]
    """Where to dial it first; a node's own configuration can override them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorWeight:
    """A member's weight in the consensus of the current epoch."""

    member: MemberId
    weight: Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidacy:
    """A newcomer that waits for approval (L9)."""

    card: CardContent
    bond: Stake
    """What it will have bonded; created when it joins."""
    asked_epoch: Epoch
    approvals: tuple[MemberId, ...]
    """In the order of approving; the first is whoever asked."""
