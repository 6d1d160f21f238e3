"""The `brrrd` command: starts a node, and talks to one through its control API.

`main` is the console script. Nothing else imports this package, and importing it is cheap: every heavy library (HTTP
client, tables, the node itself) is imported by the command that needs it.
"""

import errno
import os
import sys

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run the command line and exit: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage."""
    from runtime.cli.application import app
    from runtime.cli.errors import CommandError
    from runtime.cli.plain_text import escaped

    try:
        app(prog_name="brrrd")
    except CommandError as error:
        print(f"brrrd: {escaped(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print(f"brrrd: cannot write: {error.strerror}", file=sys.stderr)
        # What is left in the buffer has no place to go at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
