"""The genesis document: everything the members agree on before the first block. Its digest is the chain id (W2)."""

from dataclasses import dataclass, replace
from typing import Final

from protocol.bls import check_possession
from protocol.codec import decode, encode
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import ModelSchema
from protocol.parameters import Parameters, check_parameters
from protocol.seeds import (
    DrandRound,
    FoundersSeed,
    check_commitments_of,
    check_drand_round,
    check_reveals,
    compute_drand_seed,
    compute_founders_seed,
)
from protocol.units import (
    LEDGER_TIME_MAX_MS,
    ZERO_DIGEST,
    BlsPublicKey,
    BlsSignature,
    Digest,
    Epoch,
    MemberId,
    Millis,
    Stake,
)

GENESIS_VERSION: Final = 5
GENESIS_BYTES_MAX: Final = 4 << 20
FOUNDER_STAKE_MAX: Final = Stake(10**15)
"""In micro-tokens; as many founders as a document may have together have less than 64 bits can count."""
FIRST_EPOCH: Final = Epoch(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Founder:
    """A member of the network from its first block."""

    member: MemberId
    name: str
    """For people: short, unique in the network."""
    bls_key: BlsPublicKey
    possession: BlsSignature
    """Proof that the holder of the BLS key knows its secret (L1)."""
    addresses: tuple[str, ...]
    """Multiaddresses to dial first; a node's own configuration can override them."""
    bonded: Stake


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What is trained: a task by name or as ``module:Class``, and its parameters."""

    name: str
    params: tuple[tuple[str, str], ...]
    """Sorted by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The genesis document."""

    version: int
    name: str
    created_ms: Millis
    """The ledger time of height 0."""
    seed: Digest
    """Where leaders and the beacon start from."""
    founders_seed: FoundersSeed | None = None
    """How the founders made the seed together, if they did."""
    drand: DrandRound | None = None
    """The drand round that made the seed, if one did. With neither, whoever wrote the document chose the seed."""
    parameters: Parameters
    founders: tuple[Founder, ...]
    """Sorted by member."""
    task: TaskSpec
    schema: ModelSchema
    model_digest: Digest
    """The artifact digest of the initial model."""
    model_bytes: int
    """The initial model artifact's size, in bytes."""


def compute_chain_id(genesis: Genesis) -> Digest:
    """Return the digest of the genesis document, which every signature names (W2)."""
    return compute_digest(Domain.GENESIS, encode(genesis))


def compute_draft_id(genesis: Genesis) -> Digest:
    """Return the digest of all that founders agree on before any of them reveals its part of the seed."""
    founders_seed = genesis.founders_seed and replace(genesis.founders_seed, reveals=())
    draft = replace(genesis, seed=ZERO_DIGEST, founders_seed=founders_seed)
    return compute_digest(Domain.GENESIS_DRAFT, encode(draft))


def decode_genesis(encoded: bytes) -> Genesis:
    """Return the checked genesis document of untrusted bytes.

    Raises:
        MalformedMessage: The bytes do not decode.
        InvalidMessage: The document breaks a rule.
    """
    genesis = decode(Genesis, encoded, bytes_max=GENESIS_BYTES_MAX)
    check_genesis(genesis)
    return genesis


def check_genesis(genesis: Genesis) -> None:
    """Check a genesis document by itself, with the origin of its seed.

    Raises:
        InvalidMessage: The message names what is wrong.
    """
    _check_content(genesis)
    seed = genesis.seed
    if genesis.founders_seed is not None:
        draft = compute_draft_id(genesis)
        check_reveals(genesis.founders_seed, draft)
        seed = compute_founders_seed(draft, genesis.founders_seed.reveals)
    if genesis.drand is not None:
        check_drand_round(genesis.drand)
        seed = compute_drand_seed(genesis.drand)
    if seed != genesis.seed:
        raise InvalidMessage("the genesis seed is not the one that its origin makes")


def check_genesis_draft(draft: Genesis) -> None:
    """Check what founders look at before they reveal: a document with all commitments, no reveals and no seed.

    Raises:
        InvalidMessage: The message names what is wrong.
    """
    _check_content(draft)
    if draft.founders_seed is None or draft.founders_seed.reveals or draft.seed != ZERO_DIGEST:
        raise InvalidMessage("a draft has the founders' commitments, no reveals, and zeros for the seed")


def _check_content(genesis: Genesis) -> None:
    if genesis.version != GENESIS_VERSION:
        raise InvalidMessage(f"genesis version {genesis.version}; this software knows version {GENESIS_VERSION}")
    if genesis.created_ms > LEDGER_TIME_MAX_MS:
        raise InvalidMessage(f"genesis is of time {genesis.created_ms}, later than {LEDGER_TIME_MAX_MS}")
    check_parameters(genesis.parameters)
    _check_founders(genesis)
    if list(genesis.task.params) != sorted(dict(genesis.task.params).items()):
        raise InvalidMessage("task parameters are not sorted and distinct")
    if genesis.founders_seed is not None and genesis.drand is not None:
        raise InvalidMessage("a genesis seed has one origin: the founders or a drand round")
    if genesis.founders_seed is not None:
        check_commitments_of(genesis.founders_seed, tuple(founder.member for founder in genesis.founders))


def _check_founders(genesis: Genesis) -> None:
    members = [founder.member for founder in genesis.founders]
    if len(members) < 2 or members != sorted(set(members)):
        raise InvalidMessage("genesis needs at least two founders, sorted by member id, each once")
    names = [founder.name for founder in genesis.founders]
    if len(set(names)) != len(names) or not all(0 < len(name) <= 64 for name in names):
        raise InvalidMessage("founders need names that are distinct and 1 to 64 characters long")
    if len({founder.bls_key for founder in genesis.founders}) != len(names):
        raise InvalidMessage("two founders share a BLS key")
    for founder in genesis.founders:
        if not 1 <= founder.bonded <= FOUNDER_STAKE_MAX:
            stake = f"{founder.bonded} micro-tokens, not 1 to {FOUNDER_STAKE_MAX}"
            raise InvalidMessage(f"founder {founder.name} has {stake}")
        check_possession(founder.bls_key, founder.possession)
