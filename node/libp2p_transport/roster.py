"""Who the members are now, and where each is dialled.

Everything in this package that asks "is it a member" asks here, at the moment at which it matters, because members come
and go while the transport runs (L9). The operator's own addresses of a member win over those that the ledger tells.

A node that was away for long may know only members that have left. So whoever the operator names and the ledger does
not know is a guide: it is dialled, and never let in, until it has no block that we lack, or has been a member and left.
"""

from collections.abc import Mapping

from node.libp2p_transport.settings import TransportSettings
from protocol.units import MemberId


class Roster:
    """The members and their addresses; we may be among them."""

    def __init__(self, settings: TransportSettings) -> None:
        self._fixed_addresses = dict(settings.fixed_addresses)
        self._addresses = {member: tuple(settings.addresses.get(member, ())) for member in settings.members}
        self._guides = self._fixed_addresses.keys() - self._addresses.keys()

    @property
    def members(self) -> frozenset[MemberId]:
        """All members."""
        return frozenset(self._addresses)

    @property
    def dialled(self) -> frozenset[MemberId]:
        """All members and guides."""
        return frozenset(self._addresses.keys() | self._guides)

    def has_member(self, member: MemberId) -> bool:
        """Return whether somebody is a member now."""
        return member in self._addresses

    def get_addresses(self, member: MemberId) -> tuple[str, ...]:
        """Return where a member or guide is dialled; nowhere if it is neither."""
        return self._fixed_addresses.get(member, self._addresses.get(member, ())) if member in self.dialled else ()

    def dismiss_guide(self, member: MemberId) -> bool:
        """Forget a guide; return whether it was one."""
        was_guide = member in self._guides
        self._guides.discard(member)
        return was_guide

    def replace(self, members: Mapping[MemberId, tuple[str, ...]]) -> tuple[MemberId, ...]:
        """Take exactly these members from now on, and return those that are members no longer, sorted."""
        left = self._addresses.keys() - members.keys()
        self._addresses = dict(members)
        self._guides -= members.keys()
        return tuple(sorted(left))
