"""The libp2p spelling of a member: its peer id is its public key in another notation (L1).

A peer id is the base58 text of an *identity* multihash: the key itself in libp2p's protobuf envelope, not hashed,
because it is short (libp2p specification, peer-ids, "Ed25519"). So each turns into the other without a look-up, and
without importing libp2p: the command line prints peer ids, too.
"""

from typing import Final

from node.errors import ConfigError
from protocol.units import MemberId

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KEY_BYTES: Final = 32
_ENVELOPE: Final = bytes(
    (
        0x00,  # the multihash "identity"
        0x24,  # of 36 bytes:
        0x08,  # field 1, the key's type,
        0x01,  # is Ed25519
        0x12,  # and field 2, the key,
        0x20,  # has 32 bytes
    )
)


def member_to_peer_id(member: MemberId) -> str:
    """Return the peer id of a member, such as ``12D3KooW...``.

    Raises:
        ValueError: ``member`` is not of 32 bytes.
    """
    if len(member) != _KEY_BYTES:
        raise ValueError(f"a member id has {_KEY_BYTES} bytes, this one has {len(member)}")
    return _encode_base58(_ENVELOPE + member)


def peer_id_to_member(peer_id: str) -> MemberId:
    """Return the member whose peer id this is.

    Raises:
        ConfigError: ``peer_id`` is not base58, or not the id of an Ed25519 key.
    """
    encoded = _decode_base58(peer_id)
    if encoded is None or encoded[: len(_ENVELOPE)] != _ENVELOPE or len(encoded) != len(_ENVELOPE) + _KEY_BYTES:
        raise ConfigError(f"{peer_id!r} is not the peer id of an Ed25519 key (it should begin with 12D3KooW)")
    return MemberId(encoded[len(_ENVELOPE) :])


def _encode_base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, remainder = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[remainder])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + "".join(reversed(digits))


def _decode_base58(text: str) -> bytes | None:
    number = 0
    for character in text:
        digit = _ALPHABET.find(character)
        if digit < 0:
            return None
        number = number * len(_ALPHABET) + digit
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
