"""Commands about the public random beacon that rounds are drawn from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    get_home,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from node.json_values import JsonObject

SHOWN_MAX: Final = 20


def show(
    round_number: Annotated[
        int | None, typer.Argument(min=1, metavar="[ROUND]", help="A round; without it, the latest are shown.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show the beacon's outputs: what each round was drawn from, audited from genesis; the node may run or not."""
    from node.beacon_export import describe_beacon, read_beacon
    from node.errors import ConfigError
    from node.json_values import get_list, get_object

    described = describe_beacon(read_beacon(get_home(home)))
    rows: list[tuple[JsonObject, str, str]] = [
        (get_object(beacon), "", "") for beacon in get_list(described["before_first_key"])
    ]
    for entry in map(get_object, get_list(described["epochs"])):
        key = str(entry["public_key"])
        rows += [(get_object(beacon), str(entry["epoch"]), key) for beacon in get_list(entry["beacons"])]
    if round_number is None:
        if as_json:
            print_json(described)
            return
        header = ("round", "key of epoch", "degraded", "randomness")
        shown = rows[-SHOWN_MAX:]
        cells = [
            (str(beacon["round"]), epoch or "-", "yes" if beacon["degraded"] else "-", str(beacon["randomness"]))
            for beacon, epoch, _ in shown
        ]
        print_table("beacon", header, cells)
        return
    found = [row for row in rows if row[0]["round"] == round_number]
    if not found:
        raise ConfigError(f"round {round_number} is not drawn on this ledger: `pnyx beacon show` lists those that are")
    beacon, epoch, key = found[0]
    if as_json:
        key_epoch = int(epoch) if epoch else None
        print_json({**beacon, "scheme": described["scheme"], "key_epoch": key_epoch, "public_key": key})
        return
    print_line(f"round       {beacon['round']}")
    print_line(f"randomness  {beacon['randomness']}")
    if beacon["degraded"]:
        print_line("degraded    yes: drawn from the RANDAO mix, which no key vouches for")
        return
    print_line(f"signature   {beacon['signature']}")
    print_line(f"public key  {key}")
    print_line(f"scheme      {described['scheme']}, key of epoch {epoch}; verified")


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", dir_okay=False)],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write every output with its public key as JSON, for drand's own verifiers; the node may run or not."""
    import json

    from node.beacon_export import describe_beacon, read_beacon
    from node.durable import raise_for_os_error

    report = read_beacon(get_home(home))
    try:
        output.write_text(json.dumps(describe_beacon(report), indent=2) + "\n")
    except OSError as error:
        raise_for_os_error(error, output)
    threshold = sum(drawn.proof is not None for key in report.beacon_keys for drawn in key.outputs)
    degraded = sum(len(key.outputs) for key in report.beacon_keys) + len(report.outputs_without_key) - threshold
    if as_json:
        print_json(
            {"file": str(output), "keys": len(report.beacon_keys), "verified": threshold, "degraded": degraded}
        )
        return
    print_line(f"wrote {output}: {threshold} outputs under {len(report.beacon_keys)} keys, {degraded} degraded rounds")
