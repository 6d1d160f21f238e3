"""Host names to addresses that may be connected to.

Every address of an answer is checked, and the connection is made to the checked address itself, so that a name whose
answer changes between check and connection (DNS rebinding) gains nothing.

Names are the machine's own business: the C library looks them up, with whatever it has been told of files, name
services and search domains. It blocks, and cannot be stopped, so that a lookup under way keeps a thread for seconds if
its name server is silent. Threads are therefore bounded per app only: a bound for all of them would be used up by a few
apps with such names, and everybody else would wait. They are few beside what an app's host has, and cost less.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

from router.egress.errors import EgressError
from router.egress.policy import Address, AddressPolicy

MOST_THREADS = 1 << 16
"""More than all apps of a node can take: to be refused one is the machine's bound, not this one."""

LOOKUPS_PER_APP = 4
"""At once; an app with more names to look up waits for its own."""

LOOKUP_SECONDS = 8.0
"""For the name alone, waiting for earlier ones included."""

Lane = asyncio.Semaphore
"""Bounds one app's lookups: taken for each, and free again when its thread is."""


def lane() -> Lane:
    """Return a lane for one app."""
    return asyncio.Semaphore(LOOKUPS_PER_APP)


class Resolver:
    """Looks names up by the machine's own resolver and applies the policy."""

    def __init__(self, policy: AddressPolicy) -> None:
        self.policy = policy
        self._threads = ThreadPoolExecutor(MOST_THREADS, "resolver")
        self._lookups: dict[str, asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str, port: int, lane: Lane) -> list[Address]:
        """Return the addresses of `host` that may be connected to on `port`, best first, at least one.

        Raises `EgressError`: dns when there is no such name, blocked when none of its addresses is permitted.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                addresses = await self._lookup(host, lane)
        except TimeoutError:
            raise EgressError("dns", f"looking the name {host} up took too long") from None
        permitted = [address for address in addresses if self._permits(address, host, port)]
        if not permitted:
            raise EgressError(
                "blocked", f"{host} is not on the public internet; the operator can permit it with egress_allow"
            )
        return permitted

    def _permits(self, address: Address, host: str, port: int) -> bool:
        if self.policy.allows(address, host, port):
            return True
        # A public address of this very machine reaches services behind its firewall.
        return self.policy.permits(address, host, port) and not _is_own(address)

    async def _lookup(self, host: str, lane: Lane) -> list[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        await lane.acquire()
        task = self._lookups.get(host)
        if task is None:
            task = asyncio.create_task(self._ask(host))
            self._lookups[host] = task
            task.add_done_callback(lambda done: self._forget(host, done))
        task.add_done_callback(lambda _: lane.release())
        return await asyncio.shield(task)

    def _forget(self, host: str, task: asyncio.Task[list[Address]]) -> None:
        del self._lookups[host]
        if not task.cancelled():
            task.exception()  # Taken, in case every caller has gone.

    async def _ask(self, host: str) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._threads, _getaddrinfo, host)
        except (OSError, UnicodeError):
            raise EgressError("dns", f"the name {host} cannot be resolved") from None
        except RuntimeError:
            raise EgressError("dns", f"the name {host} cannot be looked up: the machine has no thread left") from None
        return list(dict.fromkeys(ipaddress.ip_address(str(answer[4][0])) for answer in answers))


def _getaddrinfo(host: str) -> list[tuple[int, int, int, str, tuple[str | int | bytes, ...]]]:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)  # type: ignore[return-value]


def _is_own(address: Address) -> bool:
    """Tell whether `address` belongs to an interface of this machine: only such can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
