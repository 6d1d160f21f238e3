"""How the egress process gets a connection: racing addresses, looking names up, and counting what is open."""

import asyncio
import contextlib
import functools
import ipaddress
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from router.egress.destination import parse
from router.egress.errors import EgressError
from router.egress.pace import PAUSE_SECONDS, Pace
from router.egress.policy import Address, AddressPolicy
from router.egress.public import PublicConnector, tls_context
from router.egress.resolver import LOOKUPS_PER_APP, Resolver, lane
from router.egress.share import LEAST, room
from router.egress.sockets import Sockets
from tests.router.lookups import ADDRESS, GREEDY_APPS, LOOKUPS_OF_EACH

NAME = "both.test"


class Table(Resolver):
    """Knows its answers; everything else is the real one's."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(AddressPolicy(["127.0.0.0/8", "::1"]))
        self._answer: list[Address] = [ipaddress.ip_address(address) for address in addresses]

    async def _ask(self, host: str) -> list[Address]:
        return self._answer


@contextlib.asynccontextmanager
async def silent(address: str, port: int) -> AsyncIterator[None]:
    """A listener whose queue is full: whoever connects there waits and waits."""
    with contextlib.ExitStack() as open_:
        listener = open_.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(8):
            filler = open_.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


async def connect(table: Table, port: int) -> str:
    connector = PublicConnector(table, tls_context(), lane())
    protocol = await connector.connect(parse(f"http://{NAME}:{port}/".encode()), Recorder)
    assert isinstance(protocol, Recorder)
    protocol.transport.close()
    return str(protocol.transport.get_extra_info("peername")[0])


class Recorder(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


@pytest.fixture
def namespaces() -> list[str]:
    """The command that runs another one as root of a network and of mounts of its own."""
    command = ["unshare", "--map-root-user", "--net", "--mount"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"a test cannot be this machine's name server: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("addresses", [("127.0.0.9", "127.0.0.1"), ("127.0.0.9", "::1", "127.0.0.1")])
async def test_address_that_does_not_answer_is_not_waited_for(port: int, addresses: tuple[str, ...]) -> None:
    async with silent("127.0.0.9", port), asyncio.timeout(8):
        assert await connect(Table(*addresses), port) == "127.0.0.1"


async def test_address_that_refuses_leads_to_the_next(port: int) -> None:
    assert await connect(Table("127.0.0.8", "::1", "127.0.0.1"), port) == "127.0.0.1"


async def test_only_permitted_addresses_of_a_name_are_tried(port: int) -> None:
    assert await connect(Table("10.0.0.1", "192.168.0.1", "127.0.0.1"), port) == "127.0.0.1"
    with pytest.raises(EgressError, match="blocked"):
        await connect(Table("10.0.0.1", "169.254.169.254"), port)


async def test_when_no_address_answers_the_error_says_why(port: int) -> None:
    with pytest.raises(EgressError) as error:
        await connect(Table("127.0.0.7", "127.0.0.8"), port)
    assert (error.value.code, error.value.detail) == ("connect", f"cannot connect to {NAME}:{port}: connection refused")


def test_names_that_nobody_answers_for_hold_up_no_other_app(namespaces: list[str]) -> None:
    command = [*namespaces, sys.executable, "-m", "tests.router.lookups"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "asked": GREEDY_APPS * LOOKUPS_PER_APP,
        "found": [ADDRESS],
        "under way": GREEDY_APPS * LOOKUPS_OF_EACH,
    }


def test_apps_have_their_share_of_connections_and_the_process_its_bound() -> None:
    idle = {"a": 1, "b": 0}

    def closer(app: str) -> bool:
        if not idle[app]:
            return False
        idle[app] -= 1
        sockets.release(app)
        return True

    sockets = Sockets(most=5, most_per_app=3)
    for app in ("a", "b"):
        sockets.join(app, functools.partial(closer, app))
    for _ in range(3):
        sockets.take("a", lambda: closer("a"))
    sockets.take("a", lambda: closer("a"))
    assert sockets.total == 3
    with pytest.raises(EgressError, match="outbound_connections = 3"):
        sockets.take("a", lambda: closer("a"))
    for _ in range(2):
        sockets.take("b", lambda: closer("b"))
    with pytest.raises(EgressError, match="the node has 5 outbound connections open"):
        sockets.take("b", lambda: closer("b"))
    idle["a"] = 1
    sockets.take("b", lambda: closer("b"))
    assert sockets.total == 5


def test_turns_of_one_app_come_one_after_the_other() -> None:
    pace = Pace()
    assert [pace.next_turn(1.0) for _ in range(3)] == pytest.approx([PAUSE_SECONDS * turn for turn in (1, 2, 3)])
    assert pace.next_turn(9.0) == pytest.approx(PAUSE_SECONDS)


@pytest.mark.parametrize(
    ("now", "active", "turn_seconds", "after"),
    [
        (200, 200, 0.001, 200),  # slow servers: many at once cost nobody anything
        (200, 200, 0.020, 175),
        (200, 40, 0.020, 35),  # what is not used is not kept for later
        (LEAST + 1, LEAST + 1, 0.020, LEAST),
        (LEAST, LEAST, 0.500, LEAST + 2),  # not this app's doing
        (20, 20, 0.001, 22),
    ],
)
def test_busy_loop_lets_fewer_requests_of_an_app_through(
    now: int, active: int, turn_seconds: float, after: int
) -> None:
    assert room(now, 200, active, turn_seconds) == after
