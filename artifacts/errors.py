"""The one error of this room: a package that cannot be taken, and why, in words for the person who made it."""


class PackageError(Exception):
    """A package is refused; nothing of it is kept.

    `status` is the HTTP status for the uploader: 413 when the upload itself is over the limit, 422 when its content
    cannot be accepted, 507 when this node has no room left. `title` is short and the same for every cause of a kind;
    `detail` names the entry, key or limit and says what is expected instead.
    """

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail


def too_large(limit_bytes: int) -> PackageError:
    """Return the refusal of an upload of more than `limit_bytes`."""
    return PackageError(413, "Package too large", f"a package may have at most {limit_bytes:,} bytes packed")


def unsafe(detail: str) -> PackageError:
    """Return the refusal of an archive that is broken, over a limit, or could reach outside its folder."""
    return PackageError(422, "Package refused", detail)


def bad_manifest(detail: str) -> PackageError:
    """Return the refusal of a package whose description (`brrrd.json` or layout) does not hold."""
    return PackageError(422, "Bad manifest", detail)


def no_space() -> PackageError:
    """Return the refusal for a full disk."""
    return PackageError(507, "No space left", "this node's data directory has no room for the package")
