"""What a cryptographic function refuses, named for the DOMException that JavaScript makes of it."""


class OperationError(ValueError):
    """The operation failed for a reason of its own: a wrong tag, bad padding, a message that is too long."""


class DataError(ValueError):
    """Key data that does not parse, or is no key of the kind asked for."""


class NotSupportedError(ValueError):
    """Something that the specification knows and this host does not."""
