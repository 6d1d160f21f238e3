"""`brrrd databases shell`: SQL at a prompt, from standard input, or from the command line."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO, TypeVar

import typer

from runtime.cli.client_command import ApiOption, TokenOption
from runtime.cli.databases import DatabaseTokenOption, UrlOption, open_database
from runtime.cli.errors import CommandError, Refused
from runtime.cli.hrana import ConnectionLost, DatabaseRefused, Session
from runtime.cli.import_sql import Splitter, Statement
from runtime.cli.node import Node
from runtime.cli.options import DEFAULT_PROJECT, DatabaseArgument, ProjectOption
from runtime.cli.plain_text import escaped
from runtime.cli.shell_print import MODES, Mode, Output, Screen, show

HELP = """\
.tables                      names of tables and views
.schema [TABLE]              what they were created with
.mode table|csv|json|line    how rows are printed
.timer on|off                how long each statement takes
.help                        this
.quit                        leave; so does Ctrl-D
A statement ends with a semicolon and may have many lines. Ctrl-C ends a running statement, or drops what was typed."""
HISTORY_LINES = 2000
_TABLES = (
    "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    "ORDER BY name"
)
_SCHEMA = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND {condition} ORDER BY rowid"
READ_CHARACTERS = 64 << 10
Choice = TypeVar("Choice", bound=str)


class Quit(Exception):
    """The user wants to leave."""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("shell")(shell)


def shell(
    name: DatabaseArgument = None,
    statements: Annotated[list[str] | None, typer.Argument(metavar="SQL", help="Run this and leave.")] = None,
    command: Annotated[
        list[str] | None, typer.Option("--command", "-c", metavar="SQL", help="The same; may be repeated.")
    ] = None,
    mode: Annotated[str | None, typer.Option("--mode", help=f"How to print rows: {', '.join(MODES)}. [table]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --mode json.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse statements that write.")] = False,
    project: ProjectOption = DEFAULT_PROJECT,
    url: UrlOption = None,
    db_token: DatabaseTokenOption = None,
    api: ApiOption = None,
    token: TokenOption = None,
) -> None:
    """Run SQL. At a prompt, from standard input if that is no terminal, or what the command line has."""
    chosen = next((known for known in MODES if known == mode), None)
    if mode is not None and chosen is None:
        raise typer.BadParameter(f"--mode is one of {', '.join(MODES)}, not {mode}")
    given = [*(statements or ()), *(command or ())]
    if url is not None and name is not None and (" " in name or name.startswith(".")):
        # The address stands for the name, so what is in its place is SQL, as no name looks like that.
        name, given = None, [name, *given]
    with (
        Node(api, token) as node,
        open_database(
            node, name, project, url, db_token, reason="brrrd databases shell", read_only=read_only
        ) as remote,
    ):
        interactive = not given and sys.stdin.isatty()
        running = Shell(Session(remote), chosen or ("json" if as_json else "table"), sys.stdout)
        try:
            if interactive:
                running.check()
                Prompt(running, name or remote.url).run()
            elif given:
                running.run_each(given)
            else:
                running.run_text(_stdin())
        except BrokenPipeError:
            # Whoever read has seen enough; nothing may be flushed into the closed pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stdin() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is no text is told with its line
    while text := sys.stdin.read(READ_CHARACTERS):
        yield text


class Shell:
    """Runs statements and dot commands, prints what comes."""

    def __init__(self, session: Session, mode: Mode, out: TextIO) -> None:
        self.session = session
        self.mode: Mode = mode
        self.timer = False
        self.says_changes = False
        self._at = (0, 0)
        """Line of the last statement of a text, and which of the statements that begin there it is."""
        self._terminal = out.isatty()
        self._out: Output = Screen(out) if self._terminal else out

    def __repr__(self) -> str:
        return f"<Shell {self.mode} {self.session!r}>"

    def check(self) -> None:
        """Raise `CommandError` now if the database cannot be used."""
        with self.session.run("SELECT 1") as result:
            for _ in result.rows():
                pass

    def run_each(self, texts: Iterable[str]) -> None:
        """Run texts of which the last statement needs no semicolon, up to the first error. Raises `CommandError`."""
        for text in texts:
            if not self.run_text(iter([f"{text}\n"])):
                return

    def run_text(self, pieces: Iterator[str]) -> bool:
        """Run everything in a text that comes in pieces, up to the first error; False if it says to leave.

        Raises `CommandError`.
        """
        splitter = Splitter()
        self._at = (0, 0)
        # A dot command is a line of its own where a statement could begin.
        rest = ""
        for text in pieces:
            lines = (rest + text).splitlines(keepends=True)
            rest = lines.pop() if lines and not lines[-1].endswith("\n") and len(lines[-1]) < READ_CHARACTERS else ""
            for line in lines:
                if not self._take(splitter, line):
                    return False
        if rest and not self._take(splitter, rest + "\n"):
            return False
        for statement in splitter.feed(b"", last=True):
            self._run_at(statement)
        return True

    def _take(self, splitter: Splitter, line: str) -> bool:
        if line.startswith(".") and not splitter.pending:
            try:
                self.command(line.strip())
            except Quit:
                return False
            line = "\n"  # it counts as a line of the text
        for statement in splitter.feed(line.encode("utf-8", "surrogateescape")):
            self._run_at(statement)
        return True

    def _run_at(self, statement: Statement) -> None:
        line, number = self._at
        self._at = (statement.line, number + 1 if line == statement.line else 1)
        try:
            self.run(_text(statement))
        except (ConnectionLost, DatabaseRefused, Refused):
            raise  # that is not about the statement
        except CommandError as error:
            place = f"line {statement.line}" if self._at[1] == 1 else f"line {statement.line}, statement {self._at[1]}"
            raise CommandError(f"{place}: {error}") from None

    def run(self, sql: str) -> None:
        """Run one statement and print its rows. Raises `CommandError`."""
        started = time.perf_counter()
        with self.session.run(sql) as result:
            count = show(self.mode, result.columns, result.rows(), self._out, terminal=self._terminal)
            changed, server = result.summary
        if self.says_changes and not result.columns and changed:
            self._out.write(f"{changed} row{'s' if changed != 1 else ''} changed.\n")
        if self.timer:
            took = f"{(time.perf_counter() - started) * 1000:.1f} ms"
            inside = f", {server:.1f} ms of it in the database" if server is not None else ""
            rows = f"{count} row{'s' if count != 1 else ''} in " if result.columns else ""
            self._out.write(f"{rows}{took}{inside}.\n")
        self._out.flush()

    def command(self, line: str) -> None:
        """Run a dot command. Raises `Quit`, `CommandError`."""
        word, _, argument = line.partition(" ")
        argument = argument.strip().rstrip(";")
        if word in (".quit", ".exit", ".q"):
            raise Quit
        if word == ".help":
            self._out.write(HELP + "\n")
        elif word == ".tables":
            self._lines(_TABLES)
        elif word == ".schema":
            self._schema(argument)
        elif word == ".mode":
            self.mode = _chosen(word, argument, MODES)
        elif word == ".timer":
            self.timer = _chosen(word, argument, ("on", "off")) == "on"
        else:
            raise CommandError(f"{line} is no command of this shell. Type .help to see them.")

    def _schema(self, table: str) -> None:
        from dataplane.contents import statement

        if not table:
            self._lines(_SCHEMA.format(condition="name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"), statement)
            return
        literal = "'" + table.strip("\"'").replace("'", "''") + "'"
        if not self._lines(_SCHEMA.format(condition=f"lower(tbl_name) = lower({literal})"), statement):
            raise CommandError(f"There is no table {table}. Type .tables to see them.")

    def _lines(self, sql: str, shown: Callable[[str], str] = str) -> int:
        count = 0
        with self.session.run(sql) as result:
            for row in result.rows():
                self._out.write(f"{shown(str(row[0]))}\n")
                count += 1
        self._out.flush()
        return count

    def tables(self) -> list[str]:
        """Names to complete; none if they cannot be had."""
        with suppress(CommandError), self.session.run(_TABLES) as result:
            return [str(row[0]) for row in result.rows()]
        return []


def _text(statement: Statement) -> str:
    try:
        return statement.text.decode()
    except UnicodeDecodeError:
        raise CommandError("the text is not UTF-8") from None


def _chosen(word: str, argument: str, choices: Sequence[Choice]) -> Choice:
    """Return what a dot command is followed by. Raises `CommandError`."""
    for choice in choices:
        if choice == argument:
            return choice
    raise CommandError(f"{word} is followed by {', '.join(choices[:-1])} or {choices[-1]}.")


class Prompt:
    """Reads lines at a terminal, with history and completion."""

    def __init__(self, shell: Shell, name: str) -> None:
        self._shell = shell
        self._name = name
        self._history = _history_file()
        shell.says_changes = True

    def __repr__(self) -> str:
        return f"<Prompt {self._name}>"

    def run(self) -> None:
        """Until the user leaves."""
        self._begin_history()
        print(f"Connected to {self._name}. Type .help for help, .quit to leave.")
        splitter = Splitter()
        while True:
            in_transaction = self._shell.session.in_transaction
            try:
                line = input(self._prompt(splitter))
                if line.startswith(".") and not splitter.pending:
                    self._shell.command(line.strip())
                    continue
                for statement in list(splitter.feed(line.encode("utf-8", "surrogateescape") + b"\n")):
                    self._shell.run(_text(statement))
            except (EOFError, Quit):
                break
            except KeyboardInterrupt:
                splitter = Splitter()
                print()
                if in_transaction and not self._shell.session.in_transaction:
                    print("The open transaction was rolled back.", file=sys.stderr)
            except CommandError as error:
                splitter = Splitter()
                print(f"Error: {escaped(str(error))}", file=sys.stderr)
        if self._shell.session.in_transaction:
            print("The open transaction is rolled back.", file=sys.stderr)
        self._keep_history()

    def _prompt(self, splitter: Splitter) -> str:
        mark = "*" if self._shell.session.in_transaction else ""
        first = f"{self._name}{mark}> "
        return "...> ".rjust(len(first)) if splitter.pending else first

    def _begin_history(self) -> None:
        try:
            import readline
        except ImportError:
            return  # this Python was built without it: lines can be typed all the same
        readline.set_history_length(HISTORY_LINES)
        with suppress(OSError):
            readline.read_history_file(self._history)
        words = self._shell.tables()

        def complete(text: str, number: int) -> str | None:
            known = [word for word in words if word.lower().startswith(text.lower())]
            return known[number] if number < len(known) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" \t\n(),;=")
        readline.parse_and_bind("tab: complete")

    def _keep_history(self) -> None:
        try:
            import readline
        except ImportError:
            return
        with suppress(OSError):
            self._history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Statements may hold what nobody else is to read.
            self._history.touch(mode=0o600)
            readline.write_history_file(self._history)


def _history_file() -> Path:
    from runtime.cli.tokens import state_folder

    return state_folder(os.environ).parent / "shell_history"
