"""Answers the commands that come in through the control socket of a running daemon."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from node.control import SendResult
from node.errors import ConfigError, WorkerFailed
from node.json_values import JsonObject, JsonValue, get_int, get_text
from node.observations import ObservationHub, describe_observation
from node.operation_requests import build_payload
from node.status import Informant
from node.submissions import Judged, TellSigned
from protocol.observations import EpochStarted
from protocol.operations import Approve, Join, Leave, Payload
from protocol.refusals import Refusal
from protocol.units import Digest, Ppm, Round

ROUNDS_MAX: Final = 1_000
DIGEST_BYTES: Final = 32

MeasureScore: TypeAlias = Callable[[Digest], Awaitable[Ppm]]
Submit: TypeAlias = Callable[[Payload, TellSigned], Awaitable[Judged]]
GetScore: TypeAlias = Callable[[Digest], int | None]


class ControlDesk:
    """Turns requests into answers; what it changes are the operations of this member and whether the daemon goes on."""

    def __init__(
        self,
        *,
        informant: Informant,
        hub: ObservationHub,
        get_score: GetScore,
        measure_score: MeasureScore,
        submit: Submit,
    ) -> None:
        """Take what answers are made of."""
        self._submit = submit
        self._informant = informant
        self._hub = hub
        self._get_score = get_score
        self._measure_score = measure_score
        self.stop_requested = trio.Event()
        """Set by the command ``stop``."""

    async def handle(self, request: JsonObject, send: SendResult) -> None:
        """Answer one request.

        Raises:
            ConfigError: The command is unknown, or this node has no account to act for.
            ValueError: An argument is missing or of the wrong kind.
        """
        match request.get("command"):
            case "status":
                await send(self._informant.describe_status())
            case "peers":
                await send(self._informant.describe_peers())
            case "rounds":
                limit = min(_get_count(request.get("limit", ROUNDS_MAX)), ROUNDS_MAX)
                first = request.get("from_round")
                from_round = None if first is None else Round(get_int(first))
                await send(self._informant.describe_rounds(from_round, limit=limit))
            case "stakes":
                await send(self._informant.describe_stakes())
            case "newcomers":
                await send(self._informant.describe_newcomers())
            case "model":
                await send(self._informant.describe_model())
            case "score":
                await send(await self._describe_score(get_text(request.get("digest"))))
            case "submit":
                await self._follow_submission(build_payload(request), send)
            case "watch":
                await self._stream_observations(send)
            case "stop":
                # No answer: the client waits for the end of the connection, which is the end of the daemon.
                self.stop_requested.set()
                await trio.sleep_forever()
            case command:
                raise ConfigError(
                    f"the daemon knows no command {command!r}: is it of another version than this program?"
                )

    async def _describe_score(self, text: str) -> JsonObject:
        digest = Digest(bytes.fromhex(text))
        if len(digest) != DIGEST_BYTES:
            raise ValueError("a digest is 64 hex digits")
        score: int | None = self._get_score(digest)
        if score is None:
            try:
                score = await self._measure_score(digest)
            except WorkerFailed as error:
                return {"digest": text, "score": None, "reason": str(error)}
        return {"digest": text, "score": score, "reason": ""}

    async def _follow_submission(self, payload: Payload, send: SendResult) -> None:
        """Tell when an operation is signed, and what the ledger made of it: when is the network's business."""
        before = self._informant.describe_own_stake()

        async def tell_signed(operation_id: Digest) -> None:
            await send({"state": "signed", "operation_id": operation_id.hex()})

        judged = await self._submit(payload, tell_signed)
        result: JsonObject = {
            "state": "judged",
            "operation_id": judged.operation_id.hex(),
            "height": judged.height,
            "is_executed": judged.refusal is Refusal.NONE,
            "refusal": judged.refusal.name,
            "error": judged.error,
            "stake_before": before,
            "stake_after": self._informant.describe_own_stake(),
        }
        await send({**result, **self._describe_consequence(payload)})

    def _describe_consequence(self, payload: Payload) -> JsonObject:
        """Return what an operation that changes who the members are will lead to, and when (L9)."""
        match payload:
            case Join(card=card):
                return {"admission": self._informant.describe_newcomer(card.member)}
            case Approve(member=member):
                return {"admission": self._informant.describe_newcomer(member)}
            case Leave():
                return {"departure": self._informant.describe_departure()}
            case _:
                return {}

    async def _stream_observations(self, send: SendResult) -> None:
        with self._hub.watch() as watcher:
            await send({"event": "Status", **self._informant.describe_status()})
            while True:
                observation = await watcher.wait_next()
                described = describe_observation(observation)
                if isinstance(observation, EpochStarted):
                    described["members"] = self._informant.describe_names()
                await send(described)
                if watcher.missed_count:
                    missed_count, watcher.missed_count = watcher.missed_count, 0
                    await send({"event": "Missed", "count": missed_count})


def _get_count(value: JsonValue) -> int:
    count = get_int(value)
    if count < 1:
        raise ValueError("a limit is a number from 1 up")
    return count
