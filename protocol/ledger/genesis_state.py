"""The ledger's state at height 0: every founder bonded, nothing dealt, the first round open."""

from typing import Final

from protocol.beacon.randao import compute_first_mix
from protocol.blocks import GENESIS_HEIGHT, GENESIS_VIEW
from protocol.crypto import Domain, compute_digest
from protocol.genesis import FIRST_EPOCH, Genesis, compute_chain_id
from protocol.ledger.member_entries import MemberEntry, ValidatorWeight
from protocol.ledger.state import Account, LedgerState, build_round
from protocol.units import Round, Sequence, Stake, Weight

FIRST_ROUND: Final = Round(1)


def compute_genesis_state(genesis: Genesis) -> LedgerState:
    """Return the state at height 0: every founder bonded, and round 1 open if enough of them may be drawn."""
    chain_id = compute_chain_id(genesis)
    accounts = tuple(
        Account(
            member=founder.member,
            bonded=founder.bonded,
            unbonding=(),
            free=Stake(0),
            next_sequence=Sequence(0),
            is_jailed=False,
            is_evicted=False,
            is_leaving=False,
        )
        for founder in genesis.founders
    )
    treasury = genesis.parameters.treasury_initial
    round_state = build_round(
        genesis.parameters,
        accounts,
        round_number=FIRST_ROUND,
        height=GENESIS_HEIGHT,
        time_ms=genesis.created_ms,
        base_digest=genesis.model_digest,
    )
    return LedgerState(
        chain_id=chain_id,
        height=GENESIS_HEIGHT,
        view=GENESIS_VIEW,
        time_ms=genesis.created_ms,
        block_hash=chain_id,
        mix=compute_first_mix(chain_id, genesis.seed),
        epoch=FIRST_EPOCH,
        epoch_seed=genesis.seed,
        validators=tuple(
            ValidatorWeight(member=founder.member, weight=Weight(founder.bonded)) for founder in genesis.founders
        ),
        members=tuple(
            MemberEntry(member=founder.member, name=founder.name, bls_key=founder.bls_key, addresses=founder.addresses)
            for founder in genesis.founders
        ),
        candidacies=(),
        deals=(),
        beacon_keys=(),
        supply=Stake(sum(account.bonded for account in accounts) + treasury),
        treasury=treasury,
        burned=Stake(0),
        accounts=accounts,
        round=round_state,
        next_round=FIRST_ROUND if round_state is None else Round(FIRST_ROUND + 1),
        model_digest=genesis.model_digest,
        accepted_models=(genesis.model_digest,),
        lineage_digest=compute_digest(Domain.LINEAGE, chain_id),
        offences=(),
        rounds_settled=0,
    )
