"""Archives for tests, well-formed and hostile, byte by byte where no tar program would write them."""

import io
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping

import zstandard

Content = bytes | str


def header(
    name: str | bytes,
    *,
    size: int = 0,
    kind: bytes = b"0",
    mode: int = 0o644,
    link: str = "",
    prefix: str = "",
) -> bytes:
    """Return one ustar header block with a right checksum."""
    raw = name if isinstance(name, bytes) else name.encode()
    block = bytearray(512)
    block[0 : len(raw[:100])] = raw[:100]
    block[100:108] = b"%07o\0" % mode
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157 : 157 + len(link)] = link.encode()
    block[257:265] = b"ustar\x0000"
    block[345 : 345 + len(prefix)] = prefix.encode()
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Return `data` filled up to whole blocks."""
    return data + bytes(-len(data) % 512)


def file(name: str | bytes, content: Content = b"", **fields: object) -> bytes:
    """Return a header and its content."""
    data = content.encode() if isinstance(content, str) else content
    return header(name, size=len(data), **fields) + padded(data)  # type: ignore[arg-type]


def pax(records: Mapping[str, str], kind: bytes = b"x") -> bytes:
    """Return a pax extended header."""
    data = b""
    for key, value in records.items():
        body = f" {key}={value}\n".encode()
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        data += str(length).encode() + body
    return file("PaxHeader", data, kind=kind)


END = bytes(1024)


def packed(*parts: bytes, end: bytes = END) -> bytes:
    """Return the archive of `parts` as a .tar.zst."""
    return zstandard.ZstdCompressor().compress(b"".join(parts) + end)


def package(files: Mapping[str, Content]) -> bytes:
    """Return a package as the standard library writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


async def chunks(data: bytes | Iterable[bytes], size: int = 70_000) -> AsyncIterator[bytes]:
    """Return an upload's body in pieces."""
    if isinstance(data, bytes):
        data = [data[start : start + size] for start in range(0, len(data), size)]
    for chunk in data:
        yield chunk
