"""What a member card says, and that its member said it (L1, L9).

A card's signature covers the canonical encoding of its content, under the card's domain and no chain, because there is
none yet when founders exchange cards. A newcomer's card on the ledger is its consent to join.
"""

from dataclasses import dataclass
from typing import Final

from protocol.bls import check_possession
from protocol.codec import encode
from protocol.crypto import Domain, SigningKey, check_signature
from protocol.errors import InvalidMessage
from protocol.units import ZERO_DIGEST, BlsPublicKey, BlsSignature, MemberId, Signature

CARD_VERSION: Final = 1
NAME_CHARACTERS_MAX: Final = 64
ADDRESSES_MAX: Final = 8
ADDRESS_CHARACTERS_MAX: Final = 256

_UNPRINTABLE: Final = (
    (0x00, 0x1F),
    (0x7F, 0x9F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0xD800, 0xF8FF),
    (0xFEFF, 0xFEFF),
    (0xFFF0, 0xFFFF),
    (0xE0000, 0x10FFFF),
)
"""Code points that no name holds: controls, marks without width or of direction, line ends, surrogates, private use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContent:
    """What a card's signature covers."""

    version: int
    name: str
    """For people: 1 to 64 printable characters."""
    member: MemberId
    bls_key: BlsPublicKey
    possession: BlsSignature
    """Proof that the holder of the BLS key knows its secret (L1)."""
    addresses: tuple[str, ...]
    """Where the others reach this member: multiaddresses, at most 8."""


def is_name(text: str) -> bool:
    """Return whether a text can be a member's name: short, no control characters, none that turn the writing direction.

    The characters are listed here, because every node must agree and Unicode's tables differ between versions of
    Python.
    """
    return 0 < len(text) <= NAME_CHARACTERS_MAX and not any(
        low <= ord(character) <= high for character in text for low, high in _UNPRINTABLE
    )


def sign_card(key: SigningKey, content: CardContent) -> Signature:
    """Return the member's signature over its card."""
    return key.sign(Domain.CARD, ZERO_DIGEST, encode(content))


def check_card_content(content: CardContent, signature: Signature) -> None:
    """Check a card by itself: version, name, number of addresses, proof of possession and signature.

    Whether the addresses can be dialled is for whoever dials them.

    Raises:
        InvalidMessage: One of these is wrong; the message says which.
    """
    if content.version != CARD_VERSION:
        raise InvalidMessage(f"card version {content.version}, this software knows {CARD_VERSION}")
    if not is_name(content.name):
        raise InvalidMessage(f"a name is 1 to {NAME_CHARACTERS_MAX} printable characters")
    if len(content.addresses) > ADDRESSES_MAX:
        raise InvalidMessage(f"{len(content.addresses)} addresses, a card holds at most {ADDRESSES_MAX}")
    if any(not 0 < len(address) <= ADDRESS_CHARACTERS_MAX for address in content.addresses):
        raise InvalidMessage(f"an address is 1 to {ADDRESS_CHARACTERS_MAX} characters")
    check_possession(content.bls_key, content.possession)
    check_signature(content.member, Domain.CARD, ZERO_DIGEST, encode(content), signature)
