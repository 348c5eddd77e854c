"""This node's part in the outputs of the threshold beacon: its partials, and what it makes of everybody's (B1 to B3).

A partial leaves this node only for the round that its ledger has open, which is open because the opening block is final
(B2); so nobody can know an output before the eligible members and their stakes are fixed. Partials are combined without
looking at them, and looked at one by one only if what comes out does not verify (B3). Whose partial is wrong is heard
no more under that key.
"""

from typing import Final

from protocol.beacon.group_key import GroupKey, check_proof, find_key, split_points
from protocol.blocks import BeaconProof, Block
from protocol.bls import check_partial, combine, compute_share_key, sign_partial
from protocol.codec import encode
from protocol.crypto import Domain, SigningKey
from protocol.errors import InvalidMessage, PrematureMessage, StaleMessage
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, Observe
from protocol.ledger.state import LedgerState, RoundState
from protocol.messages import Partial, PartialMessage
from protocol.observations import PartialWrong
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import BlsScalar, BlsSignature, Digest, Epoch, MemberId, Millis, Round

LIARS_MAX: Final = 1_024
"""More than a group key has holders, twice; bounds what is remembered if keys follow each other fast."""


class BeaconOutputs:
    """The partials of the open round and the next, and the output that they make."""

    def __init__(self, chain_id: Digest, key: SigningKey, parameters: Parameters, started_ms: Millis) -> None:
        """Start with nothing; re-sends are counted from the start time (W4)."""
        self._chain_id = chain_id
        self._key = key
        self._interval_ms = parameters.timeout_view_ms
        self._attempt = int(started_ms)
        self._partials: dict[tuple[Round, Epoch], dict[MemberId, BlsSignature]] = {}
        self._liars: set[tuple[Epoch, MemberId]] = set()
        self._proof: BeaconProof | None = None
        self.resend_ms: Millis | None = None
        """When the own partial is sent again; None while no round waits for it."""

    def check_wanted(self, partial: Partial, state: LedgerState) -> None:
        """Check whether somebody's partial is of use, before its signature is looked at.

        Raises:
            StaleMessage: Of a round that is drawn, known already, or of somebody who sent a wrong one.
            PrematureMessage: Of a round or a key that the ledger has yet to come to.
            InvalidMessage: Its member holds no share of the key.
        """
        current = state.round
        first = state.next_round if current is None or current.phase is not Phase.DRAW else current.round
        if partial.round < first:
            raise StaleMessage(f"a partial of round {partial.round}, which is drawn")
        if partial.round > state.next_round:
            raise PrematureMessage(f"a partial of round {partial.round}, the next one is {state.next_round}")
        key = find_key(state.beacon_keys, partial.key_epoch)
        if key is None:
            raise PrematureMessage(f"a partial under the key of epoch {partial.key_epoch}")
        if partial.member not in key.holders:
            raise InvalidMessage(f"{partial.member.hex()[:8]} holds no share of the key of epoch {partial.key_epoch}")
        if (partial.key_epoch, partial.member) in self._liars:
            raise StaleMessage(f"{partial.member.hex()[:8]} has sent a wrong partial under this key")
        if partial.member in self._partials.get((partial.round, partial.key_epoch), {}):
            raise StaleMessage("a partial that is known")

    def on_partial(self, partial: Partial, state: LedgerState) -> None:
        """Keep a partial that has passed :meth:`check_wanted`, whatever has happened since."""
        try:
            self.check_wanted(partial, state)
        except (StaleMessage, PrematureMessage):
            return
        self._partials.setdefault((partial.round, partial.key_epoch), {})[partial.member] = partial.signature

    def follow(self, state: LedgerState, shares: dict[Epoch, BlsScalar], now_ms: Millis) -> list[Effect]:
        """Release what the ledger's state asks for, and make the output as soon as enough has come.

        Args:
            state: After the last final block.
            shares: This node's, by key.
            now_ms: The time.
        """
        self._forget(state)
        waiting = _get_waiting_round(state)
        key = None if waiting is None else find_key(state.beacon_keys, waiting.key_epoch)
        if waiting is None or key is None:
            self.resend_ms = None
            return []
        effects = self._release(waiting, key, shares.get(key.epoch), now_ms)
        if self._proof is None:
            effects += self._combine(waiting.round, key)
        return effects

    def get_proof(self, state: LedgerState, branch: tuple[Block, ...]) -> BeaconProof | None:
        """Return the output to put into the next block: none if no round waits for it, or an unfinalized one has it."""
        waiting, proof = _get_waiting_round(state), self._proof
        if waiting is None or proof is None or proof.round != waiting.round:
            return None
        return None if any(block.header.beacon == proof for block in branch) else proof

    def _forget(self, state: LedgerState) -> None:
        current = _get_waiting_round(state)
        first = state.next_round if current is None else current.round
        self._partials = {place: found for place, found in self._partials.items() if place[0] >= first}
        if self._proof is not None and (current is None or self._proof.round != current.round):
            self._proof = None
        epochs = {key.epoch for key in state.beacon_keys}
        self._liars = {liar for liar in self._liars if liar[0] in epochs}

    def _release(self, waiting: RoundState, key: GroupKey, share: BlsScalar | None, now_ms: Millis) -> list[Effect]:
        """B2: the round is open on the ledger, so its opening block is final."""
        held = self._partials.setdefault((waiting.round, key.epoch), {})
        mine = held.get(self._key.member)
        if share is None:
            self.resend_ms = None
            return []
        if mine is None:
            mine = held[self._key.member] = sign_partial(share, waiting.round)
        elif self.resend_ms is not None and now_ms < self.resend_ms <= now_ms + self._interval_ms:
            return []
        else:
            self._attempt += 1
        self.resend_ms = Millis(now_ms + self._interval_ms)
        partial = Partial(member=self._key.member, round=waiting.round, key_epoch=key.epoch, signature=mine)
        signature = self._key.sign(Domain.PARTIAL, self._chain_id, encode(partial))
        message = PartialMessage(partial=partial, signature=signature, attempt=self._attempt)
        return [Broadcast(topic=Topic.BEACON, message=encode(message))]

    def _combine(self, round_number: Round, key: GroupKey) -> list[Effect]:
        """B3: first the output, then whose fault it is."""
        held = self._partials[round_number, key.epoch]
        effects: list[Effect] = []
        if len(held) >= key.threshold and not self._try_combine(round_number, key, held):
            effects = self._find_liars(round_number, key, held)
            if len(held) >= key.threshold:
                self._try_combine(round_number, key, held)
        return effects

    def _try_combine(self, round_number: Round, key: GroupKey, held: dict[MemberId, BlsSignature]) -> bool:
        chosen = sorted(held)[: key.threshold]
        try:
            signature = combine({key.holders.index(member): held[member] for member in chosen}, key.threshold)
            proof = BeaconProof(round=round_number, key_epoch=key.epoch, signature=signature)
            check_proof((key,), proof)
        except InvalidMessage:
            return False
        self._proof = proof
        return True

    def _find_liars(self, round_number: Round, key: GroupKey, held: dict[MemberId, BlsSignature]) -> list[Effect]:
        commitments = split_points(key.commitments)
        effects: list[Effect] = []
        for member in sorted(held):
            try:
                check_partial(compute_share_key(commitments, key.holders.index(member)), round_number, held[member])
            except InvalidMessage:
                del held[member]
                if len(self._liars) < LIARS_MAX:
                    self._liars.add((key.epoch, member))
                effects.append(Observe(observation=PartialWrong(round=round_number, member=member)))
        return effects


def _get_waiting_round(state: LedgerState) -> RoundState | None:
    """Return the open round if it waits for an output of the threshold beacon."""
    current = state.round
    if current is None or current.phase is not Phase.DRAW or current.key_epoch is None:
        return None
    return current
