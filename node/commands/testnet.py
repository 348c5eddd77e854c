"""Commands that bring up a network of daemons on this machine and break it on purpose."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from node.commands.common import JsonOption, print_json, print_line, print_note, print_table, quiet_logs

if TYPE_CHECKING:
    from node.json_values import JsonObject, JsonValue
    from node.testnet import NodeSpec

DirectoryArgument = Annotated[Path, typer.Argument(help="The testnet's directory.", file_okay=False)]
NodesArgument = Annotated[list[str] | None, typer.Argument(help="Names of nodes.", show_default="all")]
NamedArgument = Annotated[list[str], typer.Argument(help="Names of nodes.")]
TaskOption = Annotated[str, typer.Option("--task", help="A bundled task, or module:Class.")]
ParamOption = Annotated[
    list[str] | None, typer.Option("--param", help="A task parameter key=value; may be repeated.")
]
SettingOption = Annotated[
    list[str] | None, typer.Option("--set", help="A network parameter name=value; may be repeated.")
]

_SHORT_DEADLINES: Final = {
    "train_deadline_ms": 10_000,
    "seal_deadline_ms": 10_000,
    "reveal_deadline_ms": 5_000,
    "timeout_view_ms": 1_000,
    "timeout_view_max_ms": 5_000,
}
"""A round doesn't wait a minute for a node that was broken on purpose."""


def create(
    directory: DirectoryArgument,
    nodes: Annotated[int, typer.Option(help="How many members, each with a home of its own.")] = 4,
    task: TaskOption = "digits",
    param: ParamOption = None,
    rounds: Annotated[int, typer.Option(min=0, help="The job ends after this round; 0 never.")] = 0,
    aggregation: Annotated[Literal["mean", "median"], typer.Option(help="How updates join.")] = "median",
    setting: SettingOption = None,
    task_path: Annotated[list[Path] | None, typer.Option("--task-path", help="Folder of an own task's module.")] = None,
    local: Annotated[
        list[str] | None,
        typer.Option("--local", help="What each task is told alone, key=value; {number} is the node's, from 1."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a testnet's homes and genesis document."""
    import trio

    from node.fleet.homes import create_testnet
    from node.founding import Foundation, build_parameters, parse_pairs
    from protocol.genesis import TaskSpec
    from protocol.parameters import AggregationRule, Preset

    quiet_logs()
    choices: dict[str, object] = {
        **_SHORT_DEADLINES,
        "aggregation": AggregationRule[aggregation.upper()],
        "rounds_max": rounds,
    }
    foundation = Foundation(
        name="testnet",
        task=TaskSpec(name=task, params=tuple(sorted(parse_pairs(param or ()).items()))),
        parameters=build_parameters(
            preset=Preset.NEUTRAL, member_count=nodes, choices=choices, settings=setting or ()
        ),
        search_paths=tuple(task_path or ()),
        local=tuple(sorted(parse_pairs(local or ()).items())),
    )

    async def run() -> "Sequence[NodeSpec]":
        return await create_testnet(_get_directory(directory), foundation, node_count=nodes)

    specs = trio.run(run)
    if as_json:
        homes: dict[str, JsonValue] = {spec.name: str(spec.home) for spec in specs}
        print_json({"directory": str(directory), "homes": homes})
        return
    print_line(f"made {directory}: {' '.join(spec.name for spec in specs)}")
    print_note(f"start it with: pnyx testnet up {directory}")


def up(directory: DirectoryArgument, nodes: NodesArgument = None, as_json: JsonOption = False) -> None:
    """Start nodes, which stay up when this command has ended.

    One supervisor runs them all, until `pnyx testnet down`.
    """
    import trio

    from node.fleet.client import ensure_supervisor
    from node.fleet.homes import load_testnet

    root = _get_directory(directory)
    load_testnet(root)
    _note_wait("starting; a node takes some seconds")
    trio.run(ensure_supervisor, root)
    _print_fleet(_ask(root, "up", nodes or ()), as_json=as_json)


def down(directory: DirectoryArgument, nodes: NodesArgument = None, as_json: JsonOption = False) -> None:
    """Stop nodes as an operator would; without names, all.

    Without names the supervisor ends as well, even one that hangs, and whatever state the nodes are in.
    """
    import trio

    from node.fleet.client import stop_supervisor
    from node.fleet.homes import load_testnet

    root = _get_directory(directory)
    specs = load_testnet(root)
    if nodes:
        _print_fleet(_ask(root, "down", nodes), as_json=as_json)
        return
    was_up = trio.run(stop_supervisor, root, specs)
    if as_json:
        print_json({"was_up": was_up})
    else:
        print_note("stopped" if was_up else "nothing ran")


def status(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """Show every node, and which cables are cut.

    A node is up, paused, down, or fallen, which means that it ended although nobody had ended it.
    """
    from node.errors import DaemonUnreachable
    from node.fleet.homes import load_testnet

    root = _get_directory(directory)
    specs = load_testnet(root)
    try:
        described = _ask(root, "status")
    except DaemonUnreachable:
        nodes: list[JsonValue] = [{"name": spec.name, "state": "down", "pid": None} for spec in specs]
        described = {"nodes": nodes, "cut": [], "refused": []}
    _print_fleet(described, as_json=as_json)


def kill(directory: DirectoryArgument, nodes: NamedArgument, as_json: JsonOption = False) -> None:
    """Kill nodes without warning (SIGKILL).

    Unlike a power cut, that leaves what was written to the disk's cache.
    """
    _act(directory, "kill", nodes, as_json=as_json)


def pause(directory: DirectoryArgument, nodes: NamedArgument, as_json: JsonOption = False) -> None:
    """Freeze nodes, daemon and worker (SIGSTOP)."""
    _act(directory, "pause", nodes, as_json=as_json)


def resume(directory: DirectoryArgument, nodes: NamedArgument, as_json: JsonOption = False) -> None:
    """Let paused nodes go on (SIGCONT)."""
    _act(directory, "resume", nodes, as_json=as_json)


def restart(directory: DirectoryArgument, nodes: NamedArgument, as_json: JsonOption = False) -> None:
    """Stop nodes as an operator would, and start them again."""
    _note_wait("restarting; a node takes some seconds")
    _act(directory, "restart", nodes, as_json=as_json)


def partition(
    directory: DirectoryArgument,
    groups: Annotated[list[str], typer.Argument(help="Two or more groups, such as: alpha,beta gamma,delta")],
    one_way: Annotated[
        bool, typer.Option("--one-way", help="Lose only what the first group sends to the others.")
    ] = False,
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Reset connections and refuse new ones, as a firewall may.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Cut the cables between groups of nodes.

    They stay cut until `pnyx testnet heal`. A node in no group keeps its cables.

    Nodes talk through relays on loopback. A cut one forwards nothing and tells nobody, and where the kernel allows it
    (run as root) acknowledges nothing either, as if a cable were cut. What was sent before arrives after `heal`, if the
    connection still is.
    """
    from node.errors import ConfigError

    if one_way and refuse:
        raise ConfigError("--one-way and --refuse exclude each other: a reset connection is lost in both directions")
    parted: list[JsonValue] = [[name for name in group.split(",") if name] for group in groups]
    root = _get_directory(directory)
    _print_fleet(_ask(root, "partition", groups=parted, one_way=one_way, refuse=refuse), as_json=as_json)


def heal(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """Mend all cables."""
    _print_fleet(_ask(_get_directory(directory), "heal"), as_json=as_json)


def chaos(
    directory: Annotated[
        Path | None,
        typer.Argument(
            help="A testnet that is down, or a directory to make one in.",
            file_okay=False,
            show_default="a temporary one, kept if something fails",
        ),
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, help="How long there is trouble.")] = 180,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the troubles.", show_default="at random")] = None,
    nodes: Annotated[int, typer.Option(help="How many members, if a testnet is made.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Break a network at random, mend it, check its ledgers.

    While rounds go on, daemons are killed, stopped and paused, and cables cut (see `pnyx testnet partition --help`),
    mostly no more at a time than consensus tolerates, sometimes more. Afterwards all ledgers must be equal and pass
    the audit, nobody may be jailed, and every daemon must have ended only as told. The exit code is 1 if something
    does not hold.
    """
    from node.chaos.show import ChaosRequest, show_chaos
    from node.clock import OsEntropy

    quiet_logs()
    request = ChaosRequest(
        directory=None if directory is None else _get_directory(directory),
        node_count=nodes,
        seconds=seconds,
        seed=int.from_bytes(OsEntropy().get_bytes(4), "big") if seed is None else seed,
    )
    raise typer.Exit(show_chaos(request, as_json=as_json))


def supervise(directory: DirectoryArgument) -> None:
    """Be the supervisor that `pnyx testnet up` starts."""
    from node.fleet.supervisor import run_supervisor

    run_supervisor(_get_directory(directory))


def _get_directory(directory: Path) -> Path:
    return directory.expanduser().absolute()


def _note_wait(what: str) -> None:
    if sys.stderr.isatty():
        print_note(f"{what} ...")


def _act(directory: Path, command: str, nodes: "Sequence[str]", *, as_json: bool) -> None:
    _print_fleet(_ask(_get_directory(directory), command, nodes), as_json=as_json)


def _ask(directory: Path, command: str, nodes: "Sequence[str]" = (), **arguments: "JsonValue") -> "JsonObject":
    import trio

    from node.fleet.client import ask_supervisor
    from node.fleet.homes import load_testnet

    load_testnet(directory)
    request: JsonObject = {"command": command, "nodes": [*nodes], **arguments}
    return trio.run(ask_supervisor, directory, request)


def _print_fleet(described: "JsonObject", *, as_json: bool) -> None:
    from node.json_values import get_list, get_object

    if as_json:
        print_json(described)
        return
    rows = []
    for node in map(get_object, get_list(described["nodes"])):
        cells = [_format(node.get(key)) for key in ("name", "state", "pid", "height", "round", "view")]
        connected = node.get("members_connected")
        rows.append((*cells, "-" if connected is None else f"{connected} of {node['members_other']}"))
    print_table("nodes", ("node", "state", "pid", "height", "round", "view", "connected"), rows)
    for key, sign in (("cut", "cut"), ("refused", "refused")):
        links = [get_object(link) for link in get_list(described[key])]
        if links:
            print_line(f"{sign}: " + ", ".join(f"{link['from']} to {link['to']}" for link in links))


def _format(value: "JsonValue") -> str:
    return "-" if value is None else str(value)
