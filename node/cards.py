"""Member cards: the public half of a member, signed by it, to send to the other founders.

A card is a JSON object. Its signature covers the canonical encoding of everything else, under the card's domain and no
chain, because there is none yet when founders exchange cards.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.addresses import check_address
from node.errors import ConfigError
from node.json_documents import format_json, from_json, parse_json, to_json
from node.keys import NodeKeys
from node.peer_ids import member_to_peer_id
from protocol.bls import check_possession
from protocol.codec import encode
from protocol.crypto import Domain, check_signature
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.units import ZERO_DIGEST, BlsPublicKey, BlsSignature, MemberId, Signature

CARD_VERSION: Final = 1
CARD_BYTES_MAX: Final = 65_536
NAME_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContent:
    """What a card's signature covers."""

    version: int
    name: str
    member: MemberId
    bls_key: BlsPublicKey
    possession: BlsSignature
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The public half of a member."""

    version: int
    name: str
    """For people: 1 to 64 printable characters."""
    member: MemberId
    peer_id: str
    """The member in libp2p's notation, so that people can compare it with what their tools print."""
    bls_key: BlsPublicKey
    possession: BlsSignature
    """Proof that the holder of the BLS key knows its secret (L1)."""
    addresses: tuple[str, ...]
    """Where the others reach this member."""
    signature: Signature


def make_card(keys: NodeKeys, *, name: str, addresses: tuple[str, ...]) -> Card:
    """Return the signed card of a member."""
    content = CardContent(
        version=CARD_VERSION,
        name=name,
        member=keys.signing.member,
        bls_key=keys.bls.public_key,
        possession=keys.bls.prove_possession(),
        addresses=addresses,
    )
    return Card(
        version=content.version,
        name=name,
        member=content.member,
        peer_id=member_to_peer_id(content.member),
        bls_key=content.bls_key,
        possession=content.possession,
        addresses=addresses,
        signature=keys.signing.sign(Domain.CARD, ZERO_DIGEST, encode(content)),
    )


def check_card(card: Card, *, where: str) -> None:
    """Check a card: version, name, addresses, peer id, proof of possession and signature.

    Args:
        card: From anybody.
        where: What the card is called in errors, such as its path.

    Raises:
        ConfigError: One of these is wrong; the message says which.
    """
    if card.version != CARD_VERSION:
        raise ConfigError(f"{where}: card version {card.version}, this software knows {CARD_VERSION}")
    if not 0 < len(card.name) <= NAME_CHARACTERS_MAX or not card.name.isprintable():
        raise ConfigError(f"{where}: a name is 1 to {NAME_CHARACTERS_MAX} printable characters")
    try:
        for address in card.addresses:
            check_address(address)
        content = CardContent(
            version=card.version,
            name=card.name,
            member=card.member,
            bls_key=card.bls_key,
            possession=card.possession,
            addresses=card.addresses,
        )
        signed = encode(content)
        if card.peer_id != member_to_peer_id(card.member):
            raise ConfigError(f"{where}: peer_id is not that of the member: ask {card.name} for a new card")
        check_possession(card.bls_key, card.possession)
        check_signature(card.member, Domain.CARD, ZERO_DIGEST, signed, card.signature)
    except (InvalidMessage, MalformedMessage, ValueError) as error:
        raise ConfigError(f"{where}: {error}; ask {card.name} for a new card") from error


def format_card(card: Card) -> str:
    """Return a card as JSON text."""
    return format_json(to_json(card))


def load_card(path: Path) -> Card:
    """Read a card and check it.

    Raises:
        ConfigError: It cannot be read, is no card, or does not hold; the message names what is wrong.
    """
    return parse_card(read_document(path, bytes_max=CARD_BYTES_MAX), where=str(path))


def parse_card(text: str, *, where: str) -> Card:
    """Return the checked card of a JSON text; errors as :func:`load_card`."""
    card = from_json(Card, parse_json(text, where=where), where=where)
    check_card(card, where=where)
    return card


def read_document(path: Path, *, bytes_max: int) -> str:
    """Return the text of a small document that people pass around.

    Raises:
        ConfigError: It cannot be read, is too large, or is no UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    if len(content) > bytes_max:
        raise ConfigError(f"{path} is larger than {bytes_max} bytes: this is another kind of file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: this is another kind of file") from error
