"""One node as a process of its own, for tests that stop or kill it.

``python -m tests.node.libp2p.lone_node INDEX COUNT ADDRESS`` connects to member 0 at the address, prints its own
listen address, and publishes a message every 50 ms.
"""

import sys

import trio

from protocol.gossip import Topic
from tests.node.libp2p.members import make_member, make_settings, open_node


async def main(index: int, count: int, address: str) -> None:
    async with open_node(make_settings(index, count=count)) as node:
        node.update_addresses(make_member(0), (address,))
        print(node.transport.get_listen_addresses()[0], flush=True)
        number = 0
        while True:
            await node.transport.publish(Topic.CONSENSUS, b"%d from %d" % (number, index))
            number += 1
            await trio.sleep(0.05)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
