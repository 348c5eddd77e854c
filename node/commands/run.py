"""Commands that start and stop a node."""

from enum import StrEnum
from typing import Annotated

import typer

from node.commands.common import DEFAULT_HOME, HomeOption, ask_passphrase, get_home, print_note


class LogFormat(StrEnum):
    """How the log is written."""

    CONSOLE = "console"
    JSON = "json"


def run(
    home: HomeOption = DEFAULT_HOME,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="Lines for people or JSON; overrides the configuration.")
    ] = None,
) -> None:
    """Run the node until it is told to stop (SIGTERM, Ctrl-C or pnyx stop)."""
    from node.lean_import import LIBP2P_PACKAGES, skip_package_code

    skip_package_code(*LIBP2P_PACKAGES)
    from node.daemon import run_daemon

    chosen = None if log_format is None else log_format.value
    run_daemon(get_home(home), log_format=chosen, get_passphrase=ask_passphrase)


def stop(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop the node that runs on a home, and wait until it has."""
    from node.commands.stopping import stop_daemon

    stop_daemon(get_home(home))
    print_note("stopped")
