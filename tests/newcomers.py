"""Somebody who wants to join: a card with keys of its own, and a member's request for it."""

from dataclasses import replace
from typing import Final

from protocol.bls import BlsSigningKey
from protocol.cards import CARD_VERSION, CardContent, sign_card
from protocol.crypto import SigningKey
from protocol.operations import Join
from protocol.units import Stake
from tests.values import make_digest

BOND: Final = Stake(20_000_000)


def make_newcomer(number: int = 0, **changes: object) -> Join:
    """Return the request for a newcomer with a true card, or one whose card says something else."""
    key = SigningKey(make_digest("newcomer", number))
    bls_key = BlsSigningKey(make_digest("newcomer bls", number) * 2)
    content = CardContent(
        version=CARD_VERSION,
        name=f"newcomer-{number}",
        member=key.member,
        bls_key=bls_key.public_key,
        possession=bls_key.prove_possession(),
        addresses=("/ip4/127.0.0.1/tcp/5000",),
    )
    content = replace(content, **changes)  # type: ignore[arg-type]
    return Join(card=content, signature=sign_card(key, content), bond=BOND)
