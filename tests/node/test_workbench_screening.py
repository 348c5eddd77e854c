"""The workbench screens updates: nothing is written, and what fails spoils nothing else (F8)."""

from pathlib import Path

import trio
from trio.testing import MockClock

from protocol.interface import Input, ScreeningFailed, ScreenUpdate, UpdateReference, UpdateScreened
from protocol.units import Ppm, Round
from tests.node.fakes import FakeLearner, make_model_bytes, make_update_bytes
from tests.node.workbenches import EXPONENTS, put, run_workbench


async def test_an_update_is_screened_without_leaving_anything_on_the_disk(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with run_workbench(tmp_path) as bench:
        base = await put(bench.mine, make_model_bytes(1))
        update = await put(bench.theirs, make_update_bytes(2))
        reference = UpdateReference(artifact_digest=update, scale_exponents=EXPONENTS)
        bench.workbench.start(ScreenUpdate(round=Round(1), base_digest=base, update=reference))
        bench.workbench.start(ScreenUpdate(round=Round(1), base_digest=base, update=reference))
        assert await bench.take_one() == UpdateScreened(base_digest=base, update=reference, score=Ppm(900_000))
        await trio.sleep(10.0)
        assert bench.learner.calls == ["screen"]
        assert bench.mine.get_digests() == {base, update}
        assert not list((tmp_path / "mine" / "temporary").iterdir())


async def test_one_update_with_other_scales_is_screened_by_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with run_workbench(tmp_path, FakeLearner(takes_s=2.0)) as bench:
        base, update = await put(bench.mine, make_model_bytes(1)), await put(bench.mine, make_update_bytes(2))
        references = [UpdateReference(artifact_digest=update, scale_exponents=(scale, -16)) for scale in (-16, -17)]
        for reference in references:
            bench.workbench.start(ScreenUpdate(round=Round(1), base_digest=base, update=reference))
        events: list[Input] = []
        with trio.fail_after(600.0):
            while len(events) < len(references):
                events += await bench.inbox.take(wait_s=None)
        assert {event.update for event in events if isinstance(event, UpdateScreened)} == set(references)


async def test_an_update_that_cannot_be_screened_has_no_score_and_the_node_goes_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """F8: a worker that dies over one update must not keep this voter from judging the others."""
    async with run_workbench(tmp_path, FakeLearner(failure="the worker died")) as bench:
        base, update = await put(bench.mine, make_model_bytes(1)), await put(bench.mine, make_update_bytes(2))
        reference = UpdateReference(artifact_digest=update, scale_exponents=EXPONENTS)
        order = ScreenUpdate(round=Round(1), base_digest=base, update=reference)
        bench.workbench.start(order)
        failed = ScreeningFailed(round=Round(1), base_digest=base, update=reference, reason="the worker died")
        assert await bench.take_one() == failed
        bench.learner.failure = ""
        bench.workbench.start(order)
        assert await bench.take_one() == UpdateScreened(base_digest=base, update=reference, score=Ppm(900_000))


async def test_an_update_that_is_gone_from_the_disk_is_fetched_and_screened(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    content = make_update_bytes(2)
    async with run_workbench(tmp_path) as bench:
        base, update = await put(bench.mine, make_model_bytes(1)), await put(bench.mine, content)
        await put(bench.theirs, content)
        bench.mine.get_path(update).unlink()
        reference = UpdateReference(artifact_digest=update, scale_exponents=EXPONENTS)
        bench.workbench.start(ScreenUpdate(round=Round(1), base_digest=base, update=reference))
        assert await bench.take_one() == UpdateScreened(base_digest=base, update=reference, score=Ppm(900_000))
        assert bench.mine.get_path(update).read_bytes() == content
