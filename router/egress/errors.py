"""Why an outbound request was not answered: what apps see as the cause of a `TypeError` from `fetch`."""

from typing import Literal

Code = Literal["dns", "connect", "tls", "timeout", "blocked", "protocol", "limit"]


class EgressError(Exception):
    """No response could be had. `code` is for programs, `detail` a sentence for the app's developer."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        # What the other side has said may be in it; in a frame's head a line feed would begin another field.
        self.detail = " ".join(detail.split())

    @property
    def is_refusal(self) -> bool:
        """Whether this node refused, rather than the network or the other side failing."""
        return self.code in ("blocked", "limit")
