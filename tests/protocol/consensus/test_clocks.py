"""Clocks that are put right (C4, C8): what was set by a wrong one must not last."""

from tests.protocol.consensus.rig import NULLIFY, Application, Rig, at, get_follower, get_sent_votes


def make_rig() -> Rig:
    """Return a started follower with something to order."""
    rig = Rig(get_follower(1, 2, 3), application=Application(has_operations=True))
    rig.start(0)
    return rig


def test_a_timer_that_a_clock_ahead_has_set_does_not_hold_a_view_up() -> None:
    """C4: hours later the clock is right again."""
    rig = make_rig()
    rig.consensus._pacemaker.arm(at(3_600_000))
    assert [vote.kind for vote in get_sent_votes(rig.step(500))] == [NULLIFY]
    again = make_rig()
    again.consensus._pacemaker.arm(at(500))
    assert get_sent_votes(again.step(501)) == []
