"""The unprivileged user that hosts become when the node is started as root.

That user owns nothing. A host reads its package through a descriptor of the folder, and may connect to the egress
process because the socket and its folder are lent to the user's group.
"""

import contextlib
import os
import pwd
import stat
from typing import NamedTuple


class Account(NamedTuple):
    """A user that is not root."""

    name: str
    uid: int
    gid: int


def find(name: str) -> Account:
    """Return the account called `name`. Raises `LookupError` with what to do if it cannot be used."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"there is no user {name!r}: create it, or set isolate_user to another") from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise LookupError(f"the user {name!r} is as privileged as root: set isolate_user to another")
    return Account(name, entry.pw_uid, entry.pw_gid)


def lend(socket: str, account: Account) -> None:
    """As root, let the account's group connect to a Unix socket in the present folder by its name."""
    _lend(".", account, stat.S_IXGRP)
    with contextlib.suppress(FileNotFoundError):
        _lend(socket, account, stat.S_IWGRP)


def _lend(path: str, account: Account, mode: int) -> None:
    status = os.stat(path)  # noqa: PTH116 each Path is a page more to copy in a process just forked
    if status.st_gid != account.gid:
        os.chown(path, -1, account.gid)
    if status.st_mode & mode != mode:
        os.chmod(path, stat.S_IMODE(status.st_mode) | mode)  # noqa: PTH101


def become(account: Account) -> None:
    """As root, be this account from now on, for good. Raises `OSError`."""
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
