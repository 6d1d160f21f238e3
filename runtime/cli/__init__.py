"""The `brrrd` command: starts a node, and talks to one through its control API.

`main` is the console script. Nothing else imports this package, and importing it is cheap: every heavy library (HTTP
client, tables, the node itself) is imported by the command that needs it.
"""

import sys


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
