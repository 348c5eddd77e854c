"""Does every gossip message of a healthy network arrive, how fast, and at what CPU cost?

Seven nodes, each a process of its own with a real transport on loopback, publish twenty messages a second each for a
minute. ``python -m bench.gossip --seconds 60`` prints a table, with ``--json`` one JSON document; exit code 1 says that
less than everything arrived.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from statistics import median, quantiles

_HEADER = struct.Struct("!HIQ")
"""Publisher's index, sequence number, and the machine's monotonic clock in nanoseconds when it was published."""
_GRACE_S = 10.0
_READY_S = 120.0
_EXIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipReport:
    """What one run measured."""

    nodes: int
    seconds: float
    messages_published: int
    deliveries_expected: int
    deliveries: int
    duplicates_judged: int
    delivered_percent: float
    latency_median_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    cpu_ms_per_message_and_node: float
    cpu_percent_per_node: float
    rss_mb_per_node: float


def run_node(index: int, count: int, *, seconds: float, rate: float, size: int) -> None:
    """Be one node: talk to the parent in JSON lines over standard input and output."""
    import trio
    from nacl.signing import SigningKey

    from node.libp2p_transport import TransportSettings, open_transport
    from protocol.gossip import Admission, Topic
    from protocol.units import Digest, MemberId

    seeds = [bytes([number + 1]) * 32 for number in range(count)]
    members = [MemberId(bytes(SigningKey(seed).verify_key)) for seed in seeds]
    settings = TransportSettings(
        chain_id=Digest(bytes(32)),
        signing_seed=seeds[index],
        members=frozenset(members),
        listen=("/ip4/127.0.0.1/tcp/0",),
        addresses={},
    )
    received: set[tuple[int, int]] = set()
    latencies_us: list[int] = []
    duplicates = 0

    def on_gossip(topic: Topic, neighbour: MemberId, data: bytes) -> Admission:
        nonlocal duplicates
        publisher, sequence, sent_ns = _HEADER.unpack_from(data)
        if (publisher, sequence) in received:
            duplicates += 1
        received.add((publisher, sequence))
        latencies_us.append((time.monotonic_ns() - sent_ns) // 1_000)
        return Admission.ACCEPT

    async def serve() -> None:
        total = round(seconds * rate)
        random = Random(index)
        async with open_transport(settings, on_gossip=on_gossip, services={}) as transport:
            _say({"listen": transport.get_listen_addresses()})
            told = await trio.to_thread.run_sync(_hear)
            transport.set_members(dict(zip(members, map(tuple, told), strict=True)))
            with trio.fail_after(_READY_S):
                await transport.wait_connected(count - 1)
            _say({"ready": True})
            await trio.to_thread.run_sync(_hear)
            cpu_before = time.process_time()
            start = trio.current_time() + random.random() / rate
            for sequence in range(total):
                await trio.sleep_until(start + sequence / rate)
                padding = random.randbytes(size - _HEADER.size)
                await transport.publish(Topic.CONSENSUS, _HEADER.pack(index, sequence, time.monotonic_ns()) + padding)
            with trio.move_on_after(_GRACE_S):
                while len(received) < total * (count - 1):
                    await trio.sleep(0.02)
            report = {"latencies_us": latencies_us, "received": len(received), "duplicates": duplicates}
            _say({**report, "cpu_s": time.process_time() - cpu_before, "rss_mb": _get_rss_mb()})
            # Whoever is done first must not pull away a neighbour of the others.
            await trio.to_thread.run_sync(_hear)

    trio.run(serve)


def run_bench(*, nodes: int, seconds: float, rate: float, size: int) -> GossipReport:
    """Start the nodes, let them talk, and sum up."""
    arguments = ["--nodes", str(nodes), "--seconds", str(seconds), "--rate", str(rate), "--size", str(size)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.gossip", "--node", str(index), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        for index in range(nodes)
    ]
    try:
        addresses = [_ask(process)["listen"] for process in processes]
        _tell_all(processes, addresses)
        for process in processes:
            _ask(process)
        _tell_all(processes, "start")
        results = [_ask(process) for process in processes]
        _tell_all(processes, "stop")
        for process in processes:
            process.wait(timeout=_EXIT_S)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return _sum_up(results, nodes=nodes, seconds=seconds, published=nodes * round(seconds * rate))


def _sum_up(results: list[dict[str, object]], *, nodes: int, seconds: float, published: int) -> GossipReport:
    latencies_ms = sorted(value / 1_000 for result in results for value in _numbers(result["latencies_us"]))
    deliveries = sum(int(str(result["received"])) for result in results)
    expected = published * (nodes - 1)
    cpu_s = sum(float(str(result["cpu_s"])) for result in results)
    return GossipReport(
        nodes=nodes,
        seconds=seconds,
        messages_published=published,
        deliveries_expected=expected,
        deliveries=deliveries,
        duplicates_judged=sum(int(str(result["duplicates"])) for result in results),
        delivered_percent=round(100 * deliveries / expected, 4),
        latency_median_ms=round(median(latencies_ms), 2),
        latency_p99_ms=round(quantiles(latencies_ms, n=100)[98], 2),
        latency_max_ms=round(latencies_ms[-1], 2),
        cpu_ms_per_message_and_node=round(1_000 * cpu_s / nodes / published, 3),
        cpu_percent_per_node=round(100 * cpu_s / nodes / seconds, 2),
        rss_mb_per_node=round(max(float(str(result["rss_mb"])) for result in results), 1),
    )


def _numbers(values: object) -> list[int]:
    return [int(value) for value in values] if isinstance(values, list) else []


def _get_rss_mb() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss) / 1_000_000


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _hear() -> list[list[str]]:
    heard: list[list[str]] = json.loads(sys.stdin.readline() or "[]")
    return heard


def _ask(process: subprocess.Popen[str]) -> dict[str, object]:
    """Return the next JSON line of a node; whatever else it prints is passed on."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            answer: dict[str, object] = json.loads(line)
            return answer
        sys.stderr.write(line)
    raise SystemExit(f"a node ended early, with exit code {process.wait()}")


def _tell_all(processes: list[subprocess.Popen[str]], message: object) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="bench.gossip", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--nodes", type=int, default=7)
    parser.add_argument("--rate", type=float, default=20.0, help="messages per second and node")
    parser.add_argument("--size", type=int, default=300, help="bytes per message")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--node", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.node is not None:
        _silence_logs()
        run_node(options.node, options.nodes, seconds=options.seconds, rate=options.rate, size=options.size)
        return 0
    report = run_bench(nodes=options.nodes, seconds=options.seconds, rate=options.rate, size=options.size)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        for name, value in asdict(report).items():
            print(f"{name:<30} {value:>12}")
    return 0 if report.deliveries == report.deliveries_expected else 1


def _silence_logs() -> None:
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    sys.exit(main())
