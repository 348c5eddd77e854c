"""An operator's operation is followed from the request over its signature to what the ledger made of it."""

import trio
import trio.testing

from node.inbox import Inbox
from node.refusals import SENTENCES
from node.submissions import Judged, Submissions
from protocol.interface import OperationRequested
from protocol.observations import BlockExecuted
from protocol.operations import Bond, Unbond, compute_operation_id
from protocol.refusals import Refusal
from protocol.units import Digest, Stake
from tests.founders import make_founders
from tests.helpers import LedgerBuilder


async def test_two_equal_requests_are_told_apart_and_other_operations_are_nobodys() -> None:
    builder = LedgerBuilder(founders=make_founders(3))
    member = builder.founders[0].member
    payload = Unbond(amount=Stake(5))
    inbox = Inbox()
    submissions = Submissions(inbox)
    answers: list[Judged] = []
    told: list[Digest] = []

    async def tell_signed(operation_id: Digest) -> None:
        told.append(operation_id)

    async def submit() -> None:
        answers.append(await submissions.submit(payload, tell_signed))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit)
        nursery.start_soon(submit)
        await trio.testing.wait_all_tasks_blocked()
        assert await inbox.take(wait_s=None) == [OperationRequested(payload=payload)] * 2

        signed = builder.sign_all([(member, Bond(amount=Stake(1 << 60))), (member, payload), (member, payload)])
        assert told == []
        for operation in signed:
            submissions.note_signed(operation)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(told) == sorted(compute_operation_id(operation) for operation in signed[1:])
        outcome = builder.add_block(signed[:2])
        submissions.note_executed(make_executed(builder))
        await trio.testing.wait_all_tasks_blocked()
        assert [answer.operation_id for answer in answers] == [compute_operation_id(signed[1])]
        assert (answers[0].refusal, answers[0].error) == (outcome.results[1].refusal, "") == (Refusal.NONE, "")
        assert answers[0].height == builder.state.height

        builder.add_block(signed[2:])
        submissions.note_executed(make_executed(builder))
    assert [answer.operation_id for answer in answers] == [compute_operation_id(operation) for operation in signed[1:]]


async def test_a_refusal_is_told_with_its_reason() -> None:
    builder = LedgerBuilder(founders=make_founders(3))
    payload = Bond(amount=Stake(1 << 60))
    submissions = Submissions(Inbox())
    answers: list[Judged] = []

    async def submit() -> None:
        answers.append(await submissions.submit(payload, ignore_id))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit)
        await trio.testing.wait_all_tasks_blocked()
        operation = builder.sign(builder.founders[0].member, payload)
        submissions.note_signed(operation)
        builder.add_block((operation,))
        submissions.note_executed(make_executed(builder))
    assert answers[0].refusal is Refusal.BOND_EXCEEDS_FREE
    assert answers[0].error == SENTENCES[Refusal.BOND_EXCEEDS_FREE]


async def ignore_id(_operation_id: Digest) -> None:
    pass


def make_executed(builder: LedgerBuilder) -> BlockExecuted:
    built = builder.blocks[-1]
    header = built.block.header
    return BlockExecuted(
        height=header.height,
        view=header.view,
        time_ms=header.time_ms,
        leader=header.leader,
        operation_count=len(built.block.operations),
        outcome=built.outcome,
    )
