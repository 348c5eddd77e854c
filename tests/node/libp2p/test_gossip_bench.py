"""The gossip benchmark runs and finds that everything arrives."""

import json

import pytest

from bench.gossip import main


@pytest.mark.slow
def test_everything_arrives_between_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nodes", "3", "--seconds", "2", "--rate", "20", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["messages_published"] == 120
    assert report["deliveries"] == report["deliveries_expected"] == 240
    assert report["delivered_percent"] == 100
    assert report["duplicates_judged"] == 0
    assert 0 < report["latency_median_ms"] <= report["latency_p99_ms"] <= report["latency_max_ms"]
    assert report["cpu_ms_per_message_and_node"] > 0
