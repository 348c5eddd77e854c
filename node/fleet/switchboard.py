"""All cables of a testnet: one for each ordered pair of nodes, each on a loopback address of its own.

The daemons are told their cables' addresses instead of the others' own, by the environment variable ``PNYX_PEERS``;
their homes know nothing of them. Cable (a, b) lies at 127.64.a.b, counting nodes from 1, on the port of node b.
"""

from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

import trio

from node.errors import AddressUnavailable
from node.fleet.cables import Cable
from node.fleet.homes import Place
from node.fleet.silence import can_drop_packets

PEERS_VARIABLE: Final = "PNYX_PEERS"

Link: TypeAlias = tuple[str, str]
"""(sender, receiver) by name: one direction of whatever connection the two may have."""


class Switchboard:
    """Joins the nodes, and separates them."""

    def __init__(self, places: Sequence[Place], *, can_drop: bool | None = None) -> None:
        """Lay the cables; nothing is bound before :meth:`run`.

        Args:
            places: The nodes.
            can_drop: Whether cut cables drop packets; None does so if the kernel lets us.
        """
        self.can_drop = can_drop_packets() if can_drop is None else can_drop
        self.cut: frozenset[Link] = frozenset()
        self.refused: frozenset[Link] = frozenset()
        self._places = {place.spec.name: place for place in places}
        self._cables = {
            (dialler.spec.name, listener.spec.name): Cable(
                host=f"127.64.{row}.{column}", port=listener.port, can_drop=self.can_drop
            )
            for row, dialler in enumerate(places, start=1)
            for column, listener in enumerate(places, start=1)
            if dialler is not listener
        }

    def get_address(self, dialler: str, listener: str) -> str:
        """Return where one node must dial another."""
        return self._cables[dialler, listener].address

    def get_environment(self, name: str) -> dict[str, str]:
        """Return what a node's daemon must be started with."""
        peers = {
            self._places[listener].member.hex(): self.get_address(dialler, listener)
            for dialler, listener in self._cables
            if dialler == name
        }
        return {PEERS_VARIABLE: ";".join(f"{member}={address}" for member, address in peers.items())}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Relay until cancelled; reports itself started once every cable can be dialled.

        Raises:
            AddressUnavailable: A cable's address is taken.
        """
        for cable in self._cables.values():
            try:
                await cable.open()
            except OSError as error:
                raise AddressUnavailable(
                    f"{cable.address} cannot be bound ({error}): stop what listens there"
                ) from error
        async with trio.open_nursery() as nursery:
            for cable in self._cables.values():
                nursery.start_soon(cable.run)
            task_status.started()

    def set_cuts(self, cut: Collection[Link], *, refused: Collection[Link] = ()) -> None:
        """Separate exactly these directions from now on, and mend all others.

        Args:
            cut: Nothing that the first of each pair sends reaches the second, and neither is told.
            refused: Connections between the two are reset, whoever dials.
        """
        self.cut, self.refused = frozenset(cut), frozenset(refused)
        for (dialler, listener), cable in self._cables.items():
            forth, back = (dialler, listener), (listener, dialler)
            cable.set(
                forth=forth not in self.cut,
                back=back not in self.cut,
                is_refusing=forth in self.refused or back in self.refused,
            )


def list_links(groups: Sequence[Collection[str]], *, is_one_way: bool = False) -> frozenset[Link]:
    """Return the directions between groups: all of them, or only those from the first group to the others."""
    return frozenset(
        (sender, receiver)
        for number, group in enumerate(groups)
        for other_number, others in enumerate(groups)
        for sender in group
        for receiver in others
        if number != other_number and (number == 0 or not is_one_way)
    )
