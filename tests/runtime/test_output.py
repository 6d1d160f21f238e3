"""Lines that child processes print."""

import logging

import pytest

from runtime.supervisor.output import MAX_LINE_BYTES, Output


def test_lines_keep_their_level_and_arrive_whole(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    output = Output("edge-0")
    for piece in (b"router.links: INFO con", b"nected\nTraceback (most", b" recent call last):\n\n  last word"):
        output.data_received(piece)
    output.connection_lost(None)
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("brrrd.edge-0", "INFO", "router.links: connected"),
        ("brrrd.edge-0", "WARNING", "Traceback (most recent call last):"),
        ("brrrd.edge-0", "WARNING", "  last word"),
    ]


def test_a_line_without_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    output = Output("zygote")
    output.data_received(b"x" * (MAX_LINE_BYTES + 1))
    output.data_received(b"\xff\n")
    assert [len(record.getMessage()) for record in caplog.records] == [MAX_LINE_BYTES, 1]
