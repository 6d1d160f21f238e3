"""What goes wrong in the data plane, with the words that clients see.

`SqlError` travels in band (one statement failed), `HttpError` answers the whole HTTP request.
"""

import msgspec

PRIMARY_CODES = {
    1: "SQLITE_ERROR",
    2: "SQLITE_INTERNAL",
    3: "SQLITE_PERM",
    4: "SQLITE_ABORT",
    5: "SQLITE_BUSY",
    6: "SQLITE_LOCKED",
    7: "SQLITE_NOMEM",
    8: "SQLITE_READONLY",
    9: "SQLITE_INTERRUPT",
    10: "SQLITE_IOERR",
    11: "SQLITE_CORRUPT",
    12: "SQLITE_NOTFOUND",
    13: "SQLITE_FULL",
    14: "SQLITE_CANTOPEN",
    15: "SQLITE_PROTOCOL",
    16: "SQLITE_EMPTY",
    17: "SQLITE_SCHEMA",
    18: "SQLITE_TOOBIG",
    19: "SQLITE_CONSTRAINT",
    20: "SQLITE_MISMATCH",
    21: "SQLITE_MISUSE",
    22: "SQLITE_NOLFS",
    23: "SQLITE_AUTH",
    24: "SQLITE_FORMAT",
    25: "SQLITE_RANGE",
    26: "SQLITE_NOTADB",
}
"""SQLite's primary result codes (https://sqlite.org/rescode.html)."""

_EXTENDED_CODES = {
    1: ("ERROR_MISSING_COLLSEQ", "ERROR_RETRY", "ERROR_SNAPSHOT"),
    5: ("BUSY_RECOVERY", "BUSY_SNAPSHOT", "BUSY_TIMEOUT"),
    6: ("LOCKED_SHAREDCACHE", "LOCKED_VTAB"),
    8: (
        "READONLY_RECOVERY",
        "READONLY_CANTLOCK",
        "READONLY_ROLLBACK",
        "READONLY_DBMOVED",
        "READONLY_CANTINIT",
        "READONLY_DIRECTORY",
    ),
    10: (
        "IOERR_READ",
        "IOERR_SHORT_READ",
        "IOERR_WRITE",
        "IOERR_FSYNC",
        "IOERR_DIR_FSYNC",
        "IOERR_TRUNCATE",
        "IOERR_FSTAT",
        "IOERR_UNLOCK",
        "IOERR_RDLOCK",
        "IOERR_DELETE",
        "IOERR_BLOCKED",
        "IOERR_NOMEM",
        "IOERR_ACCESS",
        "IOERR_CHECKRESERVEDLOCK",
        "IOERR_LOCK",
        "IOERR_CLOSE",
        "IOERR_DIR_CLOSE",
        "IOERR_SHMOPEN",
        "IOERR_SHMSIZE",
        "IOERR_SHMLOCK",
        "IOERR_SHMMAP",
        "IOERR_SEEK",
    ),
    11: ("CORRUPT_VTAB", "CORRUPT_SEQUENCE", "CORRUPT_INDEX"),
    19: (
        "CONSTRAINT_CHECK",
        "CONSTRAINT_COMMITHOOK",
        "CONSTRAINT_FOREIGNKEY",
        "CONSTRAINT_FUNCTION",
        "CONSTRAINT_NOTNULL",
        "CONSTRAINT_PRIMARYKEY",
        "CONSTRAINT_TRIGGER",
        "CONSTRAINT_UNIQUE",
        "CONSTRAINT_VTAB",
        "CONSTRAINT_ROWID",
        "CONSTRAINT_PINNED",
        "CONSTRAINT_DATATYPE",
    ),
}


def code_names(extended: int) -> tuple[str, str]:
    """Return the primary and the extended code name of an extended result code; the same name twice if it has none."""
    primary = PRIMARY_CODES.get(extended & 0xFF, "SQLITE_UNKNOWN")
    names = _EXTENDED_CODES.get(extended & 0xFF, ())
    position = (extended >> 8) - 1
    return primary, f"SQLITE_{names[position]}" if 0 <= position < len(names) else primary


class SqlError(Exception):
    """One statement failed. `code` and `extended_code` are as in the protocol, `str()` is the message."""

    def __init__(self, code: str, message: str, extended_code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.extended_code = extended_code or code

    def document(self) -> dict[str, str]:
        """Return the protocol's `Error` object; `extended_code` is Turso's addition and `code` stays primary."""
        return {"message": str(self), "code": self.code, "extended_code": self.extended_code}


class HttpError(Exception):
    """The whole HTTP request is refused with `status`; `retry_seconds` are for 429 and 503."""

    def __init__(
        self, status: int, code: str, message: str, *, extended_code: str | None = None, retry_seconds: float = 1.0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.extended_code = extended_code
        self.retry_seconds = retry_seconds

    def body(self) -> bytes:
        """Return the JSON body: `message` for hrana-client, `error` for Go, `code` for the Rust remote."""
        return msgspec.json.encode(self.document() | {"error": str(self)})

    def document(self) -> dict[str, str]:
        """Return the protocol's `Error` object, for where it is told in band."""
        document = {"message": str(self), "code": self.code}
        return document if self.extended_code is None else document | {"extended_code": self.extended_code}


def amount(count: int) -> str:
    """Return a number of bytes as a limit is told: exactly, since whoever set it has to find it again."""
    return f"{count:,} bytes" if count % (1 << 20) else f"{count >> 20} MiB"


def suspended(reason: str) -> SqlError:
    """Return the error of everything that a suspended database is asked for."""
    return SqlError("BLOCKED", f"The database is suspended: {reason}")


def protocol_error(message: str) -> HttpError:
    """Return the error of a request that is not what the protocol says."""
    return HttpError(400, "PROTOCOL_ERROR", message)
