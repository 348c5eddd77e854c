"""A node's own settings: ``config.toml`` in its home, each key overridable by an environment variable ``PNYX_<KEY>``.

Nothing here is agreed on between nodes; that is what the genesis document is for. Unknown keys are errors, because a
misspelt setting that is silently ignored is found only when it would have been needed.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config_keys import KEYS, Attack, Key, LogFormat, LogLevel
from node.errors import ConfigError
from node.json_documents import suggest
from node.toml_documents import parse_toml
from protocol.units import MemberId

CONFIG_FILE_NAME: Final = "config.toml"
VARIABLE_PREFIX: Final = "PNYX_"

_OTHER_VARIABLES: Final = frozenset({"PNYX_HOME", "PNYX_PASSPHRASE", "PNYX_NEW_PASSPHRASE", "PNYX_BACKUP_PASSPHRASE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A node's own settings."""

    name: str
    listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/4001",)
    announce: tuple[str, ...] = ()
    peers: tuple[tuple[MemberId, tuple[str, ...]], ...] = ()
    """Addresses that replace those that the ledger tells, sorted by member.

    They make nobody a member; who is none is only asked for the blocks that this node lacks.
    """
    data_part: int = -1
    """Which part of a dealt data set is this member's, 0-based; -1 leaves it to :func:`compute_data_part`."""
    device: str = "cpu"
    launcher: str = ""
    """Starts the processes that train together; empty if the worker trains by itself."""
    worker_threads: int = 1
    work_timeout_s: int = 600
    """A training, evaluation or aggregation that takes longer, in seconds, counts as failed."""
    artifact_quota_bytes: int = 20 << 30
    artifact_retention_count: int = 64
    http_port: int = 0
    """Where the pages of :mod:`node.http` are served; 0 serves none."""
    http_host: str = "127.0.0.1"
    http_hosts: tuple[str, ...] = ()
    """Names that the pages are asked by, besides addresses, localhost and http_host."""
    log_format: LogFormat = LogFormat.CONSOLE
    log_level: LogLevel = LogLevel.INFO
    attack: Attack = Attack.NONE
    attack_strength: float = 4.0
    invert_ballots: bool = False
    task: tuple[tuple[str, str], ...] = ()
    """What the task is told on this node alone, sorted by name."""


def load_config(path: Path, *, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file and the environment variables that override it.

    Raises:
        ConfigError: Not readable, no TOML, an unknown key, or a value of the wrong type or range; the message names
            file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}: make a home with `pnyx init`, or name another one with --home"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    fields: dict[str, object] = {}
    for name, value in parse_toml(text, where=str(path)).items():
        where = f"{path}, line {_find_line(text, name)}"
        key = KEYS.get(name)
        if key is None:
            raise ConfigError(f"{where}: unknown key {name!r}{suggest(name, KEYS)}")
        fields[name] = _read(key, value, where)
    fields |= _read_environment(environment)
    if "name" not in fields:
        raise ConfigError(f"{path}: the key 'name' is missing: give this member's name")
    return _build(fields)


def read_setting(name: str, value: object, where: str) -> object:
    """Return the value of one setting, wherever it was given.

    Raises:
        ConfigError: It is of the wrong type or range; the message begins with ``where``.
    """
    return _read(KEYS[name], value, where)


def format_config(config: Config) -> str:
    """Return the text of a configuration file: every key with what it means."""
    blocks = [
        "# Settings of one pnyx node. Every key can also be set by the environment variable named below it,\n"
        "# which wins over this file. A key that is left out has the value that `pnyx init` wrote here.\n"
        f"# A passphrase for the keys comes from {VARIABLE_PREFIX}PASSPHRASE and is never written here."
    ]
    tables: list[str] = []
    for key in KEYS.values():
        variable = f"# {VARIABLE_PREFIX}{key.name.upper()}{key.example and '=' + key.example}"
        comment = "\n".join(f"# {line}" for line in key.comment.split("\n"))
        value = getattr(config, key.name)
        if key.name == "peers":
            lines = [f'"{member.hex()}" = {_format_value(addresses)}' for member, addresses in value]
            tables.append("\n".join([comment, variable, "[peers]", *lines]))
        elif key.name == "task":
            lines = [f"{_format_value(name)} = {_format_value(text)}" for name, text in value]
            tables.append("\n".join([comment, variable, "[task]", *lines]))
        else:
            blocks.append(f"{comment}\n{variable}\n{key.name} = {_format_value(value)}")
    return "\n\n".join([*blocks, *tables]) + "\n"


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_format_value(item) for item in value) + "]"
    # A JSON string, number or truth value is written alike in TOML; DEL alone must be escaped there and not in JSON.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_environment(environment: Mapping[str, str]) -> dict[str, object]:
    fields: dict[str, object] = {}
    variables = {VARIABLE_PREFIX + name.upper(): key for name, key in KEYS.items()}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(VARIABLE_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        key = variables.get(variable)
        if key is None:
            # Other programs may use the prefix too, so only what looks like a misspelt setting is refused.
            hint = suggest(variable, variables, cutoff=0.8)
            if hint:
                raise ConfigError(f"environment variable {variable} is no setting{hint}: correct or unset it")
            continue
        try:
            value = key.from_text(text)
        except ValueError as error:
            raise ConfigError(f"environment variable {variable}: {error}") from error
        fields[key.name] = _read(key, value, f"environment variable {variable}")
    return fields


def _read(key: Key, value: object, where: str) -> object:
    try:
        return key.read(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {key.name}: {error}") from error


def _build(fields: dict[str, object]) -> Config:
    known = {field.name for field in dataclasses.fields(Config)}
    assert set(fields) <= known
    return Config(**fields)  # type: ignore[arg-type]  # every value comes from its key's own reader


def _find_line(text: str, name: str) -> int:
    pattern = re.compile(rf"""^\s*\[?\s*["']?{re.escape(name)}["']?\s*[\]=.]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return number
    return 1
