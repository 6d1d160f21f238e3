"""Lookups of many apps while a name server is silent about some names: `python -m tests.router.lookups`.

To be run in network and mount namespaces of its own, as their root: it is the machine's name server there. Prints as
JSON what it was asked for and what an app with a name that is known has got.
"""

import asyncio
import fcntl
import json
import os
import socket
import struct
import subprocess
import tempfile
from typing import cast

from router.egress.policy import AddressPolicy
from router.egress.resolver import LOOKUPS_PER_APP, Resolver, lane

GREEDY_APPS = 20
"""Not so many that their questions, which come all at once, are more than a socket keeps."""
LOOKUPS_OF_EACH = LOOKUPS_PER_APP + 2
KNOWN = "known.example"
ADDRESS = "93.184.215.14"
_SET_FLAGS, _UP = 0x8914, 1


class NameServer(asyncio.DatagramProtocol):
    """Knows one name, and is silent about all others."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.all_asked = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, at = [], 12
        while length := data[at]:
            name.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
        question = data[12 : at + 5]
        self.asked.add(".".join(name))
        if len(self.asked) == GREEDY_APPS * LOOKUPS_PER_APP:
            self.all_asked.set()
        if ".".join(name) == KNOWN:
            is_a = question[-4:-2] == b"\0\1"
            head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_a), 0, 0)
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(ADDRESS)
            self._transport.sendto(head + question + (answer if is_a else b""), addr)


def become_the_name_server() -> None:
    """Have the C library ask 127.0.0.1, and wait for an answer for longer than anybody here does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)


async def main() -> None:
    become_the_name_server()
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 53))
    resolver = Resolver(AddressPolicy())
    greedy = []
    for app in range(GREEDY_APPS):
        own = lane()
        for number in range(LOOKUPS_OF_EACH):
            name = f"silent-{number}.app-{app}.example"
            greedy.append(asyncio.create_task(resolver.resolve(name, 80, own)))
    all_asked = asyncio.create_task(server.all_asked.wait())
    await asyncio.wait({all_asked, *greedy}, return_when=asyncio.FIRST_COMPLETED)
    asked = len(server.asked)
    addresses = await resolver.resolve(KNOWN, 80, lane())
    under_way = sum(not task.done() for task in greedy)
    print(json.dumps({"asked": asked, "found": list(map(str, addresses)), "under way": under_way}), flush=True)
    # As the egress process does: the interpreter's own end waits for lookups that are under way.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
