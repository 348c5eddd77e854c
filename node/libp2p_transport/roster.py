"""Who the members are now, and where each is dialled.

Everything in this package that asks "is it a member" asks here, at the moment at which it matters, because members come
and go while the transport runs (L9). The operator's own addresses of a member win over those that the ledger tells.
"""

from collections.abc import Mapping

from node.libp2p_transport.settings import TransportSettings
from protocol.units import MemberId


class Roster:
    """The members and their addresses; we may be among them."""

    def __init__(self, settings: TransportSettings) -> None:
        self._fixed_addresses = dict(settings.fixed_addresses)
        self._addresses = {member: tuple(settings.addresses.get(member, ())) for member in settings.members}

    @property
    def members(self) -> frozenset[MemberId]:
        """All members."""
        return frozenset(self._addresses)

    def has_member(self, member: MemberId) -> bool:
        """Return whether somebody is a member now."""
        return member in self._addresses

    def get_addresses(self, member: MemberId) -> tuple[str, ...]:
        """Return where a member is dialled; nowhere if it is none."""
        told = self._addresses.get(member)
        return () if told is None else self._fixed_addresses.get(member, told)

    def replace(self, members: Mapping[MemberId, tuple[str, ...]]) -> tuple[MemberId, ...]:
        """Take exactly these members from now on, and return those that are members no longer, sorted."""
        left = self._addresses.keys() - members.keys()
        self._addresses = dict(members)
        return tuple(sorted(left))
