"""Rules for static files and redirects: what they may say. Pure.

They come from `brrrd.json` (`artifacts.manifest`) and from the files of build tools (`artifacts.site_files`).
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from artifacts.paths import quoted

MAX_REDIRECTS = 2_000
MAX_PATTERNS = 200
"""Rules of each kind with a placeholder: the edge tries one after the other."""

MAX_HEADER_BYTES = 128 << 10
"""What header rules may add to one response: proxies and clients take no more, and the edge holds it for each."""

MAX_LENGTH = 2048
"""Characters of a source or a destination."""

Source = Annotated[str, msgspec.Meta(pattern=r"^/", max_length=MAX_LENGTH)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Refuses keys that are not declared."""


class HeaderRule(Strict, frozen=True):
    """Response headers for static files whose URL path matches `source`."""

    source: Source
    """A path; `:name` stands for one segment, one `*` for any rest, or any part elsewhere than at the end."""

    headers: dict[str, str] = {}
    """Header names and values; a later rule's value replaces an earlier one's."""

    remove: list[Annotated[str, msgspec.Meta(max_length=256)]] = []
    """Headers that earlier rules, or the server, would send."""


class Redirect(Strict, frozen=True):
    """An answer given by the edge before files and the app are looked at."""

    source: Source
    """As in a header rule."""

    destination: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LENGTH)]
    """A path or an absolute http(s) URL; `:name` and `:splat` are what `source` matched. The request's query is kept
    unless the destination has one."""

    status: Literal[301, 302, 303, 307, 308] = 307


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "content-range", "date", "keep-alive", "server"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)


def is_pattern(source: str) -> bool:
    """Whether a source stands for more than one path."""
    return ":" in source or "*" in source


def source_problem(source: str) -> str | None:
    """Return what is wrong with a source, or None."""
    if len(source) > MAX_LENGTH:
        return f"a source has at most {MAX_LENGTH:,} characters"
    if source.count("*") > 1:
        return 'a "*" may be there once'
    seen = {"splat"} if "*" in source else set()
    for name in re.findall(r":([^/]*)", source):
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return f"{quoted(':' + name)} is not a name of letters, digits and underscores"
        if name in seen:
            return f"{quoted(':' + name)} stands for two parts of the path"
        seen.add(name)
    return None


def destination_problem(redirect: Redirect) -> str | None:
    """Return what is wrong with a redirect's destination, or None."""
    destination = redirect.destination
    if len(destination) > MAX_LENGTH:
        return f"a destination has at most {MAX_LENGTH:,} characters"
    if not re.match(r"/|https?://[^/:]", destination):
        return "expected a path that starts with /, or an http(s) URL"
    if not destination.isascii() or not destination.isprintable() or " " in destination:
        return "expected printable ASCII; percent-encode other characters"
    known = {*re.findall(r":([A-Za-z_]\w*)", redirect.source), *(["splat"] if "*" in redirect.source else [])}
    for name in re.findall(r":([A-Za-z_]\w*)", destination.partition("://")[2] or destination):
        if name not in known:
            return f"{quoted(':' + name)} is not in source {quoted(redirect.source)}"
    return None


def header_problem(name: str, value: str = "") -> str | None:
    """Return what is wrong with a response header, or None."""
    if not _TOKEN.fullmatch(name):
        return f"{quoted(name)} is not a header name"
    if name.lower() in _FRAMING_HEADERS:
        return "this header is set by the server"
    if not value.isascii() or any(ord(character) < 32 and character != "\t" for character in value) or "\x7f" in value:
        return "a header value has printable ASCII characters only"
    return None


def size_problem(rules: Sequence[HeaderRule]) -> str | None:
    """Return what is wrong with the size of the headers that one path could get, or None."""
    by_source: dict[str, int] = {}
    for rule in rules:
        size = sum(len(name) + len(value) + 4 for name, value in rule.headers.items())
        source = "*" if is_pattern(rule.source) else rule.source
        by_source[source] = by_source.get(source, 0) + size
    everywhere = by_source.pop("*", 0)
    if everywhere + max(by_source.values(), default=0) > MAX_HEADER_BYTES:
        return f"one response could get more than {MAX_HEADER_BYTES:,} bytes of headers"
    return None


def count_problem(rules: Sequence[HeaderRule | Redirect]) -> str | None:
    """Return what is wrong with the number of rules, or None."""
    if len(rules) > MAX_REDIRECTS:
        return f"more than {MAX_REDIRECTS:,} rules"
    if sum(is_pattern(rule.source) for rule in rules) > MAX_PATTERNS:
        return f"more than {MAX_PATTERNS} rules with a placeholder"
    return None
