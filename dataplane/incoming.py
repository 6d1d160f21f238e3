"""What the client of a WebSocket sends: messages put together, decoded, and passed on in their order.

One session's, used by `dataplane.sessions`. A large message is decoded in slices, as a large body is
(`dataplane.decoding`); those that come after it wait for it. Only the leader calls in here.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from dataplane import hrana, wire
from dataplane.calls import Call
from dataplane.decoding import Decoding
from dataplane.formats import DECODE_ERRORS, Format
from dataplane.stored_sql import StoredSql

if TYPE_CHECKING:
    from dataplane.sessions import Session

UNDECODABLE = 1007
"""Close code, as libsql-server has it."""


class LargeMessage(Call):
    """A message that is decoded in slices, between which it is paused as other calls are."""

    __slots__ = ("_incoming",)

    def __init__(self, incoming: "Incoming", session: "Session") -> None:
        super().__init__(session.peer, session.number, 0, session.head)
        self._incoming = incoming

    def decoded(self, decoding: Decoding) -> None:
        """The last slice is over."""
        self._incoming.go_on(decoding)

    def ended(self) -> None:
        """The number stays with the session."""


class Incoming:
    """The messages of one session."""

    def __init__(self, session: "Session", format: Format, stored: StoredSql) -> None:
        self._session = session
        self._format = format
        self._stored = stored
        self._partial = BytesIO()
        """What has come of a message, which grows in place: joining the pieces of a large one would take long."""
        self._large: LargeMessage | None = None
        """The one that is being decoded."""
        self._later: deque[bytes] = deque()
        """Those after it."""

    def __repr__(self) -> str:
        return f"<Incoming [{len(self._later)} after a large one]>" if self._large is not None else "<Incoming>"

    def add(self, frame: wire.Frame) -> None:
        """Take a frame with a message or a part of one."""
        data = frame.data
        if not frame.flags & wire.MESSAGE:
            self._partial.write(data)
            return
        if self._partial.tell():
            self._partial.write(data)
            data = self._partial.getvalue()
            self._partial = BytesIO()
        self._session.received += len(data)
        if self._large is None:
            self._decode(data)
        else:
            self._later.append(data)

    def go_on(self, decoding: Decoding) -> None:
        """Pass on what was decoded in slices, and go on with what has come since."""
        self._large = None
        self._pass_on(decoding.result)
        while self._later and self._large is None:
            self._decode(self._later.popleft())

    def close(self) -> None:
        """Take no more messages."""
        self._later.clear()
        if self._large is not None:
            self._session.streams_of_worker.cancel(self._large)

    def _decode(self, data: bytes) -> None:
        session = self._session
        if session.closed:
            return
        if len(data) <= self._format.large_bytes:
            self._pass_on(partial(self._read, self._format.decode_client_message, data))
            return
        self._large = LargeMessage(self, session)
        decode = partial(self._read, self._format.decode_large_message)
        session.streams_of_worker.decode(self._large, Decoding(decode, data))

    def _read(self, decode: Callable[[bytes], hrana.ClientMessage], data: bytes) -> hrana.ClientMessage:
        """Return a message with its texts. Raises `DECODE_ERRORS`."""
        message = decode(data)
        if isinstance(message, hrana.Hello):
            return message  # the edge has checked it
        request = hrana.with_sql(message.request, self._stored.texts)
        return message if request is message.request else msgspec.structs.replace(message, request=request)

    def _pass_on(self, read: Callable[[], hrana.ClientMessage]) -> None:
        try:
            message = read()
        except DECODE_ERRORS as error:
            self._session.fail(UNDECODABLE, f"Cannot decode the message: {error}")
            return
        if isinstance(message, hrana.SocketMessage):
            self._session.dispatch(message)
