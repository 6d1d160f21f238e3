"""A database worker whose disk takes its time: `python -m tests.dataplane.slow_disk` in place of `dataplane.worker`."""

import os
import time

from dataplane import worker

SYNC_SECONDS = 0.3
_fdatasync = os.fdatasync


def _slowly(descriptor: int) -> None:
    time.sleep(SYNC_SECONDS)
    _fdatasync(descriptor)


if __name__ == "__main__":
    os.fdatasync = _slowly  # type: ignore[assignment]
    worker.main()
