"""Facts of the node itself."""

import secrets
import sqlite3


def token_key(connection: sqlite3.Connection) -> bytes:
    """The 32 random bytes that sign query tokens and batons, made at first use."""
    row = connection.execute("SELECT value FROM node WHERE key = 'token_key'").fetchone()
    if row is not None:
        return bytes(row[0])
    key = secrets.token_bytes(32)
    connection.execute("INSERT INTO node VALUES ('token_key', ?)", (key,))
    return key
