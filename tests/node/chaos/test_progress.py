"""How recovery and standstill are measured, with a clock that the test turns."""

from node.chaos.progress import Progress


def note(progress: Progress, now_s: float, **heights: int) -> list[str]:
    return progress.note_heights(heights, dict.fromkeys(heights, 0), now_s=now_s)


def test_a_node_has_recovered_when_it_has_a_block_that_nobody_had_at_the_end_of_its_trouble() -> None:
    progress = Progress(now_s=0.0)
    note(progress, 1.0, ada=10, bob=4)
    progress.note_end("kill bob", ("bob",), now_s=2.0)
    assert note(progress, 3.0, ada=11, bob=10) == []
    assert note(progress, 5.5, ada=12, bob=11) == ["recovered in 3.5 s from: kill bob"]
    assert progress.slowest is not None
    assert (progress.slowest.what, progress.slowest.seconds) == ("kill bob", 3.5)


def test_a_trouble_of_two_is_over_when_both_have_recovered() -> None:
    progress = Progress(now_s=0.0)
    progress.note_end("split", ("ada", "bob"), now_s=0.0)
    assert note(progress, 1.0, ada=1) == []
    assert note(progress, 2.0, bob=1) == ["recovered in 2.0 s from: split"]


def test_what_is_hit_again_is_not_measured() -> None:
    progress = Progress(now_s=0.0)
    progress.note_end("kill bob", ("bob",), now_s=0.0)
    progress.note_trouble(("bob",))
    assert note(progress, 50.0, ada=9, bob=9) == []
    assert progress.slowest is None


def test_what_a_storm_interrupts_is_not_measured() -> None:
    progress = Progress(now_s=0.0)
    progress.note_end("kill bob", ("bob",), now_s=0.0)
    progress.set_storm(is_storm=True, now_s=1.0)
    assert note(progress, 50.0, ada=9, bob=9) == []


def test_a_standstill_is_the_time_without_a_higher_block() -> None:
    progress = Progress(now_s=0.0)
    note(progress, 1.0, ada=5)
    note(progress, 4.0, ada=5, bob=4)
    assert progress.get_standstill_s(4.5) == 3.5
    note(progress, 6.0, ada=6)
    note(progress, 7.0, ada=6)
    assert progress.longest_standstill_s == 3.0


def test_a_storm_may_stand_still() -> None:
    progress = Progress(now_s=0.0)
    progress.set_storm(is_storm=True, now_s=1.0)
    note(progress, 60.0, ada=0)
    assert progress.get_standstill_s(60.0) == 0.0
    progress.set_storm(is_storm=False, now_s=60.0)
    assert progress.get_standstill_s(61.0) == 1.0
    assert progress.longest_standstill_s == 0.0
