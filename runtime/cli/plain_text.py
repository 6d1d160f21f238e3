"""Text of apps, for a terminal that must not obey it. Used by what prints logs and refusals."""


def plain(text: str) -> str:
    """Return text without what a terminal would obey: control characters other than line feeds and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else "" for c in text)
