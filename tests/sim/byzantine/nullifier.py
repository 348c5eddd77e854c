"""The nullifier: gives up every view at once, so that no leader ever has its time.

It casts NULLIFY in each view the moment it enters it, long before any timer. Alone that is allowed, and it can only
slow the others down. The contradicting nullifier signs FINALIZE as well for every block that it hears a vote for, in
the hope that somebody counts both: that is an offence (L7).
"""

from collections.abc import Sequence

from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock, TimeAdvanced
from protocol.messages import Votes
from protocol.units import Digest, Millis, View
from protocol.votes import Vote, VoteKind, sign_vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_consensus, tell
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action

CONTRADICTIONS_MAX = 200
"""Blocks that it signs FINALIZE for in one run, so that a run ends in time."""


class Nullifier:
    """Votes NULLIFY at once in every view, and maybe FINALIZE as well."""

    def __init__(self, home: AdversaryHome, puppet: Puppet, *, contradicts: bool) -> None:
        self._home = home
        self._puppet = puppet
        self._contradicts = contradicts
        self._chain_id = compute_chain_id(home.genesis)
        self._others = list_others(home)
        self._finalized: set[Digest] = set()

    def twist(self, effects: Sequence[Effect], now_ms: Millis) -> list[Action]:
        actions: list[Action] = list(effects)
        while True:
            consensus = self._puppet.engine.consensus
            own, view = consensus._own, consensus.view
            if not own.is_free_to_cast(VoteKind.NULLIFY, view):
                return actions
            vote = own.cast(VoteKind.NULLIFY, view, None)
            consensus._count(vote)
            actions.append(tell(self._others, Votes(votes=(vote,), attempt=0)))
            actions += self._puppet.handle(TimeAdvanced(), now_ms)

    def hear(self, _sender: int, topic: Topic, message: bytes) -> list[Action]:
        heard = read_consensus(topic, message)
        if not self._contradicts or not isinstance(heard, Votes) or len(self._finalized) >= CONTRADICTIONS_MAX:
            return []
        actions: list[Action] = []
        for vote in heard.votes:
            if vote.block_hash is not None and vote.block_hash not in self._finalized:
                self._finalized.add(vote.block_hash)
                both = self._sign(vote, VoteKind.NULLIFY, None), self._sign(vote, VoteKind.FINALIZE, vote.block_hash)
                actions.append(tell(self._others, Votes(votes=both, attempt=0)))
        return actions

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _sign(self, heard: Vote, kind: VoteKind, block_hash: Digest | None) -> Vote:
        view: View = heard.view
        return sign_vote(
            self._chain_id, self._home.keys.key, epoch=heard.epoch, kind=kind, view=view, block_hash=block_hash
        )


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member that gives up every view and breaks no rule."""
    puppet = Puppet(home)
    return Puppeteer(puppet, Nullifier(home, puppet, contradicts=False))


def make_contradicting(home: AdversaryHome) -> Puppeteer:
    """Return the member that gives up every view and finalizes it as well."""
    puppet = Puppet(home)
    return Puppeteer(puppet, Nullifier(home, puppet, contradicts=True))
