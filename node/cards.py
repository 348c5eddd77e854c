"""Member cards as files: the public half of a member, signed by it, to send to founders or to be asked for by a member.

A card is a JSON object; what it says and what its signature covers is in :mod:`protocol.cards`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.addresses import check_address
from node.errors import ConfigError
from node.json_documents import format_json, from_json, parse_json, to_json
from node.keys import NodeKeys
from node.peer_ids import member_to_peer_id
from protocol.cards import CARD_VERSION, CardContent, check_card_content, sign_card
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.units import BlsPublicKey, BlsSignature, MemberId, Signature

CARD_BYTES_MAX: Final = 65_536


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
        signature=sign_card(keys.signing, content),
    )


def check_card(card: Card, *, where: str) -> None:
    """Check a card: version, name, addresses, peer id, proof of possession and signature.

    Args:
        card: From anybody.
        where: What the card is called in errors, such as its path.

    Raises:
        ConfigError: One of these is wrong; the message says which.
    """
    try:
        for address in card.addresses:
            check_address(address)
        if card.peer_id != member_to_peer_id(card.member):
            raise ConfigError(f"{where}: peer_id is not that of the member: ask {card.name} for a new card")
        check_card_content(get_content(card), card.signature)
    except (InvalidMessage, MalformedMessage, ValueError) as error:
        raise ConfigError(f"{where}: {error}; ask {card.name} for a new card") from error


def get_content(card: Card) -> CardContent:
    """Return what a card's signature covers."""
    return CardContent(
        version=card.version,
        name=card.name,
        member=card.member,
        bls_key=card.bls_key,
        possession=card.possession,
        addresses=card.addresses,
    )


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
