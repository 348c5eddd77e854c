"""Which part of a bundled task's data is this member's.

The parts are as many as founders, for ever: they must not move when members come and go, or a member would be judged on
data that another one has trained on. A newcomer shares a founder's part, and which one is known before its admission.
"""

from node.errors import ConfigError
from protocol.genesis import Genesis
from protocol.units import MemberId


def compute_data_part(genesis: Genesis, member: MemberId, configured: int) -> int:
    """Return the 0-based part.

    Args:
        genesis: The network's.
        member: Whose part.
        configured: The operator's own choice, or -1.

    Raises:
        ConfigError: The operator chose a part that does not exist.
    """
    count = len(genesis.founders)
    if configured >= count:
        raise ConfigError(f"data_part is {configured}: the data are dealt in {count} parts, give 0 to {count - 1}")
    if configured >= 0:
        return configured
    founders = [founder.member for founder in genesis.founders]
    return founders.index(member) if member in founders else int.from_bytes(member, "big") % count
