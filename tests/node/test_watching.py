"""What people who watch a node read about members that come and go, and about phases."""

from node.commands.watching import format_event
from node.json_values import JsonObject, JsonValue


def test_a_new_epoch_names_who_joined_and_who_left_and_they_are_known_from_then_on() -> None:
    anna, bert = "aa" * 32, "bb" * 32
    members: list[JsonValue] = [{"member": anna, "name": "anna"}, {"member": bert, "name": "bert"}]
    names: dict[str, str] = {}
    epoch: JsonObject = {"event": "EpochStarted", "epoch": 7, "validator_count": 4, "joined": [anna], "left": [bert]}
    assert format_event({**epoch, "members": members}, names) == "epoch 7  4 validators; joined anna; left bert"
    failed: JsonObject = {"event": "ViewFailed", "view": 3, "leader": anna, "failures": 1}
    assert format_event(failed, names) == "view 3 of anna failed (1 in a row)"
    quiet: JsonObject = {**epoch, "members": members, "joined": [], "left": []}
    assert format_event(quiet, names) == "epoch 7  4 validators"


def test_phases_tell_roles_replacements_and_the_retrial() -> None:
    """F11, F13."""
    names = {"aa": "anna", "bb": "bert", "cc": "carl"}
    phase: JsonObject = {"event": "PhaseEntered", "round": 3, "phase": "TRAIN", "attempt": 0, "replaced": []}
    roles: JsonObject = {"proposers": ["aa"], "voters": ["bb"]}
    assert format_event({**phase, **roles}, names) == "round 3  TRAIN   proposers anna; voters bert"
    assert format_event({**phase, **roles, "phase": "REVEAL"}, names) == "round 3  REVEAL"
    called: JsonObject = {**phase, **roles, "replaced": ["cc"]}
    assert format_event(called, names).endswith("voters bert; replaced by standbys: carl")
    retrial: JsonObject = {**phase, **roles, "phase": "SEAL", "attempt": 1}
    assert format_event(retrial, names) == "round 3  SEAL    retrial without the condemned updates"
