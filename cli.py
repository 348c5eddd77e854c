"""The ``pnyx`` command: names the commands and turns errors into one line and an exit code.

What a command does is in :mod:`node.commands`; nothing heavy is imported before one runs.
"""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from node.commands import (
    beacon,
    demo,
    doctor,
    inspect,
    keys,
    ledger,
    membership,
    operations,
    run,
    seeds,
    setup,
    simulate,
    systemd,
    tasks,
    testnet,
)

app = typer.Typer(
    name="pnyx",
    help="Federated learning without a server: members train, vote and are held to account on a ledger they all keep.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
genesis_app = typer.Typer(help="Make or check the document that a network starts from.", no_args_is_help=True)
card_app = typer.Typer(help="Show or check the public half of a member.", no_args_is_help=True)
key_app = typer.Typer(help="Back up, restore or encrypt a member's secret keys.", no_args_is_help=True)
model_app = typer.Typer(help="Show or export the current model.", no_args_is_help=True)
ledger_app = typer.Typer(help="Inspect or export the ledger.", no_args_is_help=True)
beacon_app = typer.Typer(help="Show or export the random beacon that rounds are drawn from.", no_args_is_help=True)
task_app = typer.Typer(help="Begin a task of your own, or try one.", no_args_is_help=True)
testnet_app = typer.Typer(help="A network of daemons on this machine, and how to break it.", no_args_is_help=True)

app.command()(demo.demo)
app.command()(simulate.simulate)
app.command()(setup.init)
app.add_typer(card_app, name="card")
card_app.command("show")(setup.show_card)
card_app.command("check")(setup.check_card)
app.add_typer(key_app, name="key")
key_app.command("backup")(keys.backup)
key_app.command("restore")(keys.restore)
key_app.command("check")(keys.check)
key_app.command("passphrase")(keys.passphrase)
app.add_typer(genesis_app, name="genesis")
genesis_app.command("create")(setup.create_genesis)
genesis_app.command("check")(setup.check_genesis)
genesis_app.command("commit")(seeds.commit)
genesis_app.command("reveal")(seeds.reveal)
genesis_app.command("finish")(seeds.finish)
app.command()(run.run)
app.command()(run.stop)
app.command("systemd-unit")(systemd.systemd_unit)
app.command()(doctor.doctor)
app.command()(inspect.status)
app.command()(inspect.peers)
app.command()(inspect.rounds)
app.command()(inspect.stakes)
app.add_typer(model_app, name="model")
model_app.command("show")(inspect.show_model)
model_app.command("export")(inspect.export_model)
app.command()(inspect.watch)
app.command()(operations.bond)
app.command()(operations.unbond)
app.command()(membership.join)
app.command()(membership.approve)
app.command()(membership.leave)
app.command()(membership.newcomers)
app.add_typer(task_app, name="task")
task_app.command("new")(tasks.new)
task_app.command("check")(tasks.check)
app.add_typer(ledger_app, name="ledger")
ledger_app.command("show")(ledger.show)
ledger_app.command("export")(ledger.export)
app.command()(ledger.verify)
app.add_typer(beacon_app, name="beacon")
beacon_app.command("show")(beacon.show)
beacon_app.command("export")(beacon.export)
app.add_typer(testnet_app, name="testnet")
testnet_app.command()(testnet.create)
testnet_app.command()(testnet.up)
testnet_app.command()(testnet.down)
testnet_app.command()(testnet.status)
testnet_app.command()(testnet.kill)
testnet_app.command()(testnet.pause)
testnet_app.command()(testnet.resume)
testnet_app.command()(testnet.restart)
testnet_app.command()(testnet.partition)
testnet_app.command()(testnet.heal)
testnet_app.command()(testnet.chaos)
testnet_app.command(hidden=True)(testnet.supervise)

DebugOption = Annotated[bool, typer.Option("--debug", envvar="PNYX_DEBUG", help="Show tracebacks of errors.")]


class _Settings:
    """What the options before the command set."""

    is_debug = False


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"pnyx {version('pnyx')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
]


@app.callback()
def _set_options(*, debug: DebugOption = False, _version: VersionOption = False) -> None:
    _Settings.is_debug = debug


def main() -> None:
    """Run the command line; errors become one line on stderr and the exit codes of STYLE.md."""
    from node.errors import NodeError
    from protocol.errors import InvariantViolation, ProtocolError

    try:
        app(prog_name="pnyx")
    except (NodeError, ProtocolError, InvariantViolation) as error:
        if _Settings.is_debug:
            raise
        _end(error)
    except OSError as error:
        # Without a file it is about something else, and a mistake of ours that nobody foresaw it.
        if _Settings.is_debug or not isinstance(error.filename, str):
            raise
        from node.durable import explain_os_error

        _end(explain_os_error(error, Path(error.filename)))


def _end(error: Exception) -> NoReturn:
    sys.stderr.write(f"pnyx: {error}\n")
    sys.exit(compute_exit_code(error))


def compute_exit_code(error: Exception) -> int:
    """Return the exit code of an error: the node's own, 70 for our bugs, 1 for a document that breaks a rule."""
    from node.errors import NodeError
    from protocol.errors import InvariantViolation

    if isinstance(error, NodeError):
        return error.exit_code
    return 70 if isinstance(error, InvariantViolation) else 1


if __name__ == "__main__":
    main()
