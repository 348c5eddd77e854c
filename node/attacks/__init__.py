"""Ways for a member to misbehave on request, so that a network's defence can be seen at work.

What a member does to its updates and what it does with its votes are chosen apart: :class:`AttackKind`,
:class:`BallotKind`. A :class:`Scenario` is one of each under the name that ``pnyx simulate --attack`` takes. The
formulas are in :mod:`node.attacks.vectors`.
"""

from node.attacks.kinds import AttackKind, BallotKind
from node.attacks.scenarios import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "AttackKind", "BallotKind", "Scenario"]
