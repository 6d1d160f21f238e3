"""Text of apps and databases, for a terminal that must not obey it. Used by what prints logs, rows and refusals."""

_OBEYED = (*range(32), *range(127, 160), 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Control characters, and those that turn the direction of a line or end it."""
ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _OBEYED}
_ESCAPES_IN_LINES = {code: escape for code, escape in ESCAPES.items() if chr(code) not in "\n\t"}


def escaped(text: str) -> str:
    """Return text with what a terminal would obey written as escapes, other than line feeds and tabs."""
    return text.translate(_ESCAPES_IN_LINES)


def plain(text: str) -> str:
    """Return text without what a terminal would obey: control characters other than line feeds and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else "" for c in text)
