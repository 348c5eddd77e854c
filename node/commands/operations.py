"""Commands that ask the ledger for something in this member's name, and wait until it is final: bond, unbond."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    format_tokens,
    get_home,
    parse_tokens,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from node.json_values import JsonObject

TIMEOUT_S: Final = 600
EXIT_REFUSED: Final = 1

AmountArgument = Annotated[
    int, typer.Argument(parser=parse_tokens, metavar="AMOUNT", help="In tokens, with up to six decimals.")
]
TimeoutOption = Annotated[
    int,
    typer.Option("--timeout", min=1, metavar="SECONDS", help="How long to wait until it is final; it stays pending."),
]


def bond(
    amount: AmountArgument,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Put free stake to work: it gives weight and can be slashed."""
    _submit_stake_operation("bond", amount, home, as_json=as_json, timeout_s=timeout)


def unbond(
    amount: AmountArgument,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Take stake out of work: it can still be slashed until it is released, some epochs later."""
    _submit_stake_operation("unbond", amount, home, as_json=as_json, timeout_s=timeout)


def _submit_stake_operation(kind: str, amount: int, home: HomeOption, *, as_json: bool, timeout_s: int) -> None:
    from node.commands.waiting import submit_operation

    request: JsonObject = {"kind": kind, "amount": amount}
    result = submit_operation(get_home(home), request, timeout_s=timeout_s)
    if as_json:
        print_json({**request, **result})
    else:
        print_verdict(f"{kind} {format_tokens(amount)} tokens", result)
        _print_stake(result)
    check_executed(result)


def print_verdict(what: str, result: "JsonObject") -> None:
    """Print what the ledger made of an operation."""
    if result["is_executed"] is True:
        print_line(f"executed at height {result['height']}: {what}")
    else:
        print_line(f"refused at height {result['height']}: {what}: {result['error']}")
    print_line(f"operation {result['operation_id']}")


def check_executed(result: "JsonObject") -> None:
    """End with an exit code of its own if the ledger has refused.

    Raises:
        Exit: It has.
    """
    if result["is_executed"] is not True:
        raise typer.Exit(EXIT_REFUSED)


def _print_stake(result: "JsonObject") -> None:
    from node.json_values import get_int, get_object

    before, after = get_object(result["stake_before"]), get_object(result["stake_after"])
    rows = [
        (name, format_tokens(get_int(before[name])), format_tokens(get_int(after[name])))
        for name in ("bonded", "unbonding", "free")
    ]
    header = ("stake (tokens)", f"before, at height {before['height']}", f"after, at height {after['height']}")
    print_table("this member", header, rows)
