"""The words of the protocol: identifiers and quantities, each a type of its own.

Identifiers are bytes of a fixed length, quantities are non-negative integers with the unit in their name.
"""

from typing import Final, NewType

Digest = NewType("Digest", bytes)
"""A SHA-256 digest, 32 bytes."""

MemberId = NewType("MemberId", bytes)
"""An Ed25519 public key, 32 bytes; it is the member's libp2p identity as well (L1)."""

Signature = NewType("Signature", bytes)
"""An Ed25519 signature, 64 bytes."""

BlsPublicKey = NewType("BlsPublicKey", bytes)
"""A compressed point on G2 of BLS12-381, 96 bytes."""

BlsSignature = NewType("BlsSignature", bytes)
"""A compressed point on G1 of BLS12-381, 48 bytes."""

BlsScalar = NewType("BlsScalar", bytes)
"""A number modulo the order of the groups of BLS12-381, 32 bytes big-endian; most of them are secrets."""

Salt = NewType("Salt", bytes)
"""The 32 random bytes that hide a sealed ballot (F8)."""

Stake = NewType("Stake", int)
"""An amount of stake, in micro-tokens."""

Weight = NewType("Weight", int)
"""A validator's voting weight in consensus."""

Millis = NewType("Millis", int)
"""A span or a point of time, in milliseconds; points count from the Unix epoch."""

Bps = NewType("Bps", int)
"""A share, in basis points: 10_000 is the whole."""

Ppm = NewType("Ppm", int)
"""A score, in parts per million: 1_000_000 is the best there is (F7)."""

Height = NewType("Height", int)
"""A position in the ledger; the genesis state is height 0."""

View = NewType("View", int)
"""One attempt to extend the ledger; the first is 1."""

Epoch = NewType("Epoch", int)
"""The heights that share one validator set; the first is 0."""

Round = NewType("Round", int)
"""One federated-learning round, from open to settled; the first is 1."""

Sequence = NewType("Sequence", int)
"""The number of an operation among its member's operations; the first is 0 (L8)."""

MICRO_TOKENS_PER_TOKEN: Final = 1_000_000
BPS_WHOLE: Final = 10_000
SCORE_WHOLE: Final = Ppm(1_000_000)

LEDGER_TIME_MAX_MS: Final = Millis(2**62)
"""Later than any clock will be, and so early that a deadline after it still has an encoding."""

ZERO_DIGEST: Final = Digest(bytes(32))
