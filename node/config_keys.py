"""Every key of ``config.toml``: how it is read from the file or the environment, its bounds, and what it means."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from node.addresses import check_address
from node.errors import ConfigError
from node.json_documents import suggest
from node.peer_ids import peer_id_to_member
from protocol.units import MemberId

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Attack(StrEnum):
    """How a malicious member of an experiment poisons its updates."""

    NONE = "none"
    LABEL_FLIP = "label_flip"
    SIGN_FLIP = "sign_flip"
    NOISE = "noise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """How one key is read, from TOML and from an environment variable, and explained in the file."""

    name: str
    read: Callable[[object], object]
    """Takes a TOML value; raises ValueError saying what is expected."""
    from_text: Callable[[str], object]
    """Takes an environment variable's text and gives what TOML would have given."""
    comment: str
    example: str = ""
    """What the environment variable may look like, if that is not plain."""


def _read_text(characters_max: int) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not isinstance(value, str) or not 0 < len(value) <= characters_max:
            raise ValueError(f"text of 1 to {characters_max} characters is expected, not {value!r:.60}")
        return value

    return read


def _read_int(lowest: int, highest: int) -> Callable[[object], object]:
    def read(value: object) -> object:
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError(f"an integer from {lowest} to {highest} is expected, not {value!r:.60}")
        return value

    return read


def _read_number(lowest: float, highest: float) -> Callable[[object], object]:
    def read(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise ValueError(f"a number from {lowest:g} to {highest:g} is expected, not {value!r:.60}")
        return float(value)

    return read


def _read_choice(kind: type[StrEnum]) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"one of {', '.join(kind)} is expected, not {value!r:.60}{suggest(str(value), kind)}")
        return kind(value)

    return read


def _read_bool(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is expected, not {value!r:.60}")
    return value


def _read_addresses(count_min: int) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not isinstance(value, list) or len(value) < count_min:
            raise ValueError(f"a list of at least {count_min} addresses is expected, not {value!r:.60}")
        for item in value:
            check_address(item)
        return tuple(value)

    return read


def _read_hosts(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError(f"a list of host names is expected, not {value!r:.60}")
    for item in value:
        if not isinstance(item, str) or not _HOST.fullmatch(item):
            raise ValueError(f'a name without port, such as "node.example.org", is expected, not {item!r:.60}')
    return tuple(value)


def _read_peers(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"a table of members and addresses is expected, not {value!r:.60}")
    read_addresses = _read_addresses(1)
    peers: dict[MemberId, tuple[str, ...]] = {}
    for name, addresses in value.items():
        peers[_read_member(name)] = cast("tuple[str, ...]", read_addresses(addresses))
    return tuple(sorted(peers.items()))


def _read_device(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", value):
        raise ValueError(f'"cpu", "cuda", "cuda:1" (a GPU\'s number) or "mps" is expected, not {value!r:.60}')
    return value


def _read_launcher(value: object) -> object:
    if not isinstance(value, str) or len(value) > 1_000:
        raise ValueError(f"a command in one line is expected, not {value!r:.60}")
    try:
        shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{value!r:.60} is no command: {str(error).lower()}") from None
    return value.strip()


def _read_texts(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"a table of texts is expected, not {value!r:.60}")
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f'{name}: text is expected, not {text!r:.60}: put it in "quotes"')
    return tuple(sorted(value.items()))


def _read_member(text: str) -> MemberId:
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return MemberId(bytes.fromhex(text))
    try:
        return peer_id_to_member(text)
    except ConfigError as error:
        raise ValueError(
            f"{text!r:.80} is neither a member (64 hex digits) nor a peer id: copy it from a card"
        ) from error


def _int_from_text(text: str) -> object:
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise ValueError(f"an integer is expected, not {text!r:.60}")
    return int(text)


def _number_from_text(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a number is expected, not {text!r:.60}") from None


def _bool_from_text(text: str) -> object:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError(f"true or false is expected, not {text!r:.60}")
    return values[text.lower()]


def _list_from_text(text: str) -> object:
    return [item.strip() for item in text.split(",") if item.strip()]


def _texts_from_text(text: str) -> object:
    pairs = [item.partition("=") for item in text.split(";") if item.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("NAME=TEXT;NAME=TEXT is expected")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _peers_from_text(text: str) -> object:
    pairs = [item.split("=", 1) for item in text.split(";") if item.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("MEMBER=ADDRESS,ADDRESS;MEMBER=ADDRESS is expected")
    return {member.strip(): _list_from_text(addresses) for member, addresses in pairs}


_ALL_KEYS: Final = (
    Key(
        name="name",
        read=_read_text(64),
        from_text=str,
        comment="This member's name, for people: as on its card.",
    ),
    Key(
        name="listen",
        read=_read_addresses(1),
        from_text=_list_from_text,
        comment="Where this node waits for the other members.",
        example="ADDRESS,ADDRESS",
    ),
    Key(
        name="announce",
        read=_read_addresses(0),
        from_text=_list_from_text,
        comment="Addresses for the member card if others reach this node by other ones than it listens on (NAT, DNS).",
        example="ADDRESS,ADDRESS",
    ),
    Key(
        name="data_part",
        read=_read_int(-1, 1_000_000),
        from_text=_int_from_text,
        comment="Which part this member has of the data that a bundled task deals among the founders, counted from 0.\n"
        "-1: a founder has its own, a newcomer shares one that its key chooses. Tasks with own data ignore it.",
    ),
    Key(
        name="device",
        read=_read_device,
        from_text=str,
        comment='Where the worker computes: "cpu", "cuda", "cuda:1", "mps".',
    ),
    Key(
        name="launcher",
        read=_read_launcher,
        from_text=str,
        comment='Trains in several processes on this machine that torch.distributed joins, if the task can do so:\n'
        '"torchrun --nproc-per-node 2". Empty: in one.',
    ),
    Key(
        name="worker_threads",
        read=_read_int(1, 1_024),
        from_text=_int_from_text,
        comment="CPU threads that the worker may use.",
    ),
    Key(
        name="work_timeout_s",
        read=_read_int(1, 1_000_000),
        from_text=_int_from_text,
        comment="A training, evaluation or aggregation that takes longer, in seconds, is given up for this round.",
    ),
    Key(
        name="artifact_quota_bytes",
        read=_read_int(0, 1 << 50),
        from_text=_int_from_text,
        comment="Disk space for models and updates, in bytes; what no rule needs any more goes first. 0 sets no limit.",
    ),
    Key(
        name="artifact_retention_count",
        read=_read_int(0, 1_000_000),
        from_text=_int_from_text,
        comment="How many models and updates that no rule needs any more are kept while there is room.",
    ),
    Key(
        name="http_port",
        read=_read_int(0, 65_535),
        from_text=_int_from_text,
        comment="The port of the dashboard, health checks, metrics and JSON API, all read only. 0: none.",
    ),
    Key(
        name="http_host",
        read=_read_text(255),
        from_text=str,
        comment="Where that port listens: 127.0.0.1 for this machine alone, 0.0.0.0 for everybody who reaches it.\n"
        "There is no password and no encryption: put a proxy that has them in front.",
        example="ADDRESS",
    ),
    Key(
        name="http_hosts",
        read=_read_hosts,
        from_text=_list_from_text,
        comment="Names by which browsers, a proxy or Prometheus ask that port: it answers to addresses, localhost and\n"
        "these, so that no page elsewhere reads this node under a name of its own.",
        example="NAME,NAME",
    ),
    Key(
        name="log_format",
        read=_read_choice(LogFormat),
        from_text=str,
        comment='Log lines: "console" for people, "json" for programs.',
    ),
    Key(
        name="log_level",
        read=_read_choice(LogLevel),
        from_text=str,
        comment='The least important lines that are logged: "debug", "info", "warning", "error".',
    ),
    Key(
        name="attack",
        read=_read_choice(Attack),
        from_text=str,
        comment="For experiments only: how this member poisons its updates:\n"
        '"none", "label_flip", "sign_flip", "noise".',
    ),
    Key(
        name="attack_strength",
        read=_read_number(0.0, 1e6),
        from_text=_number_from_text,
        comment="For experiments only: the factor of a flipped update, or the size of the noise\n"
        "added to every weight.",
    ),
    Key(
        name="invert_ballots",
        read=_read_bool,
        from_text=_bool_from_text,
        comment="For experiments only: whether this member votes the wrong way round.",
    ),
    Key(
        name="task",
        read=_read_texts,
        from_text=_texts_from_text,
        comment="What this node's task is told and no other node learns, such as where its own data are:\n"
        'data = "/srv/ward/patients.csv"',
        example="NAME=TEXT;NAME=TEXT",
    ),
    Key(
        name="peers",
        read=_read_peers,
        from_text=_peers_from_text,
        comment="Addresses to dial instead of those that the ledger tells, by member or peer id:\n"
        '"12D3KooW..." = ["/ip4/192.0.2.7/tcp/4001"]',
        example="MEMBER=ADDRESS,ADDRESS;MEMBER=ADDRESS",
    ),
)

KEYS: Final = {key.name: key for key in _ALL_KEYS}
"""Every key of the configuration file, by name."""
