"""Reads what an operator wants the ledger to be asked for; what it is worth is for the ledger to judge (L8)."""

import json
from typing import Final

from node.cards import get_content, parse_card
from node.errors import ConfigError
from node.json_values import JsonObject, get_int, get_object, get_text
from protocol.codec import UINT64_MAX
from protocol.operations import Approve, Bond, Join, Leave, Payload, Unbond
from protocol.units import MemberId, Stake

MEMBER_BYTES: Final = 32


def build_payload(request: JsonObject) -> Payload:
    """Return the operation that a request to the control desk describes.

    Raises:
        ConfigError: The kind is unknown, an amount is out of range, or a card does not hold.
        ValueError: An argument is missing or of the wrong type.
    """
    match get_text(request.get("kind")):
        case "bond":
            return Bond(amount=_read_amount(request, "amount"))
        case "unbond":
            return Unbond(amount=_read_amount(request, "amount"))
        case "join":
            card = parse_card(json.dumps(get_object(request.get("card"))), where="card")
            return Join(card=get_content(card), signature=card.signature, bond=_read_amount(request, "bond"))
        case "approve":
            member = MemberId(bytes.fromhex(get_text(request.get("member"))))
            if len(member) != MEMBER_BYTES:
                raise ConfigError(f"submit takes a member of {2 * MEMBER_BYTES} hex digits")
            return Approve(member=member, bond=_read_amount(request, "bond"))
        case "leave":
            return Leave()
        case kind:
            raise ConfigError(f"submit takes kind bond, unbond, join, approve or leave, not {kind!r:.40}")


def _read_amount(request: JsonObject, key: str) -> Stake:
    amount = get_int(request.get(key))
    if not 0 < amount <= UINT64_MAX:
        raise ConfigError(f"submit takes as {key} an amount from 1 to {UINT64_MAX} micro-tokens")
    return Stake(amount)
