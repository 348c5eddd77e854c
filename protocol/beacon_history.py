"""Which key drew which round: what an outsider needs to check every output with drand's own tools (B1)."""

from dataclasses import dataclass, field
from typing import Final

from protocol.beacon.group_key import GroupKey
from protocol.blocks import BeaconProof
from protocol.ledger.state import LedgerState
from protocol.outcomes import Phase
from protocol.units import BlsPublicKey, Digest, Epoch, MemberId, Round

SCHEME: Final = "bls-unchained-g1-rfc9380"
"""drand's name for the scheme: https://docs.drand.love/docs/cryptography."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnOutput:
    """One round's output."""

    round: Round
    output: Digest
    """Of the threshold beacon: SHA-256 of the signature."""
    proof: BeaconProof | None
    """None marks the round as degraded: its output is the RANDAO mix (B5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHistory:
    """A group key, and the rounds that opened while it was in use."""

    epoch: Epoch
    """The first epoch in which it was in use."""
    public_key: BlsPublicKey
    threshold: int
    holders: tuple[MemberId, ...]
    outputs: tuple[DrawnOutput, ...]


@dataclass(slots=True)
class BeaconHistory:
    """Collects outputs from the states of a replay, one block after the other."""

    _keys: dict[Epoch, GroupKey] = field(default_factory=dict)
    _outputs: dict[Epoch | None, list[DrawnOutput]] = field(default_factory=dict)
    _last_round: Round = Round(0)

    def note(self, state: LedgerState) -> None:
        """Take the state after a block: a round is drawn in one block and settled in a later one."""
        for key in state.beacon_keys:
            self._keys[key.epoch] = key
        current = state.round
        if current is None or current.phase is Phase.DRAW or current.round <= self._last_round:
            return
        if current.beacon_output is not None:
            self._last_round = current.round
            drawn = DrawnOutput(round=current.round, output=current.beacon_output, proof=current.beacon)
            self._outputs.setdefault(current.key_epoch, []).append(drawn)

    def get_keys(self) -> tuple[KeyHistory, ...]:
        """Return every key with its rounds, in the order of epochs."""
        return tuple(
            KeyHistory(
                epoch=epoch,
                public_key=key.public_key,
                threshold=key.threshold,
                holders=key.holders,
                outputs=tuple(self._outputs.get(epoch, ())),
            )
            for epoch, key in sorted(self._keys.items())
        )

    def get_outputs_without_key(self) -> tuple[DrawnOutput, ...]:
        """Return the rounds that opened before there was a key."""
        return tuple(self._outputs.get(None, ()))
