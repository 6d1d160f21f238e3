"""Errors of the rooms below, as the control API tells them."""

import errno
import sqlite3

import msgspec
import pytest

from runtime.control.problems import from_error


def test_a_full_disk_is_told() -> None:
    state = sqlite3.connect(":memory:")
    state.execute("PRAGMA max_page_count=2")
    with pytest.raises(sqlite3.OperationalError) as full:
        state.execute("CREATE TABLE t AS SELECT zeroblob(100000)")
    state.close()
    for error in (full.value, OSError(errno.ENOSPC, "No space left on device")):
        answer = from_error(error)
        assert answer.status_code == 507
        assert "disk of the node has no space left" in msgspec.json.decode(answer.body)["detail"]
    for other in (sqlite3.OperationalError("no such table: t"), OSError(errno.EIO, "Input/output error")):
        assert from_error(other).status_code == 500
