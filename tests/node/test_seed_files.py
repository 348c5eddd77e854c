"""A founder's secret in its home, and the files of a seed: revealed once, and every mistake is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.errors import ConfigError
from node.json_values import JsonObject
from node.seed_files import (
    QUICKNET_GENESIS_S,
    QUICKNET_PERIOD_S,
    QUICKNET_PUBLIC_KEY,
    format_commitment,
    format_reveal,
    load_drand_round,
    load_founder_files,
    load_reveal,
    make_commitment,
    parse_drand_key,
    reveal_secret,
)
from protocol.crypto import SigningKey
from protocol.seeds import SeedCommitment, check_seed_reveal
from protocol.units import Digest
from tests.values import make_digest

QUICKNET = json.loads((Path(__file__).parents[1] / "vectors" / "drand_quicknet.json").read_text(encoding="utf-8"))
KEY = SigningKey(make_digest("key"))
DRAFT_ID = make_digest("draft")


def commit(path: Path) -> SeedCommitment:
    return make_commitment(path, KEY, entropy=OsEntropy())


def test_a_home_repeats_its_commitment_until_it_has_revealed(tmp_path: Path) -> None:
    """Or the second mail would make the first one worthless."""
    path = tmp_path / "seed"
    first = commit(path)
    assert commit(path) == first
    reveal_secret(path, KEY, DRAFT_ID, [first])
    assert commit(path) != first


def test_the_secret_is_for_its_owner_only(tmp_path: Path) -> None:
    commit(tmp_path / "seed")
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600


def test_what_is_revealed_opens_the_commitment_and_can_be_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    commitment = commit(path)
    reveal = reveal_secret(path, KEY, DRAFT_ID, [commitment])
    check_seed_reveal(reveal, commitment, DRAFT_ID)
    assert reveal_secret(path, KEY, DRAFT_ID, [commitment]) == reveal


def test_a_secret_is_revealed_for_one_draft_only(tmp_path: Path) -> None:
    """Whoever knows it and could still change the draft would choose the seed."""
    path = tmp_path / "seed"
    commitment = commit(path)
    reveal_secret(path, KEY, DRAFT_ID, [commitment])
    with pytest.raises(ConfigError, match=f"was revealed for draft {DRAFT_ID.hex()[:8]} already"):
        reveal_secret(path, KEY, make_digest("another draft"), [commitment])


def test_nothing_is_revealed_for_a_draft_without_the_own_commitment(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    with pytest.raises(ConfigError, match="made no seed commitment"):
        reveal_secret(path, KEY, DRAFT_ID, [])
    commitment = commit(path)
    with pytest.raises(ConfigError, match="does not contain the seed commitment of this home"):
        reveal_secret(path, KEY, DRAFT_ID, [commit(tmp_path / "another")])
    assert commit(path) == commitment


def test_files_are_read_back(tmp_path: Path) -> None:
    commitment = commit(tmp_path / "seed")
    reveal = reveal_secret(tmp_path / "seed", KEY, DRAFT_ID, [commitment])
    (tmp_path / "a.commit").write_text(format_commitment(commitment))
    (tmp_path / "a.reveal").write_text(format_reveal(reveal, DRAFT_ID))
    assert load_founder_files([tmp_path / "a.commit"]) == ((), (commitment,))
    assert load_reveal(tmp_path / "a.reveal", DRAFT_ID) == reveal


def test_a_reveal_for_another_draft_is_named(tmp_path: Path) -> None:
    commitment = commit(tmp_path / "seed")
    reveal = reveal_secret(tmp_path / "seed", KEY, DRAFT_ID, [commitment])
    (tmp_path / "a.reveal").write_text(format_reveal(reveal, DRAFT_ID))
    other = Digest(bytes(32))
    with pytest.raises(ConfigError, match=f"a.reveal: this reveal is for draft {DRAFT_ID.hex()[:8]}, not 00000000"):
        load_reveal(tmp_path / "a.reveal", other)


def test_a_forged_commitment_is_named(tmp_path: Path) -> None:
    document = json.loads(format_commitment(commit(tmp_path / "seed")))
    document["commitment"] = "00" * 32
    (tmp_path / "a.commit").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"a\.commit: wrong seed_commitment signature"):
        load_founder_files([tmp_path / "a.commit"])


def write_round(path: Path, edit: Callable[[JsonObject], object] = lambda _: None) -> Path:
    document: JsonObject = dict(QUICKNET["rounds"][0])
    edit(document)
    path.write_text(json.dumps(document))
    return path


def test_a_round_as_drand_answers_it_is_read(tmp_path: Path) -> None:
    drand = load_drand_round(write_round(tmp_path / "round.json"), QUICKNET_PUBLIC_KEY)
    assert (drand.round, drand.public_key) == (1_000, QUICKNET_PUBLIC_KEY)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        pytest.param(
            lambda d: d.update(round=1_001), "this is no round 1001 of the drand network 83cf0f28", id="round"
        ),
        pytest.param(lambda d: d.update(signature="00" * 48), "this is no round 1000", id="signature"),
        pytest.param(lambda d: d.update(randomness="00" * 32), "randomness is not the SHA-256", id="randomness"),
        pytest.param(lambda d: d.update(signature="00" * 96), "96 hex digits", id="another scheme"),
        pytest.param(lambda d: d.pop("signature"), "'signature' is missing", id="no signature"),
        pytest.param(lambda d: d.update(previous_signature=""), "unknown key 'previous_signature'", id="chained"),
    ],
)
def test_what_is_no_round_is_named(tmp_path: Path, edit: Callable[[JsonObject], object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_drand_round(write_round(tmp_path / "round.json", edit), QUICKNET_PUBLIC_KEY)
    assert str(caught.value).startswith(str(tmp_path / "round.json"))
    assert "\n" not in str(caught.value)


def test_the_constants_are_drands() -> None:
    assert QUICKNET_PUBLIC_KEY.hex() == QUICKNET["public_key"]
    assert (QUICKNET["genesis_time"], QUICKNET["period"]) == (QUICKNET_GENESIS_S, QUICKNET_PERIOD_S)


@pytest.mark.parametrize(("text", "complaint"), [("xyz", "hex digits are expected"), ("00", "192 hex digits")])
def test_a_wrong_key_of_a_network_is_named(text: str, complaint: str) -> None:
    assert parse_drand_key("") == parse_drand_key(QUICKNET["public_key"])
    with pytest.raises(ConfigError, match=f"--drand-key: .*{complaint}"):
        parse_drand_key(text)
