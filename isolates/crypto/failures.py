"""What a cryptographic function refuses, named for the DOMException that JavaScript makes of it."""


class Refused(Exception):
    """One of the following. The message is for the developer of the app."""


class OperationError(Refused):
    """The operation failed for a reason of its own: a wrong tag, bad padding, a message that is too long."""


class DataError(Refused):
    """Key data that does not parse, or is no key of the kind asked for."""


class NotSupportedError(Refused):
    """Something that the specification knows and this host does not."""
