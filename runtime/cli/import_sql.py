"""SQL text as statements: where one ends, and which of a dump's statements an import leaves out. Pure.

Used by imports, and by the shell to know when a statement is complete. The rules for the end of a statement are those
of `sqlite3_complete` (https://sqlite.org/c3ref/complete.html): a semicolon outside strings and comments, and within
CREATE TRIGGER only the one after END.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_BLANK = re.compile(rb"[ \t\r\n\f]+")
_WORD = re.compile(rb"[A-Za-z_\x80-\xff][\w$\x80-\xff]*")
_MARK = re.compile(rb"['\"`\[;]|--|/\*|[-/]\Z")
_MARK_OR_WORD = re.compile(rb"['\"`\[;]|--|/\*|[A-Za-z_\x80-\xff][\w$\x80-\xff]*|[^ \t\r\n\f]")
_CLOSING = {b"'": b"'", b'"': b'"', b"`": b"`", b"[": b"]", b"--": b"\n", b"/*": b"*/"}
_COMMENTS = (b"--", b"/*")
_TRIGGER_WORDS = (b"EXPLAIN", b"CREATE", b"TEMP", b"TEMPORARY", b"TRIGGER")


class Statement(NamedTuple):
    """One statement. `start` and `end` are offsets in bytes, the end that of its semicolon plus one."""

    text: bytes
    start: int
    end: int
    line: int
    """Line of its first word, from 1."""


class Splitter:
    """Takes text in pieces, gives statements. Blanks and comments between them belong to none."""

    def __init__(self, offset: int = 0, line: int = 1) -> None:
        self._buffer = b""
        self._base = offset
        self._line = line
        self._counted = 0
        """Line feeds before this in `_buffer` are in `_line`."""
        self._position = 0
        """Up to here `_buffer` was looked at."""
        self._start: int | None = None
        """Where the statement begins in `_buffer`, once its first token was seen."""
        self._inside: bytes | None = None
        """What ends the string or comment that `_position` is in."""
        self._words: list[bytes] = []
        self._plain = False
        """It is no trigger: only marks matter any more."""
        self._complete = False
        self._trigger = ""
        """In a trigger: `body`, `semicolon` after one, `end` after one and END."""

    def __repr__(self) -> str:
        return f"<Splitter at {self._base + self._position} {'within' if self.pending else 'between'} statements>"

    @property
    def pending(self) -> bool:
        """Within a statement, string or comment block."""
        return self._start is not None or self._inside == b"*/"

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[Statement]:
        """Yield the statements that are complete now; with `last`, also one that has no semicolon."""
        self._buffer += data
        while self._step(last):
            if self._start is not None and self._complete:
                yield self._cut(self._position)
        if last and self._start is not None:
            self._position = len(self._buffer)
            yield self._cut(self._position)
        self._forget()

    @property
    def unterminated(self) -> bool:
        """After the last piece: the text ended within a string or comment block."""
        return self._inside not in (None, b"\n")

    def _step(self, last: bool) -> bool:
        """Look at one token; False when more text is needed. Sets `_complete` at the end of a statement."""
        self._complete = False
        buffer, end = self._buffer, len(self._buffer)
        if self._inside is not None:
            return self._leave(buffer, end)
        if self._plain:
            match = _MARK.search(buffer, self._position)
            if match is None:
                self._position = end
                return False
        else:
            blank = _BLANK.match(buffer, self._position)
            if blank:
                self._position = blank.end()
            match = _MARK_OR_WORD.match(buffer, self._position)
            if match is None:
                return False
        token = match[0]
        # A word, or the first half of a comment's mark, may go on in the next piece.
        if match.end() == end and not last and (token in (b"-", b"/") or _WORD.fullmatch(token)):
            self._position = match.start()
            return False
        self._position = match.end()
        self._see(token, match.start())
        return True

    def _leave(self, buffer: bytes, end: int) -> bool:
        assert self._inside is not None
        found = buffer.find(self._inside, self._position)
        if found < 0:
            self._position = max(self._position, end - len(self._inside) + 1)
            return False
        self._position = found + len(self._inside)
        self._inside = None
        return True

    def _see(self, token: bytes, start: int) -> None:
        if token in _COMMENTS:
            self._inside = _CLOSING[token]
            return
        if token == b";" and self._start is None:
            return
        if self._start is None:
            self._start = start
        self._inside = _CLOSING.get(token)
        if self._trigger:
            self._see_in_trigger(token)
        elif token == b";":
            self._complete = True
        elif not self._plain:
            self._see_head(token.upper())

    def _see_head(self, word: bytes) -> None:
        """Decide by the first words whether this is a trigger."""
        self._words.append(word)
        if word == b"TRIGGER" and self._words[-2:-1] and b"CREATE" in self._words:
            self._trigger = "body"
        elif word not in _TRIGGER_WORDS:
            self._plain = True

    def _see_in_trigger(self, token: bytes) -> None:
        if token == b";":
            self._complete = self._trigger == "end"
            self._trigger = "semicolon"
        else:
            self._trigger = "end" if self._trigger == "semicolon" and token.upper() == b"END" else "body"

    def _cut(self, end: int) -> Statement:
        assert self._start is not None
        buffer, start = self._buffer, self._start
        self._line += buffer.count(b"\n", self._counted, start)
        self._counted = start
        statement = Statement(buffer[start:end].rstrip(), self._base + start, self._base + end, self._line)
        self._start = None
        self._words = []
        self._plain, self._trigger = False, ""
        return statement

    def _forget(self) -> None:
        keep = self._start if self._start is not None else self._position
        self._line += self._buffer.count(b"\n", self._counted, keep)
        self._counted = 0
        self._base += keep
        self._buffer = self._buffer[keep:]
        self._position -= keep
        if self._start is not None:
            self._start = 0
