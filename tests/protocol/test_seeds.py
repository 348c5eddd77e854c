"""The genesis seed: made by all founders or by a drand round, and anybody can check it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.codec import encode
from protocol.crypto import SigningKey
from protocol.errors import InvalidMessage
from protocol.genesis import (
    Genesis,
    check_genesis,
    check_genesis_draft,
    compute_chain_id,
    compute_draft_id,
    decode_genesis,
)
from protocol.seeds import (
    DrandRound,
    FoundersSeed,
    compute_drand_seed,
    compute_founders_seed,
    sign_seed_commitment,
    sign_seed_reveal,
)
from protocol.units import ZERO_DIGEST, BlsPublicKey, BlsSignature, Millis, Round, SeedSecret
from tests.founders import make_founders
from tests.helpers import make_genesis
from tests.values import make_digest

QUICKNET = json.loads((Path(__file__).parents[1] / "vectors" / "drand_quicknet.json").read_text(encoding="utf-8"))
FOUNDERS = make_founders(3)
KEYS = [founder.signing_key for founder in FOUNDERS]
STRANGER = SigningKey(make_digest("stranger"))


def make_secret(index: int) -> SeedSecret:
    return SeedSecret(make_digest("secret", index))


def make_draft() -> Genesis:
    commitments = tuple(sign_seed_commitment(key, make_secret(index)) for index, key in enumerate(KEYS))
    seed = FoundersSeed(commitments=commitments, reveals=())
    return replace(make_genesis(FOUNDERS), seed=ZERO_DIGEST, founders_seed=seed)


DRAFT = make_draft()
DRAFT_ID = compute_draft_id(DRAFT)


def finish(draft: Genesis, founders_seed: FoundersSeed) -> Genesis:
    """Return the document with these reveals and the seed that they make."""
    seed = compute_founders_seed(compute_draft_id(draft), founders_seed.reveals)
    return replace(draft, seed=seed, founders_seed=founders_seed)


def make_founders_seed(draft: Genesis) -> FoundersSeed:
    assert draft.founders_seed is not None
    draft_id = compute_draft_id(draft)
    reveals = tuple(sign_seed_reveal(key, draft_id, make_secret(index)) for index, key in enumerate(KEYS))
    return replace(draft.founders_seed, reveals=reveals)


SEED = make_founders_seed(DRAFT)
GENESIS = finish(DRAFT, SEED)


def make_drand(place: int = 0) -> DrandRound:
    beacon = QUICKNET["rounds"][place]
    return DrandRound(
        public_key=BlsPublicKey(bytes.fromhex(QUICKNET["public_key"])),
        round=Round(beacon["round"]),
        signature=BlsSignature(bytes.fromhex(beacon["signature"])),
    )


DRAND = replace(make_genesis(FOUNDERS), drand=make_drand(), seed=compute_drand_seed(make_drand()))


def test_a_seed_of_all_founders_holds() -> None:
    check_genesis_draft(DRAFT)
    check_genesis(GENESIS)
    assert decode_genesis(encode(GENESIS)) == GENESIS


def test_a_seed_of_a_drand_round_holds() -> None:
    check_genesis(DRAND)
    assert decode_genesis(encode(DRAND)) == DRAND


def test_every_secret_counts_and_so_does_everything_that_was_agreed_on() -> None:
    other = (SEED.reveals[0], SEED.reveals[1], replace(SEED.reveals[2], secret=make_secret(9)))
    seeds = {
        GENESIS.seed,
        compute_founders_seed(DRAFT_ID, other),
        compute_founders_seed(compute_draft_id(replace(DRAFT, created_ms=Millis(DRAFT.created_ms + 1))), SEED.reveals),
        compute_drand_seed(make_drand()),
        compute_drand_seed(make_drand(1)),
    }
    assert len(seeds) == 5


def test_the_document_and_its_draft_have_one_draft_id() -> None:
    """Anybody can compute from the document what the founders signed."""
    assert compute_draft_id(GENESIS) == DRAFT_ID
    assert compute_chain_id(GENESIS) != compute_chain_id(DRAFT)


def with_commitment(index: int, key: SigningKey, secret: SeedSecret) -> Genesis:
    assert DRAFT.founders_seed is not None
    commitments = list(DRAFT.founders_seed.commitments)
    commitments[index] = sign_seed_commitment(key, secret)
    return replace(DRAFT, founders_seed=replace(DRAFT.founders_seed, commitments=tuple(commitments)))


def with_reveals(*indexes: int, **changes: object) -> Genesis:
    """Return a document with some reveals, the last of them changed."""
    reveals = [SEED.reveals[index] for index in indexes]
    reveals[-1] = replace(reveals[-1], **changes)  # type: ignore[arg-type]
    return finish(DRAFT, replace(SEED, reveals=tuple(reveals)))


OTHER_DRAFT_REVEAL = sign_seed_reveal(KEYS[2], make_digest("other draft"), make_secret(2))
RESIGNED = sign_seed_reveal(KEYS[2], DRAFT_ID, make_secret(9))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param(replace(GENESIS, seed=make_digest("chosen")), "not the one that its origin makes", id="seed"),
        pytest.param(replace(GENESIS, created_ms=Millis(7)), "wrong seed_reveal signature", id="another draft"),
        pytest.param(replace(GENESIS, founders_seed=DRAFT.founders_seed), "no seed reveal of member", id="a draft"),
        pytest.param(
            with_reveals(0, 1), f"no seed reveal of member {KEYS[2].member.hex()[:8]}$", id="a reveal is missing"
        ),
        pytest.param(with_reveals(1, 0, 2), "not in the order", id="reveals in another order"),
        pytest.param(with_reveals(0, 1, 2, 2), "not in the order", id="a reveal twice"),
        pytest.param(with_reveals(0, 1, 2, secret=make_secret(9)), "revealed another secret", id="another secret"),
        pytest.param(
            with_reveals(0, 1, 2, secret=RESIGNED.secret, signature=RESIGNED.signature),
            "revealed another secret",
            id="another secret, signed",
        ),
        pytest.param(
            with_reveals(0, 1, 2, signature=OTHER_DRAFT_REVEAL.signature),
            "wrong seed_reveal signature",
            id="revealed for another draft",
        ),
        pytest.param(replace(DRAND, seed=make_digest("chosen")), "not the one that its origin", id="seed beside drand"),
        pytest.param(
            replace(DRAND, drand=replace(make_drand(), round=Round(1_001))), "does not verify", id="another round"
        ),
        pytest.param(
            replace(DRAND, drand=replace(make_drand(), public_key=FOUNDERS[0].bls_key.public_key)),
            "does not verify",
            id="another network",
        ),
        pytest.param(replace(GENESIS, drand=make_drand()), "has one origin", id="two origins"),
    ],
)
def test_a_document_with_a_wrong_seed_is_refused(wrong: Genesis, error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_genesis(wrong)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param(GENESIS, "a draft has", id="with reveals"),
        pytest.param(replace(DRAFT, seed=make_digest("chosen")), "a draft has", id="with a seed"),
        pytest.param(replace(DRAFT, founders_seed=None), "a draft has", id="without commitments"),
        pytest.param(with_commitment(1, STRANGER, make_secret(1)), "one of each founder", id="of a stranger"),
        pytest.param(with_commitment(1, KEYS[0], make_secret(0)), "one of each founder", id="twice"),
        pytest.param(replace(DRAFT, founders=DRAFT.founders[:2]), "one of each founder", id="of nobody"),
        pytest.param(
            replace(
                DRAFT,
                founders_seed=FoundersSeed(
                    commitments=(
                        *SEED.commitments[:2],
                        replace(SEED.commitments[2], signature=SEED.commitments[1].signature),
                    ),
                    reveals=(),
                ),
            ),
            "wrong seed_commitment signature",
            id="not signed",
        ),
    ],
)
def test_a_draft_with_one_mistake_is_refused(wrong: Genesis, error: str) -> None:
    """No founder reveals for it."""
    with pytest.raises(InvalidMessage, match=error):
        check_genesis_draft(wrong)
