"""One consensus after the other, an epoch each (C13), and what a node does that is not there yet.

Never between heights: the consensus of an epoch ends when its last block is final, and the next one begins on that
block, with the members and weights of the state after it. Messages of the next epoch that come early are kept,
bounded, until they can be judged; any message of a later epoch shows that this node is behind, so that it asks for
blocks.
"""

from collections import deque
from typing import Final

from protocol.bls import BlsSigningKey
from protocol.consensus.checks import Application, ConsensusConfig
from protocol.consensus.counting import PastEpoch
from protocol.consensus.machine import Consensus
from protocol.consensus.tree import Tip
from protocol.consensus.voting_guard import VotingGuard
from protocol.crypto import SigningKey
from protocol.interface import Contact, EarlyReceived, Effect, FetchBlocks, FinalizedBlock, Observe, SetMembers
from protocol.ledger.state import LedgerState, build_validator_set, get_connected_members
from protocol.observations import EpochStarted
from protocol.parameters import Parameters
from protocol.restored import Restored
from protocol.units import Height, MemberId, Millis
from protocol.votes import Certificate, Vote

EARLY_PER_MEMBER_MAX: Final = 4
"""The newest messages of a member for the next epoch that are kept: a proposal and the votes around it (C15)."""


class Succession:
    """The consensus of the current epoch, and the way to the next."""

    def __init__(
        self,
        key: SigningKey,
        bls_key: BlsSigningKey,
        parameters: Parameters,
        application: Application,
        restored: Restored,
        started_ms: Millis,
    ) -> None:
        """Begin in the epoch of the ledger on the disk; :meth:`restore` gives it back what the journal kept."""
        self._key, self._bls_key = key, bls_key
        self._parameters = parameters
        self._application = application
        self._started_ms = started_ms
        state = restored.state
        self.guard = VotingGuard(
            key,
            parameters,
            started_ms=started_ms,
            tip=(state.epoch, state.view),
            has_vote_log=restored.has_vote_log,
        )
        self.consensus = self._build(state, None if restored.tip is None else restored.tip.certificate, None)
        self._early: dict[MemberId, deque[bytes]] = {}
        self._behind_ms: Millis | None = None

    def restore(self, restored: Restored) -> None:
        """Take back what the journal kept."""
        self.guard.restore(restored.records)
        self.consensus.restore(restored.records)

    @property
    def wakeup_ms(self) -> Millis | None:
        """When to ask for blocks, because others are in a later epoch."""
        return self._behind_ms

    def is_settled(self, vote: Vote) -> bool:
        """Return whether a vote can change nothing any more."""
        return self.consensus.is_settled(vote)

    def has_certificate(self, certificate: Certificate) -> bool:
        """Return whether a certificate adds nothing."""
        return self.consensus.tree.has_certificate(certificate)

    def explain_silence(self) -> str | None:
        """Return for the operator why this node casts no votes now; None if it does (C10)."""
        validators = self.consensus.config.validators
        if not validators.has_member(self._key.member):
            return f"this member is no validator in epoch {validators.epoch}"
        return self.guard.explain(validators, self.consensus.view)

    def on_early(self, event: EarlyReceived, now_ms: Millis) -> None:
        """Keep what the next epoch will need, and make sure to come there."""
        epoch = self.consensus.config.validators.epoch
        if event.signer is not None and event.epoch == epoch + 1:
            self._early.setdefault(event.signer, deque(maxlen=EARLY_PER_MEMBER_MAX)).append(event.message)
        if self._behind_ms is None and event.epoch > epoch:
            # Most often the missing votes are on their way and nothing has to be asked for.
            self._behind_ms = Millis(now_ms + self._parameters.timeout_view_ms)

    def ask_if_behind(self, height: Height, now_ms: Millis) -> list[Effect]:
        """Return the request for blocks above a height, if others have been in a later epoch for a while."""
        if self._behind_ms is None or now_ms < self._behind_ms <= now_ms + self._parameters.timeout_view_ms:
            return []
        self._behind_ms = None
        return [FetchBlocks(from_height=Height(height + 1), hint=None)]

    def advance(self, before: LedgerState, after: LedgerState, last: FinalizedBlock) -> list[Effect]:
        """Begin the next epoch on the last block of the one before, and return what people and shell learn of it."""
        self.consensus = self._build(after, last.certificate, self.consensus.close())
        self._behind_ms = None
        members, old_members = ({entry.member for entry in get_connected_members(state)} for state in (after, before))
        validators = self.consensus.config.validators
        started = EpochStarted(
            epoch=after.epoch,
            validator_count=len(validators.validators),
            total_weight=validators.total_weight,
            joined=tuple(sorted(members - old_members)),
            left=tuple(sorted(old_members - members)),
            key_epoch=after.beacon_keys[-1].epoch if after.beacon_keys else None,
        )
        return [Observe(observation=started), build_members(after)]

    def take_early(self) -> tuple[bytes, ...]:
        """Return the messages that came early for the epoch that has begun, and keep none."""
        taken = tuple(message for _, messages in sorted(self._early.items()) for message in messages)
        self._early.clear()
        return taken

    def _build(self, state: LedgerState, certificate: Certificate | None, past: PastEpoch | None) -> Consensus:
        config = ConsensusConfig(
            chain_id=state.chain_id,
            parameters=self._parameters,
            validators=build_validator_set(state),
            key=self._key,
            bls_key=self._bls_key,
            started_ms=self._started_ms,
            beacon_keys=state.beacon_keys,
        )
        tip = Tip(block_hash=state.block_hash, view=state.view, height=state.height, time_ms=state.time_ms)
        return Consensus(config, self._application, self.guard, tip, certificate, past)


def build_members(state: LedgerState) -> SetMembers:
    """Return the order that makes exactly a state's members connect."""
    members = get_connected_members(state)
    return SetMembers(contacts=tuple(Contact(member=entry.member, addresses=entry.addresses) for entry in members))
