"""Commands by which members come and go (L9): join, approve, leave, newcomers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    ask_daemon,
    format_tokens,
    get_home,
    parse_tokens,
    print_json,
    print_line,
    print_note,
    print_table,
)
from node.commands.operations import TIMEOUT_S, TimeoutOption, check_executed, print_verdict

if TYPE_CHECKING:
    from node.json_values import JsonObject


def join(
    card_file: Annotated[Path, typer.Argument(metavar="CARD", help="The newcomer's card.")],
    bond: Annotated[
        int, typer.Option(parser=parse_tokens, metavar="TOKENS", help="What the newcomer will have bonded.")
    ],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Ask the ledger to admit a newcomer; this validator's approval is the first."""
    from node.cards import load_card
    from node.commands.waiting import submit_operation
    from node.json_documents import to_json

    card = load_card(card_file)
    request: JsonObject = {"kind": "join", "card": to_json(card), "bond": bond}
    result = submit_operation(get_home(home), request, timeout_s=timeout)
    asked: JsonObject = {"kind": "join", "name": card.name, "member": card.member.hex(), "bond": bond}
    _print_admission(asked, result, as_json=as_json)


def approve(
    member: Annotated[
        str, typer.Argument(metavar="MEMBER", help="Who waits: name, or member id, or the beginning of it.")
    ],
    home: HomeOption = DEFAULT_HOME,
    bond: Annotated[
        int | None,
        typer.Option(
            parser=parse_tokens, metavar="TOKENS", help="Approve only if this is the bond that was asked for."
        ),
    ] = None,
    as_json: JsonOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Approve of a newcomer that waits, and of its bond; see newcomers."""
    from node.commands.waiting import submit_operation
    from node.json_values import get_int, get_list, get_object

    waiting = [get_object(one) for one in get_list(get_object(ask_daemon(home, "newcomers"))["newcomers"])]
    candidate = find_candidate(waiting, member, bond)
    asked: JsonObject = {"kind": "approve", **{key: candidate[key] for key in ("name", "member", "bond")}}
    print_note(
        f"approving of {asked['name']}, member {asked['member']}, with a bond of"
        f" {format_tokens(get_int(asked['bond']))} tokens"
    )
    result = submit_operation(get_home(home), asked, timeout_s=timeout)
    _print_admission(asked, result, as_json=as_json)


def leave(
    home: HomeOption = DEFAULT_HOME,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Leave the network when the epoch ends; this cannot be taken back."""
    from node.commands.waiting import submit_operation
    from node.errors import ConfigError
    from node.json_values import get_object

    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("leaving cannot be taken back: confirm it with --yes")
        typer.confirm(
            "Leave the network? Only a quorum of its members can take this one in again.", abort=True, err=True
        )
    result = submit_operation(get_home(home), {"kind": "leave"}, timeout_s=timeout)
    if as_json:
        print_json({"kind": "leave", **result})
    else:
        print_verdict("leave", result)
        departure = get_object(result["departure"])
        if departure["is_leaving"] is True:
            print_line(
                f"its stake is released when epoch {departure['released_in_epoch']} begins, after height"
                f" {departure['released_at_height']}; what it still earns until then, a little later"
            )
            print_line("keep the node running until then: its duties last until this epoch ends")
    check_executed(result)


def newcomers(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show who waits to be admitted."""
    from node.json_values import get_int, get_list, get_object

    answer = get_object(ask_daemon(home, "newcomers"))
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            str(one["name"]),
            str(one["member"]),
            format_tokens(get_int(one["bond"])),
            ", ".join(map(str, get_list(one["approvals"]))),
            _describe_weight(answer, one),
            f"epoch {one['lapses_in_epoch']}",
        )
        for one in map(get_object, get_list(answer["newcomers"]))
    ]
    if not rows:
        print_line("nobody waits to be admitted")
        return
    print_table("newcomers", ("name", "member", "bond", "approved by", "weight", "lapses in"), rows)
    print_line(f"who is approved joins when epoch {answer['epoch']} ends, with height {answer['epoch_ends_at_height']}")


def find_candidate(waiting: "list[JsonObject]", text: str, bond: int | None) -> "JsonObject":
    """Return the one that a text names.

    A name may look like another's key, so what could mean two of them means none.

    Args:
        waiting: Everybody who waits, as the daemon describes them.
        text: A name, or the beginning of a member id.
        bond: What the operator insists on, in micro-tokens.

    Raises:
        ConfigError: Nobody or several are meant, or the bond is another.
    """
    from node.errors import ConfigError
    from node.json_values import get_int

    found = [one for one in waiting if text and (one["name"] == text or str(one["member"]).startswith(text.lower()))]
    if not found:
        raise ConfigError(f"nobody called {text!r:.80} waits to be admitted: see pnyx newcomers")
    if len(found) > 1:
        meant = ", ".join(f"{one['name']} ({one['member']})" for one in found)
        raise ConfigError(f"{text!r:.80} could be {meant}: give more of the member id")
    asked = get_int(found[0]["bond"])
    if bond is not None and bond != asked:
        raise ConfigError(
            f"{found[0]['name']} waits with a bond of {format_tokens(asked)} tokens, not {format_tokens(bond)}"
        )
    return found[0]


def _print_admission(asked: "JsonObject", result: "JsonObject", *, as_json: bool) -> None:
    from node.json_values import get_int, get_list, get_object

    if as_json:
        print_json({**asked, **result})
    else:
        bond = format_tokens(get_int(asked["bond"]))
        print_verdict(f"{asked['kind']} {asked['name']} with a bond of {bond} tokens", result)
        admission = get_object(result["admission"])
        for one in map(get_object, get_list(admission["newcomers"])):
            print_line(
                f"approved by {', '.join(map(str, get_list(one['approvals'])))}: {_describe_weight(admission, one)}"
            )
            end = f"epoch {admission['epoch']} ends, with height {admission['epoch_ends_at_height']}"
            if one["is_approved"] is True:
                print_line(f"it is admitted when {end}")
            else:
                print_line(f"it is admitted if enough have approved when {end}, or a later one")
                print_line(f"others approve with: pnyx approve {one['name']}; lapses in epoch {one['lapses_in_epoch']}")
        if admission["is_member"] is True:
            print_line(f"{asked['name']} is a member in epoch {admission['epoch']}")
    check_executed(result)


def _describe_weight(described: "JsonObject", candidate: "JsonObject") -> str:
    from node.json_values import get_int

    weight, needed, total = get_int(candidate["weight"]), described["weight_needed"], get_int(described["weight_total"])
    share = f"{weight * 100 // total}% of the weight"
    return f"{share}: enough" if weight >= get_int(needed) else f"{share}, more than two thirds are needed"
