"""Checkpoints of one database: what its WAL has is copied into the database file, so that the WAL can be used anew.

SQLite would do all of it within the commit that makes the WAL long enough. That takes a tenth of a second and more if
many pages were changed, during which nobody else writes. Here the first and large part is done beside the writers, by a
connection of its own; a second one copies what was written meanwhile, within a commit, so that the next one finds
nothing left and begins the WAL anew. Durability is SQLite's own: each part syncs the WAL before it touches the database
file. Made by `dataplane.database`; `committed` is called by the thread that has committed, whose stream still has the
turn to write, the rest by the leader.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from enum import Enum

from dataplane.connection import CHECKPOINT_FRAMES, Connection
from dataplane.errors import SqlError
from runtime.interrupts import interrupted

MOST_FRAMES = 16 * CHECKPOINT_FRAMES
"""A WAL of so many is not left to grow: the commit waits."""
FRAME_BYTES = 4096 + 24
"""A page and its header; all databases have the engine's default."""
REST_FRAMES = CHECKPOINT_FRAMES // 4
"""So few may be copied within a commit."""
CLOSING_BYTES = 4 * CHECKPOINT_FRAMES * FRAME_BYTES
"""And a WAL of so many bytes copied and removed when the file is closed."""
log = logging.getLogger("brrrd.dataplane")


class Step(Enum):
    """What is to be done after a commit."""

    NOTHING = 1
    BESIDE = 2
    WITHIN = 3


def decide(frames: int, *, due_at: int, copied: int, running: bool) -> Step:
    """Return what to do when the WAL has `frames`.

    `due_at`: frames before which nothing is to be done. `copied`: those that the database file has already.
    """
    if frames < due_at:
        return Step.NOTHING
    if frames >= MOST_FRAMES:
        return Step.WITHIN
    if running:
        return Step.NOTHING
    return Step.WITHIN if frames - copied <= REST_FRAMES else Step.BESIDE


class Checkpoints:
    """When a database's WAL is copied, and how far it is. `open` makes a connection to it."""

    def __init__(self, open: Callable[[], Connection], threads: Executor) -> None:
        self._open = open
        self._threads = threads
        self._connection: Connection | None = None
        self._running: Future[None] | None = None
        self._beginning = threading.Lock()
        """Held to begin a copy, and while one is made within a commit: there is one at a time."""
        self._closing = False
        self._frames = 0
        self._copied = 0
        self._due_at = CHECKPOINT_FRAMES
        self._looked = False
        """A copy was begun to see whether readers hold it up."""
        self._settling = False
        """A copy was begun so that closing is short, and nothing was committed since."""

    def __repr__(self) -> str:
        return f"<Checkpoints [{self._copied} of {self._frames} frames copied]>"

    def committed(self, connection: Connection, frames: int, step_aside: Callable[[], None]) -> None:
        """`connection` has committed, and the WAL has `frames` now. `step_aside` is called before it takes longer."""
        if frames < self._frames:
            self._copied, self._due_at = 0, CHECKPOINT_FRAMES  # it was begun anew
        self._frames = frames
        self._settling = False
        step = decide(frames, due_at=self._due_at, copied=self._copied, running=self._copying)
        if step is Step.BESIDE:
            self._begin_copy()
        elif step is Step.WITHIN:
            step_aside()
            # A reader may need what was there before: whatever comes of it, try again when there is more to do.
            self._due_at = frames + CHECKPOINT_FRAMES
            with self._beginning:
                self._wait()
                _, self._copied = connection.checkpoint()

    def held_up(self, most_bytes: int) -> bool:
        """Return whether readers keep more of the WAL than so much from being used anew. To be asked again and again.

        What the last copy left may have been left for a reader that is gone, and nobody may have written since: only
        what a copy has left that was begun for the question is an answer, and for one question.
        """
        if self._copying:
            return False
        over = (self._frames - self._copied) * FRAME_BYTES > most_bytes
        known, self._looked = self._looked, over and not self._looked
        if self._looked:
            self._begin_copy()
        return over and known

    def settle(self, wal_bytes: int) -> bool:
        """Return whether closing the file takes no long time, during which SQLite copies what the WAL has and removes
        it. Otherwise that is done beside first: to be asked again and again. `wal_bytes`: size of the WAL.
        """
        if self._copying:
            return False
        begun, self._settling = self._settling, False
        if begun or wal_bytes <= CLOSING_BYTES:
            return True
        self._settling = True
        self._begin_copy(truncate=True)
        return False

    @property
    def _copying(self) -> bool:
        return self._running is not None and not self._running.done()

    def _begin_copy(self, *, truncate: bool = False) -> None:
        """Copy beside the writers, unless that is done this moment; `truncate`: and empty the WAL."""
        if self._beginning.acquire(blocking=False):
            if not self._copying and not self._closing:
                self._running = self._threads.submit(self._copy, self._frames, truncate)
            self._beginning.release()

    def _copy(self, frames: int, truncate: bool) -> None:
        try:
            if self._connection is None:
                self._connection = self._open()
                self._connection.run(b"PRAGMA busy_timeout=0")  # to empty the WAL it would wait for who uses it
            with interrupted():  # it sorts and compares pages by the thousand
                left, self._copied = self._connection.checkpoint(truncate=truncate)
            if truncate:
                self._frames = frames = left
        except SqlError as error:
            if not self._closing:
                log.error("a checkpoint beside the writers failed: %s: %s", self._connection, error)
        # The next commit copies the rest, unless that is much, because of a reader that still needs the state before.
        if frames - self._copied > REST_FRAMES:
            self._due_at = frames + CHECKPOINT_FRAMES

    def _wait(self) -> None:
        """Wait for a copy that is under way; one that has not begun is dropped."""
        if self._running is not None and not self._running.cancel():
            self._running.result()

    def close(self) -> None:
        """Let go of the file; waits for a copy that is under way, after asking it to stop."""
        self._closing = True
        if self._connection is not None:
            self._connection.interrupt()
        self._wait()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
