"""Founders with their keys, the same ones in every test."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from protocol.bls import BlsSigningKey
from protocol.crypto import SigningKey
from protocol.genesis import Founder
from protocol.parameters import Parameters
from protocol.units import MemberId, Stake
from tests.values import make_digest

STAKE: Final = Parameters().stake_initial


@dataclass(frozen=True, slots=True, kw_only=True)
class FounderKeys:
    """A founder with its secrets."""

    signing_key: SigningKey
    bls_key: BlsSigningKey
    founder: Founder

    @property
    def member(self) -> MemberId:
        """The founder's member id."""
        return self.founder.member


@cache
def _make_keys(index: int) -> tuple[SigningKey, BlsSigningKey, Founder]:
    signing_key = SigningKey(make_digest("ed25519", index))
    bls_key = BlsSigningKey(make_digest("bls", index) + make_digest("bls", index, "more"))
    founder = Founder(
        member=signing_key.member,
        name=f"member-{index}",
        bls_key=bls_key.public_key,
        possession=bls_key.prove_possession(),
        addresses=(f"/ip4/127.0.0.1/tcp/{4_000 + index}",),
        bonded=Stake(1),
    )
    return signing_key, bls_key, founder


def make_founders(count: int, *, bonded: Stake | Items[Stake] = STAKE) -> tuple[FounderKeys, ...]:
    """Return founders sorted by member, each with its keys.

    Args:
        count: How many.
        bonded: Everybody's stake, or one per founder in the sorted order.
    """
    parts = sorted((_make_keys(index) for index in range(count)), key=lambda part: part[2].member)
    stakes = [Stake(bonded)] * count if isinstance(bonded, int) else list(bonded)
    return tuple(
        FounderKeys(signing_key=signing_key, bls_key=bls_key, founder=replace(founder, bonded=stake))
        for (signing_key, bls_key, founder), stake in zip(parts, stakes, strict=True)
    )
