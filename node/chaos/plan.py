"""What happens to whom and when in a run of chaos: drawn from a seed, before anything starts.

Most of the time no more nodes are hampered than consensus tolerates, so that rounds must go on. Now and then comes a
storm that hampers more: then nothing needs to go on, but nothing may break either, and afterwards rounds must go on
again. How the nodes answer, and so what exactly a trouble meets, differs between two runs of one plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from hashlib import sha256
from typing import Final, TypeVar

from node.fleet.switchboard import Link, list_links
from protocol.beacon.sortition import CounterStream
from protocol.units import Digest

T = TypeVar("T")


class Kind(StrEnum):
    """What is done to the nodes of a trouble, and undone at its end."""

    KILL = "kill"
    """SIGKILL; at the end they start again."""
    RESTART = "stop"
    """SIGTERM, as an operator stops them; at the end they start again."""
    PAUSE = "pause"
    """SIGSTOP to daemons and workers; at the end they go on."""
    CUT = "cut"
    """Cables are cut in some directions; at the end they are mended."""


class _Card(Enum):
    """What the deck holds."""

    KILL = auto()
    RESTART = auto()
    PAUSE = auto()
    SPLIT = auto()
    MUTE = auto()
    DEAF = auto()
    CABLE = auto()
    STORM = auto()


_DECK: Final = (
    *(_Card.KILL, _Card.KILL, _Card.KILL, _Card.RESTART, _Card.RESTART, _Card.PAUSE, _Card.PAUSE, _Card.PAUSE),
    *(_Card.SPLIT, _Card.SPLIT, _Card.MUTE, _Card.DEAF, _Card.CABLE, _Card.CABLE, _Card.STORM),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that goes wrong for a while. Times count from the first trouble's earliest moment."""

    kind: Kind
    what: str
    """For people, such as ``split alpha beta``."""
    begins_ms: int
    ends_ms: int
    names: tuple[str, ...]
    """The nodes that it hampers; none for a single cable, since the others pass messages on."""
    links: frozenset[Link] = frozenset()
    """What is cut."""
    is_storm: bool = False
    """Whether it may hamper more nodes than consensus tolerates."""


_SHORT_MS: Final = (300, 3_000)
_LONG_MS: Final = (3_000, 14_000)
"""Beyond the time after which a silent connection is given up, and several timeouts of a view."""
_STORM_MS: Final = (2_000, 9_000)
_GAP_MS: Final = (500, 4_000)
_CALM_MS: Final = (8_000, 12_000)
"""After a storm nothing else goes wrong for so long."""
_SETTLE_MS: Final = {Kind.KILL: 5_000, Kind.RESTART: 5_000, Kind.PAUSE: 1_000, Kind.CUT: 2_000}
"""How long a node counts as hampered after its trouble has ended: a daemon takes seconds to start."""


def compute_tolerated_count(node_count: int) -> int:
    """Return how many members of equal weight may be missing while the others are a quorum: below one third."""
    return (node_count - 1) // 3


def build_plan(names: Sequence[str], *, seconds: int, seed: int) -> tuple[Trouble, ...]:
    """Return the troubles of a run, by their beginning; all have ended after ``seconds``."""
    planner = _Planner(names, end_ms=seconds * 1_000, seed=seed)
    return tuple(planner.draw_all())


class _Dice:
    """The seeded stream that a plan is drawn from."""

    def __init__(self, seed: int) -> None:
        self._stream = CounterStream(Digest(sha256(f"pnyx chaos {seed}".encode()).digest()))

    def draw_between(self, bounds: tuple[int, int]) -> int:
        """Return an integer from the lower to the upper bound."""
        low, high = bounds
        return low + self._stream.draw_below(high - low + 1)

    def choose(self, items: Sequence[T], count: int) -> list[T]:
        """Return so many different items, in random order."""
        rest = list(items)
        return [rest.pop(self._stream.draw_below(len(rest))) for _ in range(count)]

    def is_lucky(self) -> bool:
        """Return true in half of all cases."""
        return self._stream.draw_below(2) == 0


class _Planner:
    """Draws trouble after trouble."""

    def __init__(self, names: Sequence[str], *, end_ms: int, seed: int) -> None:
        self._names = tuple(names)
        self._end_ms = end_ms
        self._tolerated_count = compute_tolerated_count(len(names))
        self._dice = _Dice(seed)
        self._deck: list[_Card] = []
        self._now_ms = 0
        self._busy_until_ms: dict[str, int] = {}
        """When a node's last trouble has ended and been got over."""

    def draw_all(self) -> list[Trouble]:
        troubles: list[Trouble] = []
        while True:
            self._now_ms += self._dice.draw_between(_GAP_MS)
            trouble = self._draw_trouble()
            if trouble.begins_ms >= self._end_ms:
                return troubles
            troubles.append(trouble)

    def _draw_trouble(self) -> Trouble:
        if not self._deck:
            self._deck = self._dice.choose(_DECK, len(_DECK))
        card = self._deck.pop()
        if card is _Card.STORM or not self._tolerated_count:
            return self._draw_storm()
        if card is _Card.CABLE:
            one, other = self._dice.choose(self._names, 2)
            links = list_links([[one], [other]], is_one_way=self._dice.is_lucky())
            return self._make(Kind.CUT, f"cut the cable {_list_directions(links)}", (), links=links)
        victims = self._draw_victims()
        others = [name for name in self._names if name not in victims]
        match card:
            case _Card.SPLIT:
                links = list_links([victims, others])
                return self._make(Kind.CUT, f"split off {' '.join(victims)}", victims, links=links)
            case _Card.MUTE:
                links = list_links([victims, others], is_one_way=True)
                return self._make(Kind.CUT, f"mute {' '.join(victims)}", victims, links=links)
            case _Card.DEAF:
                links = list_links([others, victims], is_one_way=True)
                return self._make(Kind.CUT, f"deafen {' '.join(victims)}", victims, links=links)
            case _:
                kind = Kind[card.name]
                return self._make(kind, f"{kind.value} {' '.join(victims)}", victims)

    def _draw_victims(self) -> list[str]:
        """Return one node, seldom more, that may be hampered besides those that are, after waiting until it may."""
        count = min(self._dice.draw_between((1, self._tolerated_count)), self._dice.draw_between((1, 2)))
        while len(self._find_busy()) + count > self._tolerated_count:
            self._now_ms = min(self._busy_until_ms[name] for name in self._find_busy())
        free = [name for name in self._names if name not in self._find_busy()]
        return self._dice.choose(free, count)

    def _find_busy(self) -> list[str]:
        return [name for name in self._names if self._busy_until_ms.get(name, 0) > self._now_ms]

    def _draw_storm(self) -> Trouble:
        """Return a trouble for more than consensus tolerates, once all others are over."""
        self._now_ms = max([self._now_ms, *self._busy_until_ms.values()])
        all_names = self._dice.choose(self._names, len(self._names))
        some = all_names[: self._dice.draw_between((self._tolerated_count + 1, len(all_names)))]
        half, other_half = all_names[: len(all_names) // 2], all_names[len(all_names) // 2 :]
        match self._dice.draw_between((1, 5)):
            case 1:
                trouble = self._make(Kind.KILL, "kill all", all_names, is_storm=True)
            case 2:
                trouble = self._make(Kind.KILL, f"kill {' '.join(some)}", some, is_storm=True)
            case 3:
                trouble = self._make(Kind.PAUSE, f"pause {' '.join(some)}", some, is_storm=True)
            case number:
                is_one_way = number == 5
                links = list_links([half, other_half], is_one_way=is_one_way)
                what = f"{'mute' if is_one_way else 'split'} {' '.join(half)} | {' '.join(other_half)}"
                trouble = self._make(Kind.CUT, what, all_names, links=links, is_storm=True)
        self._now_ms = max(self._busy_until_ms.values()) + self._dice.draw_between(_CALM_MS)
        return trouble

    def _make(
        self,
        kind: Kind,
        what: str,
        names: Sequence[str],
        *,
        links: frozenset[Link] = frozenset(),
        is_storm: bool = False,
    ) -> Trouble:
        bounds = _STORM_MS if is_storm else _SHORT_MS if self._dice.is_lucky() else _LONG_MS
        ends_ms = min(self._now_ms + self._dice.draw_between(bounds), max(self._end_ms, self._now_ms))
        for name in names:
            self._busy_until_ms[name] = ends_ms + _SETTLE_MS[kind]
        return Trouble(
            kind=kind,
            what=what,
            begins_ms=self._now_ms,
            ends_ms=ends_ms,
            names=tuple(sorted(names)),
            links=links,
            is_storm=is_storm,
        )


def _list_directions(links: frozenset[Link]) -> str:
    return ", ".join(f"{sender} to {receiver}" for sender, receiver in sorted(links))
