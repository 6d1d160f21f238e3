"""Which call runs on the leading thread right now, and when that thread has to let another one lead.

A call that turns out slow keeps its thread and goes on aside, while another thread leads (`dataplane.relay`). It is
noticed in three ways: a statement that is known to be slow, SQLite's progress calls within a statement, and a
watching thread for what reports nothing, such as one endless step of SQLite's virtual machine. What is long because it
has many pieces, each of them short, is paused between two of them instead (`dataplane.paused`). Any thread may call in
here.
"""

import threading
import time
from collections.abc import Callable

from dataplane.calls import Call
from dataplane.streams import SLOW_SECONDS, Stream
from runtime.priority import NICE

SLICE_SECONDS = 0.000_2
"""What can be paused is paused after that: before it is taken for slow. It is what a short call beside it waits for."""
WATCH_SECONDS = 0.003
"""How often the watching thread looks: what reports nothing holds up the loop for that and `MUTE_SECONDS` at most. It
takes the interpreter from the leading thread for a moment each time, which is not seen in the rate of selects."""
MUTE_SECONDS = 0.003
"""What reports nothing and has taken longer when the watching thread looks goes on aside."""


class Lead:
    """The current call of the leading thread. `give_away` makes another thread lead, is told what is added to the nice
    value of the one before, and returns its native id, or None if there is no other.
    """

    def __init__(self, give_away: Callable[[int], int | None]) -> None:
        self._give_away = give_away
        self._current: Call | None = None
        self._lock = threading.Lock()
        self._begun = self._begun_when_last_seen = 0
        self._watcher_sleeps = False
        self._news = threading.Event()

    def __repr__(self) -> str:
        return f"<Lead of {self._current!r}>"

    def begin(self, call: Call, *, anew: bool = True) -> None:
        """The leading thread begins to run `call`; not `anew`: it goes on with it in the same slice."""
        if anew:
            call.started = time.monotonic()
        self._current = call
        self._begun += 1
        if self._watcher_sleeps:
            self._watcher_sleeps = False
            self._news.set()

    def end(self, call: Call) -> bool:
        """The thread has run `call`; False if it does not lead any more."""
        with self._lock:
            if not call.aside:
                self._current = None
            return not call.aside

    def statement_is_slow(self, stream: Stream) -> bool:
        """Called within a statement, some thousand steps apart: hand over if it holds up the loop.

        Return whether the statement runs aside now.
        """
        call = self._current
        if call is None or call.stream is not stream:
            return True
        if time.monotonic() - call.started >= SLOW_SECONDS:
            self._step_aside(call)
        return call.aside

    def pause_due(self, stream: Stream, now: float) -> bool:
        """Return whether at `now` (monotonic) a piece of work has used up its slice.

        One that runs aside goes on there while SQLite is what takes the time, and comes back when it is Python.
        """
        call = self._current
        if call is not None and call.stream is stream:
            return now - call.started >= SLICE_SECONDS
        began, stream.piece_began = stream.piece_began, now
        return now - began < SLOW_SECONDS

    def step_aside(self, stream: Stream) -> None:
        """Hand over if it is the leading thread that will be busy with `stream`."""
        call = self._current
        if call is not None and call.stream is stream:
            self._step_aside(call)

    def watch(self) -> None:
        """Run the watching thread for ever. It sleeps while no calls come."""
        while True:
            time.sleep(WATCH_SECONDS)
            call = self._current
            if call is not None:
                if time.monotonic() - call.started >= MUTE_SECONDS:
                    self._step_aside(call)
            elif self._begun == self._begun_when_last_seen:
                # In this order: either `begin` sees that we sleep, or we see that it counted.
                self._watcher_sleeps = True
                if self._begun == self._begun_when_last_seen:
                    self._news.wait()
                self._watcher_sleeps = False
                self._news.clear()
            self._begun_when_last_seen = self._begun

    def _step_aside(self, call: Call) -> None:
        """Let another thread lead; `call` goes on on the one that led so far, with less of the processor."""
        with self._lock:
            if self._current is not call:
                return
            # Before another thread leads, which will set it to a call of its own.
            call.aside = True
            self._current = None
            stream = call.stream
            if stream is not None:
                stream.database.aside += 1
            # What others of its database wait for is not held up further.
            call.thread = self._give_away(0 if stream is not None and stream.has_turn else NICE)
            if call.thread is None:
                call.aside = False
                self._current = call
                if stream is not None:
                    stream.database.aside -= 1
