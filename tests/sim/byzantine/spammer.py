"""The spammer: sends as much as it may, of everything that looks worth keeping.

Votes of its own for views as far ahead as anybody keeps them, and further. Many blocks in each view that it leads.
Operations under every sequence number of its window, as large as they may be. Certificates by the hundred. Whoever
keeps it must keep within the bounds (C15) that :mod:`tests.sim.bounds` checks, and must get on with its work.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from protocol.admission import VOTES_PER_MESSAGE_MAX
from protocol.blocks import sign_block
from protocol.codec import encode
from protocol.consensus.tree import VIEW_WINDOW
from protocol.crypto import Domain, compute_digest
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.ledger.state import get_account
from protocol.mempool import PENDING_PER_MEMBER_MAX
from protocol.messages import Proposal, Votes
from protocol.operations import OPERATION_BYTES_MAX, Ballot, RevealBallot, sign_operation
from protocol.units import Digest, Millis, Round, Salt, View
from protocol.units import Sequence as OperationNumber
from protocol.votes import Vote, VoteKind, sign_vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_effect, tell, tell_operation
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action

SPAMS = 0.1
"""How often it adds something to what it hears."""

MESSAGES_MAX = 40
"""Additional messages in one run, so that a run ends in time."""

DOUBLES = 3
"""Blocks that it proposes besides, in a view that it leads."""

FLAG_COUNTS = (0, 60, 4_000)
"""With the last one an operation is about as large as it may be."""

FAR_VIEWS = (1, VIEW_WINDOW, VIEW_WINDOW + 1, 1_000, 2**40, 2**63)


class Spammer:
    """Adds to what its engine sends."""

    def __init__(self, home: AdversaryHome, puppet: Puppet) -> None:
        self._key = home.keys.key
        self._puppet = puppet
        self._chain_id = compute_chain_id(home.genesis)
        self._others = list_others(home)
        self._random = random.Random(f"spammer-{home.index}-{home.seed}")
        self._spent = 0

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            actions.append(effect)
            message = read_effect(effect)
            if isinstance(message, Proposal):
                actions += self._multiply(message)
        return actions

    def hear(self, _sender: int, _topic: Topic, _message: bytes) -> list[Action]:
        if self._spent >= MESSAGES_MAX or self._random.random() >= SPAMS:
            return []
        self._spent += 1
        return [self._random.choice((self._flood_votes, self._flood_one_view, self._fill_window))()]

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _multiply(self, proposal: Proposal) -> list[Action]:
        header = proposal.block.header
        headers = [replace(header, time_ms=Millis(header.time_ms + 1 + number)) for number in range(DOUBLES)]
        blocks = [sign_block(self._chain_id, self._key, other, proposal.block.operations) for other in headers]
        return [tell(self._others, replace(proposal, block=block)) for block in blocks]

    def _flood_votes(self) -> Action:
        """A full message of votes for consecutive views, near or far."""
        consensus = self._puppet.engine.consensus
        first = View(consensus.view + self._random.choice(FAR_VIEWS))
        views = [View(first + number) for number in range(VOTES_PER_MESSAGE_MAX)]
        return tell(self._others, Votes(votes=tuple(self._sign(VoteKind.NULLIFY, view) for view in views), attempt=0))

    def _flood_one_view(self) -> Action:
        """A full message of votes for as many blocks of one view, none of which exists."""
        view = View(self._puppet.engine.consensus.view + self._random.randint(0, VIEW_WINDOW))
        votes = tuple(self._sign(VoteKind.NOTARIZE, view) for _ in range(VOTES_PER_MESSAGE_MAX))
        return tell(self._others, Votes(votes=votes, attempt=0))

    def _fill_window(self) -> Action:
        """The largest operation, under some sequence number that may be kept."""
        sequence = get_account(self._puppet.engine.state, self._key.member).next_sequence
        ahead = OperationNumber(sequence + self._random.randrange(PENDING_PER_MEMBER_MAX + 2))
        ballot = Ballot(
            candidate_digest=self._make_digest(),
            is_accept=True,
            update_flags=tuple(self._random.random() < 0.5 for _ in range(self._random.choice(FLAG_COUNTS))),
            is_base_flagged=False,
        )
        payload = RevealBallot(round=Round(1), attempt=0, ballot=ballot, salt=Salt(self._make_digest()))
        operation = encode(sign_operation(self._chain_id, self._key, ahead, payload))
        assert len(operation) <= OPERATION_BYTES_MAX
        return tell_operation(self._others, operation, self._random.randrange(2**32))

    def _sign(self, kind: VoteKind, view: View) -> Vote:
        block_hash = None if kind is VoteKind.NULLIFY else self._make_digest()
        epoch = self._puppet.engine.state.epoch
        return sign_vote(self._chain_id, self._key, epoch=epoch, kind=kind, view=view, block_hash=block_hash)

    def _make_digest(self) -> Digest:
        return compute_digest(Domain.STATE, self._random.randbytes(8))


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    puppet = Puppet(home)
    return Puppeteer(puppet, Spammer(home, puppet))
