"""A node's disk with a store on it, which tests restart and damage."""

from collections.abc import Callable
from dataclasses import dataclass

from node.ports import Store, StoreContents
from protocol.interface import FinalizedBlock, PersistBlock
from protocol.journal import OwnVoteRecord
from protocol.units import View
from protocol.votes import VoteKind, sign_vote
from tests.helpers import BuiltBlock, LedgerBuilder
from tests.values import make_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node's disk, and the chain that it follows."""

    open_store: Callable[[], Store]
    lose_database: Callable[[], None]
    builder: LedgerBuilder

    def persist(self, built: BuiltBlock, *, is_certified: bool = True) -> PersistBlock:
        certificate = self.builder.certify(built.block) if is_certified else None
        return PersistBlock(
            height=built.block.header.height,
            finalized=FinalizedBlock(block=built.block, certificate=certificate),
            outcome=built.outcome,
        )

    def make_vote(self, view: int, kind: VoteKind = VoteKind.NULLIFY) -> OwnVoteRecord:
        block_hash = None if kind is VoteKind.NULLIFY else make_digest("block", view)
        key = self.builder.founders[0].signing_key
        vote = sign_vote(
            self.builder.chain_id,
            key,
            epoch=self.builder.validators.epoch,
            kind=kind,
            view=View(view),
            block_hash=block_hash,
        )
        return OwnVoteRecord(vote=vote)

    def restart(self, store: Store) -> tuple[Store, StoreContents]:
        store.close()
        store = self.open_store()
        return store, store.load()
