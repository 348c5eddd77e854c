"""Commands that bring a network into being: init, card, genesis."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from node.commands.common import (
    DEFAULT_HOME,
    AggregationName,
    HomeOption,
    JsonOption,
    LocalOption,
    ask_passphrase,
    get_home,
    print_json,
    print_line,
    print_note,
    quiet_logs,
)

if TYPE_CHECKING:
    from node.cards import Card
    from node.config import Config
    from node.founding import Foundation
    from protocol.genesis import Genesis
    from protocol.seeds import DrandRound, SeedCommitment

ListenOption = Annotated[
    list[str] | None,
    typer.Option("--listen", help="Multiaddress to listen on; may be repeated. [default: /ip4/0.0.0.0/tcp/4001]"),
]
AnnounceOption = Annotated[
    list[str] | None,
    typer.Option("--announce", help="Multiaddress that others reach this node at, if it is another; may be repeated."),
]

CardsArgument = Annotated[
    list[Path], typer.Argument(help="The founders' member cards, and their seed commitments if all made one.")
]


def init(
    name: Annotated[str, typer.Option("--name", help="The member's name, for people; unique in the network.")],
    home: HomeOption = DEFAULT_HOME,
    listen: ListenOption = None,
    announce: AnnounceOption = None,
    local: LocalOption = None,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Ask for a passphrase for the keys.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a node's home: keys and a configuration with comments; prints the member card."""
    from node.clock import OsEntropy
    from node.config import Config
    from node.founding import parse_pairs
    from node.home import init_home
    from node.keys import get_environment_passphrase

    default = Config(name=name)
    config = Config(
        name=name,
        listen=tuple(listen or default.listen),
        announce=tuple(announce or ()),
        task=tuple(sorted(parse_pairs(local or ()).items())),
    )
    _check_config(config)
    passphrase = get_environment_passphrase()
    if encrypt and passphrase is None:
        passphrase = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
    opened = init_home(get_home(home), config, entropy=OsEntropy(), passphrase=passphrase)
    _print_card(opened.make_card(), as_json=as_json)
    if not as_json:
        option = "" if home == DEFAULT_HOME else f"--home {shlex.quote(str(home))} "
        card = shlex.quote(f"{name.replace('/', '-')}.card")
        print_note(f"made {get_home(home)}; send its card to the other founders: pnyx card show {option}> {card}")


def _check_config(config: "Config") -> None:
    """Refuse before anything is written what would make an unusable card."""
    from node.addresses import check_address
    from node.errors import ConfigError
    from protocol.cards import NAME_CHARACTERS_MAX, is_name

    if not is_name(config.name):
        raise ConfigError(f"--name: give 1 to {NAME_CHARACTERS_MAX} printable characters")
    try:
        for address in (*config.listen, *config.announce):
            check_address(address)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def show_card(home: HomeOption = DEFAULT_HOME) -> None:
    """Print this member's card as JSON, to send to the other founders."""
    from node.home import load_home

    _print_card(load_home(get_home(home), get_passphrase=ask_passphrase).make_card(), as_json=True)


def check_card(card_file: Annotated[Path, typer.Argument(help="A member card.")], as_json: JsonOption = False) -> None:
    """Check a member card: its signature, keys and proof of possession."""
    from node.cards import load_card

    card = load_card(card_file)
    if as_json:
        print_json({"ok": True, "name": card.name, "member": card.member.hex(), "peer_id": card.peer_id})
    else:
        print_line(f"good: {card.name}, member {card.member.hex()}, peer id {card.peer_id}")


def create_genesis(
    cards: CardsArgument,
    name: Annotated[str, typer.Option("--name", help="The network's name, for people.")] = "pnyx",
    task: Annotated[str, typer.Option("--task", help="A bundled task, or module:Class.")] = "digits",
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A task parameter key=value; may be repeated.")
    ] = None,
    preset: Annotated[Literal["neutral", "paper"], typer.Option("--preset", help="Who pays for what.")] = "neutral",
    aggregation: Annotated[AggregationName | None, typer.Option("--aggregation", help="How updates join.")] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=0, help="The job ends after this round; 0 never.")
    ] = None,
    proposers: Annotated[int | None, typer.Option("--proposers", help="Members that train in a round.")] = None,
    voters: Annotated[int | None, typer.Option("--voters", help="Members that judge in a round, at most; odd.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other network parameter name=value; may be repeated.")
    ] = None,
    task_path: Annotated[list[Path] | None, typer.Option("--task-path", help="Folder of an own task's module.")] = None,
    local: LocalOption = None,
    drand: Annotated[
        Path | None, typer.Option("--drand", help="A drand round, as its HTTP API answers it, to make the seed of.")
    ] = None,
    drand_key: Annotated[
        str, typer.Option("--drand-key", help="Public key of the drand network, if it is not quicknet.")
    ] = "",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for genesis.json and genesis.model.")
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Join cards, a task and parameters into genesis.json with its initial model."""
    from node.founding import Foundation, build_parameters, parse_pairs
    from protocol.genesis import TaskSpec
    from protocol.parameters import AggregationRule, Preset

    quiet_logs()
    loaded, commitments, round_of_drand = _load_seed_files(cards, drand, drand_key)
    parameters = build_parameters(
        preset=Preset[preset.upper()],
        member_count=len(loaded),
        choices={
            "aggregation": None if aggregation is None else AggregationRule[aggregation.upper()],
            "rounds_max": rounds,
            "proposer_count": proposers,
            "voter_count_max": voters,
        },
        settings=setting or (),
    )
    foundation = Foundation(
        name=name,
        task=TaskSpec(name=task, params=tuple(sorted(parse_pairs(param or ()).items()))),
        parameters=parameters,
        commitments=commitments,
        drand=round_of_drand,
        search_paths=tuple(task_path or ()),
        local=tuple(sorted(parse_pairs(local or ()).items())),
    )
    print_genesis(_found(loaded, foundation, output), as_json=as_json)
    if not as_json:
        print_note(_tell_what_comes_next(output, is_draft=bool(commitments)))


def check_genesis(
    genesis_file: Annotated[Path, typer.Argument(help="A genesis document.")], as_json: JsonOption = False
) -> None:
    """Check a genesis document or its draft; every founder must see the same id."""
    from node.genesis_file import load_genesis_or_draft

    print_genesis(load_genesis_or_draft(genesis_file), as_json=as_json)


def _load_seed_files(
    files: list[Path], drand: Path | None, drand_key: str
) -> "tuple[tuple[Card, ...], tuple[SeedCommitment, ...], DrandRound | None]":
    from node.errors import ConfigError
    from node.seed_files import load_drand_round, load_founder_files, parse_drand_key

    cards, commitments = load_founder_files(files)
    if drand is None:
        if drand_key:
            raise ConfigError("--drand-key says whose round it is; give the round itself with --drand")
        return cards, commitments, None
    if commitments:
        raise ConfigError("a seed has one origin: give the founders' commitments or --drand, not both")
    return cards, commitments, load_drand_round(drand, parse_drand_key(drand_key))


def _tell_what_comes_next(output: Path, *, is_draft: bool) -> str:
    if is_draft:
        draft = output / "genesis.draft.json"
        return (
            f"wrote {draft} and {output / 'genesis.model'}; send both to all founders, collect what"
            f" `pnyx genesis reveal` gives each, then: pnyx genesis finish {draft} *.reveal"
        )
    return f"wrote {output / 'genesis.json'} and {output / 'genesis.model'}; every founder copies both into its home"


def _found(cards: "tuple[Card, ...]", foundation: "Foundation", directory: Path) -> "Genesis":
    import trio

    from node.clock import OsEntropy, WallClock
    from node.founding import create_genesis as create

    async def run() -> "Genesis":
        return await create(cards, foundation, directory=directory, entropy=OsEntropy(), clock=WallClock())

    return trio.run(run)


def _print_card(card: "Card", *, as_json: bool) -> None:
    from node.cards import format_card

    if as_json:
        print_line(format_card(card).rstrip("\n"))
        return
    print_line(f"member   {card.member.hex()}")
    print_line(f"name     {card.name}")
    print_line(f"peer id  {card.peer_id}")
    for address in card.addresses:
        print_line(f"address  {address}")


def print_genesis(genesis: "Genesis", *, as_json: bool) -> None:
    """Print what founders look at before they agree."""
    from node.commands.genesis_report import describe_genesis, format_genesis_report

    if as_json:
        print_json(describe_genesis(genesis))
        return
    for line in format_genesis_report(genesis):
        print_line(line)
