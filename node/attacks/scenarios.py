"""Attacks by name: what a malicious member does as proposer, and what the same member does as voter."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from node.attacks.kinds import AttackKind, BallotKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How a malicious member behaves in a round, whichever its role."""

    update: AttackKind
    ballot: BallotKind

    @property
    def has_backdoor(self) -> bool:
        """Whether malicious members plant a back door."""
        return self.update in {AttackKind.BACKDOOR, AttackKind.SCALING}


_POISON = {
    kind.value: Scenario(update=kind, ballot=BallotKind.INVERTED)
    for kind in (
        AttackKind.LABEL_FLIP,
        AttackKind.SIGN_FLIP,
        AttackKind.NOISE,
        AttackKind.ALIE,
        AttackKind.INNER_PRODUCT,
        AttackKind.MIN_MAX,
        AttackKind.MIN_SUM,
    )
}
"""Who wants the model to be bad votes the wrong way round, as in the paper's experiment."""

_STEALTHY = {
    kind.value: Scenario(update=kind, ballot=BallotKind.COLLUDING)
    for kind in (AttackKind.BACKDOOR, AttackKind.SCALING, AttackKind.RATCHET)
}
"""Who wants something in the model helps friends and does not draw attention otherwise."""

_FREE_RIDERS = {
    kind.value: Scenario(update=kind, ballot=BallotKind.LAZY)
    for kind in (AttackKind.FREE_ZERO, AttackKind.FREE_STALE, AttackKind.FREE_COPY)
}
"""Who saves the work of training saves that of judging."""

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        "none": Scenario(update=AttackKind.NONE, ballot=BallotKind.HONEST),
        **_POISON,
        **_STEALTHY,
        **_FREE_RIDERS,
        "inverted_voters": Scenario(update=AttackKind.NONE, ballot=BallotKind.INVERTED),
        "colluding_voters": Scenario(update=AttackKind.SIGN_FLIP, ballot=BallotKind.COLLUDING),
        "lazy_voters": Scenario(update=AttackKind.NONE, ballot=BallotKind.LAZY),
        "vote_copiers": Scenario(update=AttackKind.NONE, ballot=BallotKind.COPIED),
        "silent_proposers": Scenario(update=AttackKind.SILENT, ballot=BallotKind.HONEST),
        "silent_voters": Scenario(update=AttackKind.NONE, ballot=BallotKind.SILENT),
        "silent": Scenario(update=AttackKind.SILENT, ballot=BallotKind.SILENT),
    }
)
"""What ``pnyx simulate --attack`` knows."""
