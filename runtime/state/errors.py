"""What the state refuses, as types that the control API turns into answers."""


class NotFound(Exception):
    """There is no such thing; the message names kind and name."""


class Conflict(Exception):
    """It would contradict what is there; the message says what and what to do."""
