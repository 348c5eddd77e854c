"""A second opinion on blocks, convictions and members; see :mod:`tests.sim.opinion`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from protocol.blocks import BlockHeader, compute_block_hash
from protocol.bls import check_bls_signature
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.evidence import ConflictingVotes, Evidence
from protocol.genesis import Genesis
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.member_entries import Candidacy
from protocol.ledger.state import Account, LedgerState
from protocol.operations import Approve, Join, Leave, ReportEvidence, Unbond
from protocol.outcomes import StakeReason
from protocol.refusals import Refusal
from protocol.units import Digest, Epoch, MemberId, View
from protocol.votes import Certificate
from tests.sim.steps import Step


def check_blocks(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Each block follows its parent in height, view, time and epoch (C2, C8, C13), and a quorum certifies it (C7)."""
    first = compute_genesis_state(genesis)
    mix = first.mix
    for step in steps:
        before, header, after = step.before, step.header, step.after
        where = f"height {header.height}"
        assert (header.parent_hash, header.parent_view) == (before.block_hash, before.view), f"{where}: another parent"
        assert header.height == before.height + 1, f"{where} follows {before.height}"
        assert header.view > before.view, f"{where}: its view is not above its parent's"
        assert header.time_ms > before.time_ms, f"{where}: its time is not above its parent's"
        assert header.epoch == (header.height - 1) // genesis.parameters.epoch_blocks, f"{where}: a wrong epoch"
        assert after.epoch == header.height // genesis.parameters.epoch_blocks, f"{where}: the epoch ends elsewhere"
        mix = compute_digest(Domain.MIX, mix, header.reveal)
        assert after.mix == mix, f"{where}: the mix is not that of all reveals"
        seed = compute_digest(Domain.EPOCH, first.chain_id, after.epoch.to_bytes(8, "big"), mix)
        expected = before.epoch_seed if after.epoch == before.epoch else seed
        assert after.epoch_seed == expected, f"{where}: the leaders' seed is not that of the epoch's mix"
        if step.final.certificate is not None:
            block_hash = compute_block_hash(first.chain_id, header)
            check_quorum(before, header, block_hash, step.final.certificate, is_last=after.epoch > header.epoch)
        else:
            assert after.epoch == header.epoch, f"{where} ends an epoch without a certificate"


def check_quorum(
    state: LedgerState, header: BlockHeader, block_hash: Digest, certificate: Certificate, *, is_last: bool
) -> None:
    """A final block's certificate is of more than two thirds of its epoch's weight (C7)."""
    where = f"height {header.height}"
    bits = int.from_bytes(certificate.signers, "little")
    assert bits < 1 << len(state.validators), f"{where}: signers that do not exist"
    weights = [entry.weight for index, entry in enumerate(state.validators) if bits >> index & 1]
    assert len(weights) == len(certificate.signatures), f"{where}: not one signature per signer"
    total = sum(entry.weight for entry in state.validators)
    assert 3 * sum(weights) > 2 * total, f"{where} is certified by {sum(weights)} of {total}: no quorum"
    assert (certificate.epoch, certificate.block_hash) == (header.epoch, block_hash), f"{where}: of another block"
    is_of_view = certificate.view == header.view or (is_last and certificate.view > header.view)
    assert is_of_view, f"{where}: certified in view {certificate.view}"


def check_reveals(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Each block has its leader's reveal of its own epoch and view, and no other (B5)."""
    chain_id = compute_genesis_state(genesis).chain_id
    for step in steps:
        header = step.header
        key = next(entry.bls_key for entry in step.before.members if entry.member == header.leader)
        message = header.epoch.to_bytes(8, "big") + header.view.to_bytes(8, "big")
        try:
            check_bls_signature(key, Domain.REVEAL, chain_id, message, header.reveal)
        except InvalidMessage as error:
            raise AssertionError(f"height {header.height}: the reveal is not its leader's") from error


def check_order(steps: Sequence[Step], honest: frozenset[MemberId]) -> None:
    """Every member's operations are judged in the order of their numbers, each once (L8); nobody wastes a place."""
    numbers: dict[MemberId, int] = defaultdict(int)
    ordered: set[bytes] = set()
    for step in steps:
        results = zip(step.final.block.operations, step.operations, step.outcome.results, strict=True)
        for encoded, operation, result in results:
            content = operation.content
            where = f"height {step.header.height}: operation {content.sequence} of {content.member.hex()[:8]}"
            if result.refusal is not Refusal.WRONG_SEQUENCE:
                assert content.sequence == numbers[content.member], f"{where}: {numbers[content.member]} is next"
                numbers[content.member] += 1
            if step.header.leader in honest:
                assert encoded not in ordered, f"{where} is ordered twice"
            ordered.add(encoded)


def check_convictions(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Each offence is punished once, by the rounded up share of all that is at stake, and with jail (L7)."""
    known: set[tuple[MemberId, Epoch, View]] = set()
    share = genesis.parameters.slash_equivocation_bps
    for step in steps:
        stakes = {account.member: compute_at_stake(account) for account in step.before.accounts}
        for operation in step.executed:
            if not isinstance(operation.content.payload, ReportEvidence):
                continue
            offence = get_offence(operation.content.payload.evidence)
            member, epoch, _ = offence
            assert offence not in known, f"height {step.header.height}: {member.hex()[:8]} is punished again"
            age = step.before.epoch - epoch
            assert age <= genesis.parameters.evidence_window_epochs, f"an offence of {age} epochs ago is punished"
            known.add(offence)
            stakes[member] -= -(-stakes[member] * share // 10_000)
            account = get_account(step.after, member)
            assert account.is_jailed, f"{member.hex()[:8]} is convicted and not in jail"
        others = {move.member for move in step.outcome.moves if move.reason is not StakeReason.SLASH_EQUIVOCATION}
        others |= set() if step.outcome.settled is None else {move.member for move in step.outcome.settled.moves}
        for account in step.after.accounts:
            if account.member in stakes and account.member not in others:
                at_stake = compute_at_stake(account)
                assert at_stake == stakes[account.member], f"{account.member.hex()[:8]} keeps {at_stake} at stake"


def get_offence(evidence: Evidence) -> tuple[MemberId, Epoch, View]:
    """Return whom evidence is about, and of which view."""
    if isinstance(evidence, ConflictingVotes):
        return evidence.first.member, evidence.first.epoch, evidence.first.view
    return evidence.first.leader, evidence.first.epoch, evidence.first.view


def check_members(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Weights are those of an epoch's begin (C13), and who joins and leaves follows from what was asked for (L9)."""
    leaving: set[MemberId] = set()
    approvals: dict[MemberId, set[MemberId]] = {}
    bonds: dict[MemberId, int] = {}
    for step in steps:
        before, after = step.before, step.after
        where = f"height {step.header.height}"
        validators = {entry.member for entry in before.validators}
        for operation in step.executed:
            asking, payload = operation.content.member, operation.content.payload
            if isinstance(payload, Join | Approve):
                assert asking in validators, f"{where}: {asking.hex()[:8]} is no validator and asks for a newcomer"
            match payload:
                case Leave():
                    leaving.add(asking)
                case Join(card=card):
                    approvals[card.member], bonds[card.member] = {asking}, payload.bond
                case Approve(member=newcomer):
                    assert asking not in approvals[newcomer], f"{where}: approved twice"
                    assert payload.bond == bonds[newcomer], f"{where}: approved for another bond"
                    approvals[newcomer].add(asking)
                case _:
                    pass
        admitted = {move.member: move.amount for move in step.outcome.moves if move.reason is StakeReason.MINT}
        assert after.supply - before.supply == sum(admitted.values()), f"{where}: the supply changed otherwise"
        if after.epoch == before.epoch:
            assert not admitted, f"{where}: a newcomer is admitted in the middle of an epoch"
            assert (after.validators, after.members) == (before.validators, before.members), f"{where}: members changed"
            continue
        for candidacy in before.candidacies:
            check_admission(before, candidacy, admitted, approvals[candidacy.card.member])
        leaving -= admitted.keys()
        weights = {
            account.member: account.bonded
            for account in after.accounts
            if account.bonded >= genesis.parameters.bond_min
            and not (account.is_jailed or account.is_evicted or account.member in leaving)
        }
        if weights:
            found = {entry.member: entry.weight for entry in after.validators}
            assert found == weights, f"{where}: the weights of epoch {after.epoch} are not its members' bonded stakes"


def check_admission(
    state: LedgerState, candidacy: Candidacy, admitted: Mapping[MemberId, int], approving: set[MemberId]
) -> None:
    """A newcomer comes in with its bond if more than two thirds of the weight approve, and not otherwise (L9)."""
    total = sum(entry.weight for entry in state.validators)
    weight = sum(entry.weight for entry in state.validators if entry.member in approving)
    name = candidacy.card.member.hex()[:8]
    is_admitted = candidacy.card.member in admitted
    assert is_admitted == (3 * weight > 2 * total), f"{name} has {weight} of {total} and is admitted: {is_admitted}"
    assert not is_admitted or admitted[candidacy.card.member] == candidacy.bond, f"{name} gets another bond"


def check_release(genesis: Genesis, steps: Sequence[Step]) -> None:
    """Stake that unbonds can be slashed for as long as evidence about its epoch convicts, and no longer (L6)."""
    span = genesis.parameters.evidence_window_epochs + 1
    slashed = {
        move.member
        for step in steps
        for move in (*step.outcome.moves, *(() if step.outcome.settled is None else step.outcome.settled.moves))
        if move.reason.name.startswith("SLASH_")
    }
    begun: dict[MemberId, list[tuple[Epoch, int]]] = defaultdict(list)
    for step in steps:
        asked = {
            operation.content.member for operation in step.executed if isinstance(operation.content.payload, Unbond)
        }
        for move in step.outcome.moves:
            if move.reason is StakeReason.UNBOND:
                begun[move.member].append((step.before.epoch, move.amount))
        for account in step.after.accounts:
            if account.member in slashed:
                continue
            due = sum(amount for epoch, amount in begun[account.member] if epoch + span > step.after.epoch)
            held = sum(entry.amount for entry in account.unbonding)
            assert held == due, f"{account.member.hex()[:8]} has {held} unbonding, and {due} is not due yet"
        assert asked <= begun.keys(), f"height {step.header.height}: unbonding leaves no trace"


def compute_at_stake(account: Account) -> int:
    """Return all that a slash could take."""
    return account.bonded + sum(entry.amount for entry in account.unbonding)


def get_account(state: LedgerState, member: MemberId) -> Account:
    """Return a member's account."""
    return next(account for account in state.accounts if account.member == member)
