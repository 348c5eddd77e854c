"""What founders look at before they agree on a genesis document."""

from dataclasses import fields
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING

from node.commands.common import format_tokens
from node.committees import MALICIOUS_SHARE_PERCENT, compute_capture_probability
from node.seed_files import QUICKNET_GENESIS_S, QUICKNET_PERIOD_S, QUICKNET_PUBLIC_KEY
from protocol.beacon.sortition import compute_role_counts
from protocol.genesis import Genesis, compute_chain_id, compute_draft_id
from protocol.learning.artifact_format import compute_parameter_count
from protocol.parameters import Parameters
from protocol.units import Stake, Weight
from protocol.validators import compute_quorum_weight

if TYPE_CHECKING:
    from node.json_values import JsonObject, JsonValue

_STAKE_PARAMETERS = frozenset(field.name for field in fields(Parameters) if field.type is Stake)


def describe_genesis(genesis: Genesis) -> "JsonObject":
    """Return the report for programs."""
    malicious_count, voter_count, probability = _compute_capture(genesis)
    parameters: dict[str, JsonValue] = {
        field.name: _to_plain(getattr(genesis.parameters, field.name)) for field in fields(genesis.parameters)
    }
    return {
        ("draft_id" if is_draft(genesis) else "chain_id"): _compute_id(genesis),
        "name": genesis.name,
        "seed": describe_seed(genesis),
        "members": [
            {"name": founder.name, "member": founder.member.hex(), "bonded": founder.bonded}
            for founder in genesis.founders
        ],
        "absent_max": compute_absent_max(genesis),
        "task": genesis.task.name,
        "task_params": dict(genesis.task.params),
        "model": genesis.model_digest.hex(),
        "model_bytes": genesis.model_bytes,
        "parameters": parameters,
        "capture": {
            "malicious_count": malicious_count,
            "voter_count": voter_count,
            "probability": probability,
        },
    }


def format_genesis_report(genesis: Genesis) -> list[str]:
    """Return the report for people, line by line."""
    parameter_count = sum(compute_parameter_count(spec) for spec in genesis.schema.tensors)
    lines = [
        f"network  {genesis.name}",
        f"{'draft' if is_draft(genesis) else 'chain'}    {_compute_id(genesis)}",
        f"seed     {_tell_seed(genesis)}",
        f"task     {genesis.task.name} {' '.join(f'{key}={value}' for key, value in genesis.task.params)}".rstrip(),
        f"model    {genesis.model_digest.hex()[:16]}, {parameter_count:,} weights",
        f"members  {len(genesis.founders)}, each with {format_tokens(genesis.founders[0].bonded)} tokens bonded",
    ]
    lines += [
        f"  {founder.name:<16} {founder.member.hex()}  {' '.join(founder.addresses)}" for founder in genesis.founders
    ]
    absent_max = compute_absent_max(genesis)
    spared = "none of them" if absent_max == 0 else f"at most {absent_max} of them"
    lines.append(f"away     {spared} at a time: with fewer everything stands still, until enough are back")
    lines.append("parameters")
    for field in fields(genesis.parameters):
        value = getattr(genesis.parameters, field.name)
        shown = f"{format_tokens(value)} tokens" if field.name in _STAKE_PARAMETERS else str(_to_plain(value))
        lines.append(f"  {field.name:<24} {shown}")
    malicious_count, voter_count, probability = _compute_capture(genesis)
    lines.append(
        f"if {malicious_count} of the {len(genesis.founders)} members ({MALICIOUS_SHARE_PERCENT} %) are malicious, "
        f"they hold most of a round's {voter_count} votes with probability {probability:.1%}"
    )
    return lines


def compute_absent_max(genesis: Genesis) -> int:
    """Return how many founders may be away, or wait without votes (C10), while the others are a quorum."""
    bonded = genesis.founders[0].bonded
    needed = compute_quorum_weight(Weight(bonded * len(genesis.founders)))
    return len(genesis.founders) - -(-needed // bonded)


def is_draft(genesis: Genesis) -> bool:
    """Return whether a document waits for its founders' reveals."""
    return genesis.founders_seed is not None and not genesis.founders_seed.reveals


def describe_seed(genesis: Genesis) -> "JsonObject":
    """Return where the seed of a checked document comes from, for programs."""
    if genesis.drand is not None:
        return {
            "origin": "drand",
            "public_key": genesis.drand.public_key.hex(),
            "round": genesis.drand.round,
            "signature": genesis.drand.signature.hex(),
        }
    if genesis.founders_seed is not None:
        return {"origin": "founders", "is_revealed": not is_draft(genesis)}
    return {"origin": "creator"}


def _tell_seed(genesis: Genesis) -> str:
    if is_draft(genesis):
        return "of all founders: all have committed, and agree to this draft by `pnyx genesis reveal`"
    if genesis.founders_seed is not None:
        return "of all founders: each committed, all agreed to the draft, then each revealed"
    if genesis.drand is None:
        return "chosen by whoever made this document: nobody else can check that it is random"
    drand = genesis.drand
    if drand.public_key != QUICKNET_PUBLIC_KEY:
        return f"drand round {drand.round} of the network with the key {drand.public_key.hex()}"
    published = QUICKNET_GENESIS_S + (drand.round - 1) * QUICKNET_PERIOD_S
    return f"drand quicknet round {drand.round}, {_tell_time(published)}; was it fixed before?"


def _tell_time(time_s: int) -> str:
    try:
        return f"published {datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"published {time_s} seconds after 1970"


def _compute_id(genesis: Genesis) -> str:
    return (compute_draft_id(genesis) if is_draft(genesis) else compute_chain_id(genesis)).hex()


def _compute_capture(genesis: Genesis) -> tuple[int, int, float]:
    member_count = len(genesis.founders)
    malicious_count = member_count * MALICIOUS_SHARE_PERCENT // 100
    voter_count = compute_role_counts(genesis.parameters, member_count)[1]
    probability = compute_capture_probability(
        member_count=member_count, malicious_count=malicious_count, voter_count=voter_count
    )
    return malicious_count, voter_count, probability


def _to_plain(value: object) -> "JsonValue":
    if isinstance(value, IntEnum):
        return value.name.lower()
    return value if isinstance(value, int) else str(value)
