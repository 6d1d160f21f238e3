"""Why an outbound request was not answered: what apps see as the cause of a `TypeError` from `fetch`."""

from typing import Literal

Code = Literal["dns", "connect", "tls", "timeout", "blocked", "protocol", "limit"]


class EgressError(Exception):
    """No response could be had. `code` is for programs, `detail` a sentence for the app's developer."""

    def __init__(self, code: Code, detail: str, limit: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        # What the other side has said may be in it; in a frame's head a line feed would begin another field.
        self.detail = " ".join(detail.split())
        self.limit = limit
        """Name of the app's limit that was the cause, if one was."""

    def fields(self, *first: str) -> bytes:
        """Return the head of the frame that tells the host, which begins with `first`."""
        named = (self.limit,) if self.limit else ()
        return "\n".join((*first, self.detail, *named)).encode("latin-1", "replace")

    @property
    def is_refusal(self) -> bool:
        """Whether this node refused, rather than the network or the other side failing."""
        return self.code in ("blocked", "limit")
