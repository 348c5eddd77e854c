"""drand and we agree in both directions, and the curve library agrees with RFC 9380 (B1, B7)."""

import hashlib
import json
from pathlib import Path

import drand_verify
import pytest
from py_arkworks_bls12381 import G1Point

from protocol.bls.threshold import SCHEME, check_output, compute_randomness
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsSignature, Round
from tests.bls_groups import make_group

VECTORS = Path(__file__).parents[2] / "vectors"
QUICKNET = json.loads((VECTORS / "drand_quicknet.json").read_text(encoding="utf-8"))
QUICKNET_KEY = BlsPublicKey(bytes.fromhex(QUICKNET["public_key"]))
HASH_TO_CURVE = json.loads((VECTORS / "bls12381g1_rfc9380.json").read_text(encoding="utf-8"))
GROUP = make_group(7, 4)
ROUNDS = [1, 2, 1_000, 2**32, 2**64 - 1]


@pytest.mark.parametrize("vector", HASH_TO_CURVE["vectors"], ids=lambda vector: vector["message"][:20])
def test_messages_hash_to_the_points_of_the_rfc(vector: dict[str, str]) -> None:
    """B7."""
    point = G1Point.hash_to_curve(vector["message"].encode(), HASH_TO_CURVE["dst"].encode())
    assert bytes(point.to_xy_bytes_be()).hex() == vector["x"] + vector["y"]


@pytest.mark.parametrize("beacon", QUICKNET["rounds"], ids=lambda beacon: str(beacon["round"]))
def test_published_rounds_of_drand_verify(beacon: dict[str, str]) -> None:
    """B1: same scheme, same bytes."""
    signature = BlsSignature(bytes.fromhex(beacon["signature"]))
    check_output(QUICKNET_KEY, Round(int(beacon["round"])), signature)
    assert compute_randomness(signature).hex() == beacon["randomness"]


@pytest.mark.parametrize("beacon", QUICKNET["rounds"], ids=lambda beacon: str(beacon["round"]))
def test_a_round_of_drand_is_that_of_no_other_round_or_key(beacon: dict[str, str]) -> None:
    """B1."""
    signature = BlsSignature(bytes.fromhex(beacon["signature"]))
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_output(QUICKNET_KEY, Round(int(beacon["round"]) + 1), signature)
    with pytest.raises(InvalidMessage, match="does not verify"):
        check_output(GROUP.public_key, Round(int(beacon["round"])), signature)


def test_the_vectors_are_of_the_scheme_that_we_implement() -> None:
    assert QUICKNET["scheme"] == SCHEME
    assert len(QUICKNET["rounds"]) >= 3


@pytest.mark.parametrize("round_number", ROUNDS)
def test_drands_own_verifier_accepts_what_we_sign(round_number: int) -> None:
    """B1: stock tooling, our beacon."""
    signature = GROUP.sign(round_number, [6, 1, 4, 3])
    randomness = drand_verify.verify_bls_unchained_g1_rfc9380(round_number, signature.hex(), GROUP.public_key.hex())
    assert randomness == hashlib.sha256(signature).hexdigest() == compute_randomness(signature).hex()


def change(text: str, place: int) -> str:
    return text[:place] + format(int(text[place], 16) ^ 1, "x") + text[place + 1 :]


@pytest.mark.parametrize(
    ("round_number", "signature", "public_key"),
    [
        pytest.param(8, GROUP.sign(7, range(4)).hex(), GROUP.public_key.hex(), id="another round"),
        pytest.param(7, change(GROUP.sign(7, range(4)).hex(), 60), GROUP.public_key.hex(), id="another signature"),
        pytest.param(
            7, GROUP.sign(7, range(4)).hex(), make_group(7, 4, 2, "other").public_key.hex(), id="another group"
        ),
        pytest.param(7, GROUP.sign(7, range(4)).hex(), QUICKNET["public_key"], id="drand's group"),
    ],
)
def test_drands_own_verifier_refuses_what_was_altered(round_number: int, signature: str, public_key: str) -> None:
    """B1."""
    drand_verify.verify_bls_unchained_g1_rfc9380(7, GROUP.sign(7, range(4)).hex(), GROUP.public_key.hex())
    with pytest.raises(ValueError, match=r"(?i)verification failed|invalid"):
        drand_verify.verify_bls_unchained_g1_rfc9380(round_number, signature, public_key)
