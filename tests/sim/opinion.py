"""A second opinion on a run's ledger: its rules, worked out once more, from the specification and not from the code.

The core is trusted for one thing, to execute the blocks again for the states in between (:mod:`tests.sim.steps`). What
these states and the blocks say is then held against the rules, in the plainest way there is.
"""

from collections.abc import Sequence

from protocol.genesis import Genesis
from protocol.units import MemberId
from tests.sim.opinion_chain import check_blocks, check_convictions, check_members, check_order, check_release
from tests.sim.opinion_rounds import check_rounds
from tests.sim.steps import Step


def check_opinion(genesis: Genesis, steps: Sequence[Step], honest: frozenset[MemberId]) -> None:
    """Check everything but the reveals, each of which costs milliseconds."""
    check_blocks(genesis, steps)
    check_order(steps, honest)
    check_convictions(genesis, steps)
    check_members(genesis, steps)
    check_release(genesis, steps)
    check_rounds(genesis, steps)
