"""Commands that read a running node: status, peers, rounds, stakes, model, watch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    ask_daemon,
    format_bytes,
    format_score,
    format_tokens,
    format_weights,
    get_home,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from node.json_values import JsonObject, JsonValue


def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show how a running node is."""
    from node.json_values import get_object

    answer = get_object(ask_daemon(home, "status"))
    if as_json:
        print_json(answer)
        return
    rows = [
        ("network", f"{answer['network']} (chain {_shorten(answer['chain_id'])})"),
        ("member", f"{answer['name']} ({_shorten(answer['member'])})"),
        (
            "ledger",
            f"height {answer['height']}, epoch {answer['epoch']}, view {answer['view']},"
            f" root {_shorten(answer['state_root'])}",
        ),
        ("standing", str(answer["standing"])),
        ("members connected", f"{answer['members_connected']} of {answer['members_other']}"),
        ("weight connected", format_weights(get_object(answer["weights"]))),
        ("votes in consensus", "yes" if answer["is_voting"] is True else f"NO: {answer['not_voting_reason']}"),
        ("clock", _describe_clock(get_object(answer["clock"]))),
        ("beacon", _describe_beacon(get_object(answer["beacon"]))),
        ("model", f"{_shorten(answer['model'])} of task {answer['task']}"),
        *_describe_round_rows(answer),
    ]
    print_table("node", ("what", "value"), rows)


def _describe_clock(clock: "JsonObject") -> str:
    heard = f"most others' (heard: {clock['member_count']})"
    for key, way in (("behind_ms", "behind"), ("ahead_ms", "ahead of")):
        if _int(clock[key]) >= 1_000:
            return f"{_int(clock[key]) / 1_000:.1f} s {way} {heard}"
    return f"agrees with {heard}" if clock["member_count"] else "no others heard yet to compare it with"


def _describe_beacon(beacon: "JsonObject") -> str:
    dealt = f"{beacon['deal_count']} deals for the next epoch's key"
    if beacon["key_epoch"] is None:
        return f"no group key yet, rounds are drawn degraded; {dealt}"
    shares = f"{beacon['threshold']} of {beacon['holder_count']} make an output"
    return f"group key {_shorten(beacon['public_key'])} since epoch {beacon['key_epoch']}, {shares}; {dealt}"


def peers(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show the other members and how well they are connected."""
    from node.json_values import get_list, get_object

    answer = get_list(ask_daemon(home, "peers"))
    if as_json:
        print_json(answer)
        return
    rows = []
    for peer in map(get_object, answer):
        delay = peer["round_trip_ms"]
        addresses = get_list(peer["addresses"])
        rows.append(
            (
                str(peer["name"]),
                "yes" if peer["is_connected"] else "no",
                "-" if delay is None else f"{delay} ms",
                format_bytes(_int(peer["bytes_received"])),
                format_bytes(_int(peer["bytes_sent"])),
                str(peer["score"]),
                str(addresses[0]) if addresses else "-",
            )
        )
    print_table("members", ("member", "connected", "round trip", "received", "sent", "score", "address"), rows)


def rounds(
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    from_round: Annotated[
        int | None, typer.Option("--from", min=1, help="The first round to show; without it, the latest are shown.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many rounds to show at most.")] = 20,
) -> None:
    """Show settled rounds: roles, verdict, tally, how often judged, and whom standbys replaced."""
    from node.json_values import get_list, get_object

    answer = get_list(ask_daemon(home, "rounds", from_round=from_round, limit=limit))
    if as_json:
        print_json(answer)
        return
    rows = []
    for record in map(get_object, answer):
        seconds = (_int(record["settled_ms"]) - _int(record["opened_ms"])) / 1_000
        condemned = sum(get_object(update)["is_condemned"] is True for update in get_list(record["updates"]))
        rows.append(
            (
                str(record["round"]),
                str(record["verdict"]),
                f"{record['accept_count']}:{record['reject_count']}",
                " ".join(map(str, get_list(record["proposer_names"]))),
                " ".join(map(str, get_list(record["voter_names"]))),
                str(condemned),
                str(len(get_list(record["attempts"]))),
                " ".join(map(str, get_list(record["replaced_names"]))) or "-",
                f"{seconds:.1f}",
                _shorten(record["model"]),
            )
        )
    header = (
        *("round", "verdict", "accept:reject", "proposers", "voters", "condemned", "judged", "replaced"),
        *("seconds", "model"),
    )
    print_table("rounds", header, rows)


def stakes(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show every member's stake, and the treasury, in tokens."""
    from node.json_values import get_list, get_object

    answer = get_object(ask_daemon(home, "stakes"))
    if as_json:
        print_json(answer)
        return
    rows = []
    for account in map(get_object, get_list(answer["members"])):
        amounts = (format_tokens(_int(account[name])) for name in ("bonded", "unbonding", "free", "weight"))
        rows.append((str(account["name"]), *amounts, _describe_standing(account)))
    rows.append(("treasury", format_tokens(_int(answer["treasury"])), "-", "-", "-", ""))
    rows.append(("burned", format_tokens(_int(answer["burned"])), "-", "-", "-", ""))
    rows.append(("supply", format_tokens(_int(answer["supply"])), "-", "-", "-", f"at height {answer['height']}"))
    print_table("stakes (tokens)", ("member", "bonded", "unbonding", "free", "weight", "standing"), rows)


def show_model(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show the current model, its lineage and this node's own scores."""
    from node.json_values import get_list, get_object

    answer = get_object(ask_daemon(home, "model"))
    if as_json:
        print_json(answer)
        return
    scores = get_object(answer["scores"])
    print_line(f"current model {answer['digest']}, {format_bytes(_int(answer['bytes']))}")
    rows = [("0", "GENESIS", _shorten(answer["genesis_digest"]), _get_score(scores, answer["genesis_digest"]))]
    for step in map(get_object, get_list(answer["lineage"])):
        model = step["model"]
        rows.append((str(step["round"]), str(step["verdict"]), _shorten(model), _get_score(scores, model)))
    print_table("lineage", ("round", "verdict", "model", "own score"), rows)


def export_model(
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.", dir_okay=False)],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the current model as safetensors, with its lineage beside it as JSON; the node may be stopped."""
    from node.model_export import export_current_model

    report = export_current_model(get_home(home), output)
    if as_json:
        print_json(report)
        return
    print_line(f"wrote {output} (model {_shorten(report['digest'])}, after round {report['rounds_settled']})")
    print_line(f"wrote {report['lineage_file']}")


def watch(
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    as_lines: Annotated[
        bool, typer.Option("--lines", help="A line per event, as where the output is no terminal.")
    ] = False,
) -> None:
    """Follow a running node live; Ctrl-C ends it."""
    from node.commands.watching import watch_node

    watch_node(get_home(home), as_json=as_json, on_screen=sys.stdout.isatty() and not (as_json or as_lines))


def _describe_round_rows(answer: "JsonObject") -> list[tuple[str, str]]:
    from node.json_values import get_list, get_object

    if answer["round"] is None:
        return [("round", f"none open, {answer['rounds_settled']} settled")]
    current = get_object(answer["round"])
    keys = ("proposers", "voters", "replaced", "own_roles")
    names = {key: ", ".join(map(str, get_list(current[key]))) or "-" for key in keys}
    retrial = "" if current["attempt"] == 0 else ", the retrial"
    replaced = [("replaced by standbys", names["replaced"])] if current["replaced"] else []
    return [
        ("round", f"{current['round']} in phase {current['phase']}{retrial}"),
        ("proposers", names["proposers"]),
        ("voters", names["voters"]),
        *replaced,
        ("own roles", names["own_roles"]),
    ]


def _describe_standing(account: "JsonObject") -> str:
    words = [word for word in ("jailed", "evicted", "exhausted", "leaving") if account[f"is_{word}"] is True]
    return ", ".join(words) or "good"


def _get_score(scores: "JsonObject", digest: "JsonValue") -> str:
    score = scores.get(str(digest))
    return format_score(None if score is None else _int(score))


def _int(value: "JsonValue") -> int:
    from node.json_values import get_int

    return get_int(value)


def _shorten(digest: "JsonValue") -> str:
    return str(digest)[:8]
