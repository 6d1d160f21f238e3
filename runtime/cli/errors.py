"""Errors that end a command. Their text goes to stderr as it is, so it says what to do next."""

from typing import Any

from runtime.cli.plain_text import plain


class CommandError(Exception):
    """The command was refused or failed."""

    exit_status = 1


class WrongUsage(CommandError):
    """The command line or the configuration cannot be used as given."""

    exit_status = 2


class NodeUnreachable(CommandError):
    """Nothing answers at the API address."""

    def __init__(self, api: str, reason: str) -> None:
        super().__init__(
            f"no node answers at {api} ({reason}).\n"
            "Start one with `brrrd serve`, or name another one with --api URL or the variable BRRRD_API."
        )


class ConnectionBroken(CommandError):
    """The node went away, or was too slow, in the middle of a call."""

    def __init__(self, api: str, reason: str) -> None:
        super().__init__(
            f"the connection to {api} broke ({reason}).\n"
            "Whether the call took effect is not known: look with `brrrd status`, then repeat it; repeating is safe."
        )


class Refused(CommandError):
    """The node answered with a status other than 2xx.

    `status` is the HTTP status; `problem` the RFC 9457 object, or `{}` if the answer was something else.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        sentence = str(problem.get("detail") or problem.get("title") or f"the node answered with status {status}")
        super().__init__(plain(place(problem) + sentence))


def place(problem: dict[str, Any]) -> str:
    """Return `file:line:column: ` for a problem with a place in the package, else an empty string.

    The place is left out when the detail already begins with the file's name.
    """
    file = problem.get("file")
    if not file or str(problem.get("detail", "")).startswith(str(file)):
        return ""
    numbers = [str(problem[key]) for key in ("line", "column") if problem.get(key)]
    return ":".join([str(file), *numbers]) + ": "
