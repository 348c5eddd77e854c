"""The shapes of what the API answers, as JSON schemas; a fuzzer holds the answers against them."""

from typing import Final

from node.json_values import JsonObject, JsonValue

TEXT: Final[JsonObject] = {"type": "string"}
COUNT: Final[JsonObject] = {"type": "integer", "minimum": 0}
INTEGER: Final[JsonObject] = {"type": "integer"}
NUMBER: Final[JsonObject] = {"type": "number"}
FLAG: Final[JsonObject] = {"type": "boolean"}
DIGEST: Final[JsonObject] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
MILLIS: Final[JsonObject] = {"type": "integer", "minimum": 0, "description": "Milliseconds since the Unix epoch."}
STAKE: Final[JsonObject] = {"type": "integer", "minimum": 0, "description": "Micro-tokens."}


def make_object(properties: JsonObject) -> JsonObject:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list[JsonValue](properties),
        "additionalProperties": False,
    }


def make_list(items: JsonObject) -> JsonObject:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def make_map(values: JsonObject) -> JsonObject:
    """Return the schema of an object whose keys are data."""
    return {"type": "object", "additionalProperties": values}


def make_nullable(schema: JsonObject) -> JsonObject:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def refer(name: str) -> JsonObject:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


_NAMES: Final = make_list(TEXT)
_MEMBERS: Final = make_list(DIGEST)
_MOVE: Final = make_object({"member": DIGEST, "reason": TEXT, "amount": STAKE})
_OPEN_ROUND: Final = make_object(
    {
        "round": COUNT,
        "phase": {"enum": ["DRAW", "TRAIN", "SEAL", "REVEAL"]},
        "attempt": COUNT,
        "deadline_ms": MILLIS,
        "proposers": _NAMES,
        "voters": _NAMES,
        "replaced": _NAMES,
        "submitted": _NAMES,
        "sealed": _NAMES,
        "revealed": _NAMES,
        "own_roles": make_list({"enum": ["proposer", "voter"]}),
    }
)
_STATUS: Final = make_object(
    {
        "network": TEXT,
        "chain_id": DIGEST,
        "name": TEXT,
        "member": DIGEST,
        "peer_id": TEXT,
        "is_member": FLAG,
        "standing": TEXT,
        "members": make_list(refer("Name")),
        "version": TEXT,
        "uptime_ms": INTEGER,
        "height": COUNT,
        "epoch": COUNT,
        "view": COUNT,
        "block_hash": DIGEST,
        "state_root": DIGEST,
        "time_ms": MILLIS,
        "is_voting": FLAG,
        "not_voting_reason": make_nullable(TEXT),
        "clock": make_object({"behind_ms": COUNT, "ahead_ms": COUNT, "member_count": COUNT}),
        "weights": make_object(
            {"own": COUNT, "connected": COUNT, "quorum": COUNT, "total": COUNT, "has_quorum": FLAG}
        ),
        "members_connected": COUNT,
        "members_other": COUNT,
        "beacon": make_object(
            {
                "key_epoch": make_nullable(COUNT),
                "public_key": make_nullable(TEXT),
                "holder_count": COUNT,
                "threshold": COUNT,
                "deal_count": COUNT,
            }
        ),
        "round": make_nullable(_OPEN_ROUND),
        "rounds_settled": COUNT,
        "rounds_max": COUNT,
        "model": DIGEST,
        "task": TEXT,
        "rss_bytes": COUNT,
        "timings": make_map(make_object({"count": COUNT, "wall_ms": NUMBER, "worst_ms": NUMBER})),
    }
)
_PEER: Final = make_object(
    {
        "name": TEXT,
        "member": DIGEST,
        "peer_id": TEXT,
        "is_connected": FLAG,
        "is_member": FLAG,
        "weight": COUNT,
        "addresses": make_list(TEXT),
        "bytes_received": COUNT,
        "bytes_sent": COUNT,
        "score": INTEGER,
        "round_trip_ms": make_nullable(COUNT),
        "dialled": make_list(TEXT),
        "is_stray": FLAG,
    }
)
_BALLOTS: Final = make_list(make_object({"voter": DIGEST, "is_accept": FLAG}))
_VERDICT: Final[JsonObject] = {"enum": ["VOID", "ACCEPT", "REJECT"]}
_ATTEMPT: Final = make_object(
    {
        "verdict": _VERDICT,
        "condemned": make_list(FLAG),
        "is_base_condemned": FLAG,
        "candidate": make_nullable(DIGEST),
        "accept_count": COUNT,
        "reject_count": COUNT,
        "ballots": _BALLOTS,
    }
)
_ROUND: Final = make_object(
    {
        "round": COUNT,
        "verdict": _VERDICT,
        "opened_height": COUNT,
        "settled_height": COUNT,
        "opened_ms": MILLIS,
        "settled_ms": MILLIS,
        "beacon_output": DIGEST,
        "is_degraded": FLAG,
        "beacon": make_nullable(make_object({"key_epoch": COUNT, "signature": TEXT})),
        "proposers": _MEMBERS,
        "voters": _MEMBERS,
        "standbys": _MEMBERS,
        "replacements": make_list(make_object({"phase": TEXT, "silent": DIGEST, "standby": DIGEST})),
        "base": DIGEST,
        "updates": make_list(make_object({"member": DIGEST, "digest": DIGEST, "is_condemned": FLAG})),
        "is_base_condemned": FLAG,
        "candidate": make_nullable(DIGEST),
        "model": DIGEST,
        "accept_count": COUNT,
        "reject_count": COUNT,
        "ballots": _BALLOTS,
        "attempts": make_list(_ATTEMPT),
        "silent": _MEMBERS,
        "moves": make_list(_MOVE),
        "proposer_names": _NAMES,
        "voter_names": _NAMES,
        "replaced_names": _NAMES,
    }
)
_ACCOUNT: Final = make_object(
    {
        "name": TEXT,
        "member": DIGEST,
        "bonded": STAKE,
        "unbonding": STAKE,
        "free": STAKE,
        "is_jailed": FLAG,
        "is_evicted": FLAG,
        "is_leaving": FLAG,
        "is_exhausted": FLAG,
        "weight": COUNT,
    }
)
_HISTORY: Final = make_object(
    {
        "members": make_list(refer("Name")),
        "points": make_list(
            make_object({"round": COUNT, "height": COUNT, "time_ms": MILLIS, "stakes": make_list(make_nullable(STAKE))})
        ),
    }
)
_MODEL: Final = make_object(
    {
        "digest": DIGEST,
        "genesis_digest": DIGEST,
        "bytes": COUNT,
        "accepted": _MEMBERS,
        "scores": make_map({"type": "integer", "description": "This node's own score, in parts per million."}),
        "lineage": make_list(make_object({"round": COUNT, "verdict": TEXT, "model": DIGEST})),
    }
)
_NEWCOMERS: Final = make_object(
    {
        "height": COUNT,
        "epoch": COUNT,
        "epoch_ends_at_height": COUNT,
        "weight_needed": COUNT,
        "weight_total": COUNT,
        "newcomers": make_list(
            make_object(
                {
                    "name": TEXT,
                    "member": DIGEST,
                    "bond": STAKE,
                    "approvals": _NAMES,
                    "weight": COUNT,
                    "is_approved": FLAG,
                    "lapses_in_epoch": COUNT,
                }
            )
        ),
    }
)
_LEADER: Final[JsonObject] = {"leader": DIGEST, "leader_name": TEXT}
_CONSENSUS: Final = make_object(
    {
        "failed_views": COUNT,
        "blocks": make_list(
            make_object({"height": COUNT, "view": COUNT, "time_ms": MILLIS, **_LEADER, "operation_count": COUNT})
        ),
        "failures": make_list(make_object({"view": COUNT, **_LEADER, "seen_ms": MILLIS})),
    }
)
_STAKES: Final = make_object(
    {
        "height": COUNT,
        "supply": STAKE,
        "treasury": STAKE,
        "burned": STAKE,
        "members": make_list(_ACCOUNT),
    }
)
_ALERT: Final = make_object(
    {"code": TEXT, "severity": {"enum": ["error", "warning"]}, "text": TEXT, "is_blocking": FLAG}
)

SCHEMAS: Final[JsonObject] = {
    "Name": make_object({"name": TEXT, "member": DIGEST}),
    "Status": _STATUS,
    "Peer": _PEER,
    "Round": _ROUND,
    "Stakes": _STAKES,
    "StakeHistory": _HISTORY,
    "Model": _MODEL,
    "Newcomers": _NEWCOMERS,
    "Consensus": _CONSENSUS,
    "Alert": _ALERT,
    "Health": make_object({"status": {"enum": ["alive"]}}),
    "Readiness": make_object({"is_ready": FLAG, "reasons": make_list(TEXT)}),
    "Error": make_object({"error": TEXT}),
}
"""Every named schema."""
