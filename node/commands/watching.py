"""Follows a running node: one line per event, or one JSON object per line."""

import json
import sys
from pathlib import Path

import trio

from node.commands.common import print_line
from node.control import open_request
from node.failures import raise_cause
from node.json_values import JsonObject, get_list, get_object


def watch_node(home: Path, *, as_json: bool, on_screen: bool) -> None:
    """Print what a node observes, or draw how it is, until it stops or the user has seen enough.

    Raises:
        DaemonUnreachable: No daemon runs on the home, or it stopped.
    """
    try:
        with raise_cause():
            if on_screen:
                from node.commands.screen import watch_on_screen

                trio.run(watch_on_screen, home)
            else:
                trio.run(_follow, home, as_json)
    except* KeyboardInterrupt:
        sys.stderr.write("\n")


async def _follow(home: Path, as_json: bool) -> None:
    names: dict[str, str] = {}
    async with open_request(home, {"command": "watch"}) as client:
        while True:
            event = get_object(await client.read_result())
            if as_json:
                print_line(json.dumps(event, separators=(",", ":")))
            else:
                line = format_event(event, names)
                if line:
                    print_line(line)
            sys.stdout.flush()


def format_event(event: JsonObject, names: dict[str, str]) -> str:
    """Return an event as a line for people, or nothing if it says nothing to them.

    Args:
        event: As the daemon described it.
        names: Member names by full key; a status, which is the first event, and the start of an epoch fill it.
    """
    match event["event"]:
        case "Status":
            _learn_names(event, names)
            return f"watching {event['name']} of {event['network']}, at height {event['height']}"
        case "EpochStarted":
            _learn_names(event, names)
            changes = [f"{word} {_join(event, word, names)}" for word in ("joined", "left") if get_list(event[word])]
            return "; ".join([f"epoch {event['epoch']}  {event['validator_count']} validators", *changes])
        case "PhaseEntered":
            return f"round {event['round']}  {event['phase']:<6}  {_describe_stage(event, names)}".rstrip()
        case "BlockExecuted" if event["settled"] is not None:
            record = get_object(event["settled"])
            tally = f"{record['accept_count']}:{record['reject_count']}"
            return f"round {record['round']}  {record['verdict']}  {tally}  model {str(record['model'])[:8]}"
        case "BlockExecuted":
            leader = _name(event["leader"], names)
            return f"height {event['height']}  {event['operation_count']} operations  leader {leader}"
        case "ViewFailed":
            return f"view {event['view']} of {_name(event['leader'], names)} failed ({event['failures']} in a row)"
        case "OffenceSeen":
            return f"{_name(event['member'], names)} signed contradicting messages in view {event['view']}"
        case kind:
            rest = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
            return f"{kind}: {rest}"


def _describe_stage(event: JsonObject, names: dict[str, str]) -> str:
    """Return what is worth saying of a phase: who has which role, who was replaced, and that it is the retrial."""
    parts = []
    if event["phase"] == "TRAIN":
        parts.append(f"proposers {_join(event, 'proposers', names)}; voters {_join(event, 'voters', names)}")
    if event["attempt"] != 0:
        parts.append("retrial without the condemned updates")
    if event["replaced"]:
        parts.append(f"replaced by standbys: {_join(event, 'replaced', names)}")
    return "; ".join(parts)


def _learn_names(event: JsonObject, names: dict[str, str]) -> None:
    for member in map(get_object, get_list(event["members"])):
        names[str(member["member"])] = str(member["name"])


def _join(event: JsonObject, key: str, names: dict[str, str]) -> str:
    return " ".join(_name(member, names) for member in get_list(event[key])) or "-"


def _name(member: object, names: dict[str, str]) -> str:
    return names.get(str(member), str(member)[:8])
