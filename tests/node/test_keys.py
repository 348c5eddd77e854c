"""Key files: private, never overwritten, encrypted on request."""

import json
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.errors import ConfigError
from node.keys import KEY_FILE_NAME, NodeKeys, create_keys, get_environment_passphrase, load_keys


def make(directory: Path, passphrase: str | None = None) -> NodeKeys:
    return create_keys(directory, entropy=OsEntropy(), passphrase=passphrase)


def are_equal(one: NodeKeys, other: NodeKeys) -> bool:
    return (one.seed, one.signing.member, one.bls.public_key, one.salt_secret) == (
        other.seed,
        other.signing.member,
        other.bls.public_key,
        other.salt_secret,
    )


def refuse_to_ask() -> str:
    raise AssertionError("nobody needs a passphrase here")


def test_keys_come_back_as_they_were_made(tmp_path: Path) -> None:
    made = make(tmp_path / "keys")
    assert are_equal(load_keys(tmp_path / "keys", get_passphrase=refuse_to_ask), made)


def test_no_two_homes_get_the_same_keys(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one"), make(tmp_path / "other")
    assert one.signing.member != other.signing.member
    assert one.bls.public_key != other.bls.public_key
    assert one.salt_secret != other.salt_secret


def test_only_the_owner_can_read_the_keys(tmp_path: Path) -> None:
    make(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / KEY_FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    made = make(tmp_path)
    with pytest.raises(ConfigError, match="never overwritten"):
        make(tmp_path)
    assert are_equal(load_keys(tmp_path), made)


@pytest.mark.parametrize(("place", "mode", "advice"), [(KEY_FILE_NAME, 0o640, "chmod 600"), ("", 0o750, "chmod 700")])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, place: str, mode: int, advice: str) -> None:
    directory = tmp_path / "keys"
    make(directory)
    (directory / place).chmod(mode)
    with pytest.raises(ConfigError, match=advice):
        load_keys(directory)


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pnyx init"):
        load_keys(tmp_path)


@pytest.mark.usefixtures("cheap_passphrases")
def test_encrypted_keys_open_with_their_passphrase(tmp_path: Path) -> None:
    made = make(tmp_path, "correct horse")
    assert are_equal(load_keys(tmp_path, get_passphrase=lambda: "correct horse"), made)


@pytest.mark.usefixtures("cheap_passphrases")
def test_a_passphrase_may_be_any_bytes(tmp_path: Path) -> None:
    passphrase = b"caf\xe9".decode(errors="surrogateescape")
    made = make(tmp_path, passphrase)
    assert are_equal(load_keys(tmp_path, get_passphrase=lambda: passphrase), made)


@pytest.mark.usefixtures("cheap_passphrases")
def test_encrypted_keys_hide_the_seeds(tmp_path: Path) -> None:
    made = make(tmp_path, "correct horse")
    text = (tmp_path / KEY_FILE_NAME).read_text()
    assert made.seed.hex() not in text
    assert "correct horse" not in text


@pytest.mark.usefixtures("cheap_passphrases")
def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "correct horse")
    with pytest.raises(ConfigError, match="does not open with this passphrase"):
        load_keys(tmp_path, get_passphrase=lambda: "incorrect horse")


@pytest.mark.usefixtures("cheap_passphrases")
def test_without_anybody_to_ask_encrypted_keys_name_the_variable(tmp_path: Path) -> None:
    make(tmp_path, "correct horse")
    with pytest.raises(ConfigError, match="PNYX_PASSPHRASE"):
        load_keys(tmp_path, get_passphrase=lambda: None)


def test_an_empty_passphrase_is_no_passphrase(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="passphrase is empty"):
        make(tmp_path, "")
    assert get_environment_passphrase({"PNYX_PASSPHRASE": ""}) is None
    assert get_environment_passphrase({"PNYX_PASSPHRASE": "horse"}) == "horse"


def test_the_costs_of_a_passphrase_are_not_the_tests(tmp_path: Path) -> None:
    make(tmp_path, "correct horse")
    document = json.loads((tmp_path / KEY_FILE_NAME).read_text())
    assert document["argon2id_memory_bytes"] >= 256 << 20
    assert document["argon2id_operations"] >= 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 1, "ed25519_seed": "00", "bls_seed": "00"}',
        '{"version": 2, "ed25519_seed": "00", "bls_seed": "00"}',
        '{"version": 1, "ed25519_seed": 7, "bls_seed": "00"}',
        '{"version": 1, "argon2id_salt": "00", "argon2id_operations": 1, "argon2id_memory_bytes": 1, "sealed": "00"}',
    ],
)
def test_a_damaged_key_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    make(tmp_path)
    (tmp_path / KEY_FILE_NAME).write_text(content)
    with pytest.raises(ConfigError, match=KEY_FILE_NAME.replace(".", r"\.")):
        load_keys(tmp_path, get_passphrase=lambda: "horse")


def test_a_damaged_key_file_is_not_shown(tmp_path: Path) -> None:
    made = make(tmp_path)
    path = tmp_path / KEY_FILE_NAME
    path.write_text(path.read_text().replace(made.seed.hex(), made.seed.hex().upper()))
    with pytest.raises(ConfigError) as refused:
        load_keys(tmp_path)
    assert made.seed.hex()[:8] not in str(refused.value).lower()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="this is no JSON"):
        load_keys(tmp_path)


def test_keys_do_not_print_their_secrets(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert made.seed.hex() not in repr(made)
    assert repr(made.seed) not in repr(made)
