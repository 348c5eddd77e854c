"""Keys and genesis documents for simulated networks, all from seeds."""

import hashlib
from dataclasses import dataclass
from functools import cache

from protocol.bls import BlsSigningKey
from protocol.chunks import ArtifactHasher
from protocol.crypto import SigningKey
from protocol.genesis import GENESIS_VERSION, Founder, Genesis, TaskSpec
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec, compute_model_size_bytes
from protocol.parameters import Parameters
from protocol.units import Digest, Millis, Stake

CREATED_MS = Millis(1_700_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKeys:
    """A simulated node's secrets."""

    key: SigningKey
    bls_key: BlsSigningKey
    salt_secret: bytes


def _expand(label: str, count: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(count)


@cache
def make_keys(count: int) -> tuple[NodeKeys, ...]:
    """Return the keys of a network, sorted by member."""
    keys = [
        NodeKeys(
            key=SigningKey(_expand(f"node-{index}", 32)),
            bls_key=BlsSigningKey(_expand(f"bls-{index}", 48)),
            salt_secret=_expand(f"salt-{index}", 32),
        )
        for index in range(count)
    ]
    return tuple(sorted(keys, key=lambda entry: entry.key.member))


def make_genesis(
    keys: tuple[NodeKeys, ...], parameters: Parameters, *, weights: tuple[int, ...] | None = None, seed: int = 0
) -> Genesis:
    """Return the genesis document of a simulated network."""
    stakes = weights or tuple(parameters.stake_initial for _ in keys)
    schema = ModelSchema(tensors=(TensorSpec(name="weight", shape=(4, 2), dtype=TensorDtype.F32, is_trainable=True),))
    return Genesis(
        version=GENESIS_VERSION,
        name="simulated",
        created_ms=CREATED_MS,
        seed=Digest(_expand(f"genesis-{seed}", 32)),
        parameters=parameters,
        founders=tuple(
            Founder(
                member=entry.key.member,
                name=f"node-{index}",
                bls_key=entry.bls_key.public_key,
                possession=entry.bls_key.prove_possession(),
                addresses=(),
                bonded=Stake(stakes[index]),
            )
            for index, entry in enumerate(keys)
        ),
        task=TaskSpec(name="simulated", params=()),
        schema=schema,
        model_digest=ArtifactHasher().finish()[0],
        model_bytes=compute_model_size_bytes(schema),
    )
