"""What the engine can refuse, as Python exceptions."""


class EngineError(Exception):
    """The engine is not the one this code was written for; the sentence says what to install."""


class JavaScriptError(Exception):
    """A JavaScript exception that nothing in JavaScript caught.

    `file`, `line` and `column` (both from 1) tell where it was thrown or what did not parse; 0 and "" if unknown.
    `value` is a handle of the thrown value, which no longer lives once the callback from JavaScript has returned.
    """

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, value: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.value = value


class Terminated(Exception):
    """Execution was ended by `Isolate.terminate`; the isolate must not be used again."""
