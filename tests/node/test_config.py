"""Configuration: what the file says, what the environment overrides, and what is refused with a hint."""

import dataclasses
from pathlib import Path

import pytest

from node.config import Config, format_config, load_config
from node.config_keys import KEYS, Attack, LogFormat, LogLevel
from node.errors import ConfigError
from node.peer_ids import member_to_peer_id
from protocol.units import MemberId

MEMBER = MemberId(bytes(range(32)))

FULL = Config(
    name='Spital "am See" \\ é',
    listen=("/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"),
    announce=("/dns4/node.example.org/tcp/4001",),
    peers=((MEMBER, ("/ip4/192.0.2.7/tcp/4001",)),),
    device="cuda:1",
    launcher="torchrun --nproc-per-node 2",
    worker_threads=8,
    work_timeout_s=3_600,
    artifact_quota_bytes=0,
    artifact_retention_count=0,
    http_port=8_780,
    http_host="0.0.0.0",
    http_hosts=("node.example.org", "Node-7", "alpha_1"),
    log_format=LogFormat.JSON,
    log_level=LogLevel.DEBUG,
    attack=Attack.SIGN_FLIP,
    attack_strength=2.5,
    invert_ballots=True,
    task=(("data", 'C:\\"patients".csv'), ("ward no.", "7")),
)


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environment=environment or {})


def load_variable(tmp_path: Path, variable: str, text: str) -> Config:
    return load(tmp_path, 'name = "a"\n', {variable: text})


@pytest.mark.parametrize("config", [Config(name="a"), FULL], ids=["defaults", "everything"])
def test_what_is_written_is_read_back(tmp_path: Path, config: Config) -> None:
    assert load(tmp_path, format_config(config)) == config


def test_a_name_alone_is_enough(tmp_path: Path) -> None:
    assert load(tmp_path, 'name = "a"\n') == Config(name="a")


def test_every_setting_has_a_key_and_every_key_a_comment_and_its_variable() -> None:
    assert set(KEYS) == {field.name for field in dataclasses.fields(Config)}
    text = format_config(Config(name="a"))
    for name in KEYS:
        assert f"# PNYX_{name.upper()}" in text


def test_a_missing_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'name' is missing"):
        load(tmp_path, "worker_threads = 1\n")


def test_an_unknown_key_names_its_line_and_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"config\.toml, line 3: unknown key 'worker_thread' \(did you mean 'worker_threads'"
    ):
        load(tmp_path, 'name = "a"\n\nworker_thread = 2\n')


def test_an_unknown_table_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2: unknown key 'http'"):
        load(tmp_path, 'name = "a"\n[http]\nport = 80\n')


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml is no TOML: .*line 2"):
        load(tmp_path, 'name = "a"\nlisten = [oops]\n')


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pnyx init"):
        load_config(tmp_path / "config.toml", environment={})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('name = ""', "text of 1 to 64 characters"),
        ("name = 7", "text of 1 to 64 characters"),
        ("listen = []", "at least 1"),
        ('listen = "/ip4/0.0.0.0/tcp/4001"', "a list"),
        ('listen = ["0.0.0.0:4001"]', "write it like"),
        ('listen = ["/ip4/0.0.0.0/tcp/65536"]', "write it like"),
        ('listen = ["/ip4/0.0.0.0/udp/1/quic"]', "write it like"),
        ("worker_threads = 0", "from 1 to 1024"),
        ("worker_threads = true", "an integer"),
        ("worker_threads = 1.5", "an integer"),
        ("artifact_quota_bytes = -1", "from 0"),
        ("attack_strength = nan", "a number"),
        ('attack_strength = "4"', "a number"),
        ('attack = "sign-flip"', "did you mean 'sign_flip'"),
        ('log_level = "verbose"', "one of debug, info, warning, error"),
        ("invert_ballots = 1", "true or false"),
        ('device = "gpu"', '"cpu", "cuda", "cuda:1"'),
        ('launcher = "torchrun \'"', "is no command: no closing quotation"),
        ('task = "data"', "a table of texts"),
        ("task = { ward = 7 }", 'ward: text is expected, not 7: put it in "quotes"'),
        ('peers = "me"', "a table"),
        ('peers = { "bob" = ["/ip4/1.2.3.4/tcp/1"] }', "copy it from a card"),
        (f'peers = {{ "{MEMBER.hex()}" = [] }}', "at least 1"),
    ],
)
def test_a_wrong_value_names_line_key_and_what_is_expected(tmp_path: Path, line: str, complaint: str) -> None:
    first = "" if line.startswith("name") else 'name = "a"\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{first}{line}\n")
    key = line.split(" ", maxsplit=1)[0]
    assert f"line {2 if first else 1}: {key}: " in str(caught.value)
    assert complaint in str(caught.value)


def test_peers_may_be_named_by_peer_id(tmp_path: Path) -> None:
    text = f'name = "a"\n[peers]\n"{member_to_peer_id(MEMBER)}" = ["/dns/h/tcp/1"]\n'
    assert load(tmp_path, text).peers == ((MEMBER, ("/dns/h/tcp/1",)),)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("PNYX_NAME", "b", "name", "b"),
        (
            "PNYX_LISTEN",
            "/ip4/1.2.3.4/tcp/1, /ip4/1.2.3.4/tcp/2",
            "listen",
            ("/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"),
        ),
        ("PNYX_ANNOUNCE", "", "announce", ()),
        ("PNYX_WORKER_THREADS", "3", "worker_threads", 3),
        ("PNYX_ATTACK", "noise", "attack", Attack.NOISE),
        ("PNYX_ATTACK_STRENGTH", "0.5", "attack_strength", 0.5),
        ("PNYX_INVERT_BALLOTS", "True", "invert_ballots", True),
        ("PNYX_LOG_FORMAT", "json", "log_format", LogFormat.JSON),
        ("PNYX_LAUNCHER", " torchrun --nproc-per-node 4 ", "launcher", "torchrun --nproc-per-node 4"),
        ("PNYX_TASK", "data=/srv/a=b.csv; ward = 7", "task", (("data", "/srv/a=b.csv"), ("ward", "7"))),
        (
            "PNYX_PEERS",
            f"{MEMBER.hex()}=/dns/h/tcp/1,/dns/h/tcp/2",
            "peers",
            ((MEMBER, ("/dns/h/tcp/1", "/dns/h/tcp/2")),),
        ),
    ],
)
def test_the_environment_wins_over_the_file(
    tmp_path: Path, variable: str, text: str, field: str, value: object
) -> None:
    assert getattr(load_variable(tmp_path, variable, text), field) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PNYX_WORKER_THREADS", "many"),
        ("PNYX_WORKER_THREADS", "0"),
        ("PNYX_WORKER_THREADS", "1" * 5_000),
        ("PNYX_INVERT_BALLOTS", "maybe"),
        ("PNYX_ATTACK_STRENGTH", "strong"),
        ("PNYX_ATTACK_STRENGTH", "nan"),
        ("PNYX_LISTEN", "somewhere"),
        ("PNYX_PEERS", "somebody"),
        ("PNYX_TASK", "data"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"environment variable {variable}"):
        load_variable(tmp_path, variable, text)


@pytest.mark.parametrize("key", ["task", "peers", "listen", "worker_threads", "unknown"])
def test_dotted_keys_nest_no_deeper_than_can_be_printed(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: tables or lists are nested too deeply"):
        load(tmp_path, f'name = "a"\n{key}{".a" * 1_100} = 1\n')


@pytest.mark.parametrize("key", ["worker_threads", "attack_strength", "task.data"])
def test_an_integer_of_more_than_64_bits_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="an integer has more than 64 bits"):
        load(tmp_path, f'name = "a"\n{key} = 0x1{"0" * 16}\n')


def test_names_of_the_pages_come_from_the_environment_too(tmp_path: Path) -> None:
    assert load_variable(tmp_path, "PNYX_HTTP_HOSTS", "a.example, b").http_hosts == ("a.example", "b")


@pytest.mark.parametrize(
    "value", ['"node"', '["node:8780"]', '["http://node"]', '["*"]', '[""]', "[1]", '["a\\n"]', '["a."]']
)
def test_a_name_of_the_pages_is_a_bare_one(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"line 2: http_hosts: a (name without port|list of host names)"):
        load(tmp_path, f'name = "a"\nhttp_hosts = {value}\n')


def test_a_misspelt_variable_is_refused_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'PNYX_LISTEN'"):
        load_variable(tmp_path, "PNYX_LISTENS", "/ip4/1.2.3.4/tcp/1")


def test_other_variables_are_nobodys_business(tmp_path: Path) -> None:
    passphrases = ("PNYX_PASSPHRASE", "PNYX_NEW_PASSPHRASE", "PNYX_BACKUP_PASSPHRASE")
    environment = {**dict.fromkeys(passphrases, "y"), "PNYX_HOME": "x", "PNYX_ZEBRA_CROSSING": "z", "HOME": "/"}
    assert load(tmp_path, 'name = "a"\n', environment) == Config(name="a")
