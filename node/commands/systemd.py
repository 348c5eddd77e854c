"""The command that writes a systemd unit for a node."""

import getpass
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from node.commands.common import DEFAULT_HOME, HomeOption, get_home, print_line, print_note

_PEOPLE: Final = tuple(Path("/") / name for name in ("home", "root", "run/user"))
"""What ProtectHome hides."""

_UNIT: Final = """\
# A pnyx node, made by `pnyx systemd-unit`. Put it into /etc/systemd/system/pnyx.service, then:
#   systemctl daemon-reload && systemctl enable --now pnyx && journalctl -fu pnyx
[Unit]
Description=pnyx node of {home}
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
# It says itself when it is ready (its ledger is loaded and its ports are open), and twice a minute that it lives.
Type=notify
NotifyAccess=main
WatchdogSec=60
ExecStart={program} run --home {home} --log-format json
User={user}
Restart=on-failure
RestartSec=5
# A wrong configuration (64), a damaged store (65), a passphrase (64) and our own bug (70) are not mended by a restart.
RestartPreventExitStatus=64 65 70
TimeoutStartSec=300
TimeoutStopSec=30
# The daemon stops its worker itself; whatever is left is killed.
KillMode=mixed
LimitNOFILE=4096
# A passphrase of the keys: PNYX_PASSPHRASE=... in this file, which nobody else may read.
EnvironmentFile=-/etc/pnyx.env

NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={home}
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
{protect_home}
[Install]
WantedBy=multi-user.target
"""


def systemd_unit(
    home: HomeOption = DEFAULT_HOME,
    user: Annotated[str | None, typer.Option("--user", help="Who runs the node.", show_default="you")] = None,
) -> None:
    """Print a systemd unit that runs this node: restarted when it fails, watched, and kept from everything else."""
    from node.errors import ConfigError
    from node.home import HomePaths

    root = get_home(home).absolute()
    if not HomePaths(root=root).config.is_file():
        raise ConfigError(f"there is no home in {root}: make it with `pnyx init --home {root}`, or name another")
    if any(character.isspace() for character in str(root)):
        raise ConfigError(f"{root} has a space in its name, which a unit cannot hold: move the home")
    chosen = getpass.getuser() if user is None else user
    print_line(format_unit(root, program=find_program(), user=chosen).rstrip("\n"))
    print_note(f"put it into /etc/systemd/system/pnyx.service; {chosen} must own {root}")


def find_program() -> Path:
    """Return the program that runs now: the script beside this interpreter, which a unit must name in full."""
    return Path(sys.executable).parent / "pnyx"


def format_unit(home: Path, *, program: Path, user: str) -> str:
    """Return the unit's text."""
    # Homes of people are hidden from the service unless its own home, or its program, lies there.
    is_hidden = not any(path.is_relative_to(top) for path in (home, program) for top in _PEOPLE)
    return _UNIT.format(
        home=home, program=program, user=user, protect_home="ProtectHome=yes\n" if is_hidden else ""
    )
