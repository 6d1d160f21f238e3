"""What a host that stands by plays to the platform before it knows its app, so that a first request finds it all warm.

Code is compiled when it is first called, and memory shared with the zygote is copied when it is first written to: both
would take longer than the first request of an app itself. So a small app of the platform's own is loaded and asked
a few requests over a connection like an edge worker's, through the same loop. Nothing of it is left for the app to
see: counters, numbers of connections and clocks begin anew afterwards. Called by `platform_isolate.py`.
"""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from isolates import wire
from isolates.messages import Limits, Load, ToHost
from isolates.ring import Ring
from runtime.framing import Decoder, encode

_FOLDER = Path(__file__).parent / "rehearsed"
"""The package that is loaded."""
_FIELDS = "\nrehearsal\nhost\nlocalhost\naccept\n*/*"
_REQUESTS = (
    (f"GET\nhttp://localhost/{_FIELDS}", b""),
    (f"POST\nhttp://localhost/{_FIELDS}\ncontent-type\napplication/json\ncontent-length\n2", b"{}"),
)


class RehearsalError(Exception):
    """The platform did not answer."""


def own_app(limits: Limits) -> Load:
    """Return the message that loads the app that is played, as it would have come from the supervisor."""
    message = Load(
        app_id="rehearsal",
        build_id="rehearsal",
        directory=str(_FOLDER),
        main="main.js",
        environment={"NAME": "value"},
        limits=limits,
        egress_socket="",
    )
    decoder: Decoder[ToHost] = Decoder(ToHost)
    [decoded] = decoder.feed(encode(message))
    assert isinstance(decoded, Load)
    return decoded


def rehearse(ring: Ring, play: Callable[[bool], object]) -> None:
    """Load the app and ask it each request once, over a connection of its own.

    Not over the host's listening socket, to which edge workers may connect by now: their requests are for the real app.

    `play(True)` loads it and runs JavaScript's loop, `play(False)` runs the loop again. Raises `RehearsalError` if an
    answer fails to come, which only a fault in the platform explains.
    """
    edge, accepted = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with edge:
        edge.setblocking(False)
        accepted.setblocking(False)
        ring.add_edge(accepted)
        # One turn reads a request; the next one sends what came of it, and reads what follows.
        for number, (head, data) in enumerate(_REQUESTS):
            edge.sendall(wire.encode(number + 1, wire.Type.REQUEST, flags=wire.END, head=head.encode(), data=data))
            ring.turn(partial(play, number == 0))
        edge.shutdown(socket.SHUT_WR)
        ring.turn(partial(play, False))
        try:
            frames, _ = wire.decode(edge.recv(1 << 16))
        except BlockingIOError:
            frames = []
    ring.begin_anew()
    answers = sum(frame.type == wire.Type.RESPONSE and frame.status == 200 for frame in frames)
    if answers != len(_REQUESTS):
        raise RehearsalError(f"the platform answered {answers} of {len(_REQUESTS)} requests in its rehearsal")
