"""What a rule's source with placeholders stands for: matching it with a path, in time that no source and path stretch.

Called by `artifacts.index` for each rule of a build and each path that is asked for, on the edge's event loop, which
all apps share. One regular expression for a whole source would try a `*` at every place of a path, and what follows it
each time: rules of one app would take that loop for seconds.
"""

import re

_NAME = re.compile(r"(:[A-Za-z_]\w*)")

Values = dict[str, str | None]


class Pattern:
    """`:name` is one segment, a last segment `*` any rest, the bare directory included.

    A `*` elsewhere, of which there may be one, is any text, and as much as can be. A name ends with its segment
    (`artifacts.rules.source_problem`), so that what is before the `*` fits in one way only, and what is after it too,
    begun at the path's end.
    """

    def __init__(self, source: str) -> None:
        self._around: _AfterStar | None = None
        if source.endswith("/*"):
            self._head = re.compile(_expression(source[:-2]) + "(?:/(?P<splat>.*))?", re.DOTALL)
            return
        head, star, tail = source.partition("*")
        self._head = re.compile(_expression(head))
        if star:
            self._around = _AfterStar(tail)

    def match(self, path: str) -> Values | None:
        """Return what the names and the `*` (as `splat`) stand for in `path`, None if the source is not for it."""
        if self._around is None:
            found = self._head.fullmatch(path)
            return found.groupdict() if found else None
        head = self._head.match(path)
        return self._around.match(path, head.end(), head.groupdict()) if head else None


class _AfterStar:
    """The rest of a source whose `*` is not its last segment."""

    def __init__(self, tail: str) -> None:
        first, slash, others = tail.partition("/")
        self._literal, _, self._name = first.partition(":")
        """Of the segment that the `*` ends in: text, and a name for the rest of it, if any."""
        self._slashes = tail.count("/")
        self._others = re.compile(_expression(slash + others))

    def match(self, path: str, start: int, values: Values) -> Values | None:
        """Add to `values` what is found from `start` on."""
        parts = path.rsplit("/", self._slashes) if self._slashes else [path]
        end = len(parts[0])
        others = self._others.fullmatch(path, end) if len(parts) > self._slashes and end >= start else None
        if others is None:
            return None
        literal = self._literal
        if self._name:
            # The segment's last place that leaves something for the name.
            at = path.rfind(literal, max(start, path.rfind("/", 0, end) + 1), end - 1)
            if at < 0:
                return None
            values[self._name] = path[at + len(literal) : end]
        elif path.endswith(literal, start, end):
            at = end - len(literal)
        else:
            return None
        return {**values, **others.groupdict(), "splat": path[start:at]}


def _expression(text: str) -> str:
    """A name takes its whole segment and gives nothing of it back, which could not help."""
    return "".join(f"(?P<{part[1:]}>[^/]++)" if part.startswith(":") else re.escape(part) for part in _NAME.split(text))
