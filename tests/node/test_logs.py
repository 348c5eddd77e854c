"""Log lines: machine-readable on request, short identifiers, nothing below the level."""

import json
from collections.abc import Iterator

import pytest
import structlog

from node.config_keys import LogFormat, LogLevel
from node.logs import configure_logs, shorten_identifiers


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_json_line_is_one_object_with_short_digests(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)
    structlog.get_logger("test").info("round_settled", round=3, model=bytes(range(32)), voters=(b"\xff" * 32,))
    captured = capsys.readouterr()
    assert captured.out == ""
    line = json.loads(captured.err)
    assert line["event"] == "round_settled"
    assert line["level"] == "info"
    assert line["round"] == 3
    assert line["model"] == "00010203"
    assert line["voters"] == ["ffffffff"]
    assert line["timestamp"].endswith("Z")


def test_a_console_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.INFO)
    structlog.get_logger("test").warning("peer_lost", member=bytes(32))
    err = capsys.readouterr().err
    assert "peer_lost" in err
    assert "member=00000000" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    configure_logs(log_format, LogLevel.WARNING)
    structlog.get_logger("test").info("quiet")
    structlog.get_logger("test").error("loud")
    err = capsys.readouterr().err
    assert "quiet" not in err
    assert "loud" in err


def test_an_error_in_json_keeps_its_traceback_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)
    try:
        raise ValueError("the reason")
    except ValueError as error:
        structlog.get_logger("test").error("request_failed", exc_info=error)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "the reason" in lines[0]


def test_only_bytes_are_shortened() -> None:
    event = {"event": "e", "text": "ab" * 32, "number": 7, "nested": [b"\x01" * 32, "x"]}
    assert shorten_identifiers(None, "info", dict(event)) == {**event, "nested": ["01010101", "x"]}
