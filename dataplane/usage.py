"""What one database has used since its worker started. Outlives the open database, which is closed when it is idle."""

from dataplane.streams import Stream


class Usage:
    """Counters of one database. Written by the leader only."""

    __slots__ = ("queries", "received", "rows_read", "rows_written", "sent")

    def __init__(self) -> None:
        self.rows_read = 0
        self.rows_written = 0
        self.queries = 0
        self.received = 0
        """Bytes of requests, without HTTP."""
        self.sent = 0
        """Bytes of answers before compression, without HTTP."""

    def __repr__(self) -> str:
        return f"<Usage {self.queries} queries>"

    def take(self, stream: Stream, received: int, sent: int) -> None:
        """Add what a stream has counted during a call, and the bytes of the call; start its counters anew."""
        self.received += received
        self.sent += sent
        self.queries += stream.queries
        self.rows_read += stream.rows_read
        self.rows_written += stream.rows_written
        stream.rows_read = stream.rows_written = stream.queries = 0
