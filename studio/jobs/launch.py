"""python -m studio.jobs.launch LOCK COMMAND...: become COMMAND, holding LOCK for as long as it lives.

The lock goes to the command with its open file, and ends with its last process, however that ends: who can take it
knows that nothing of the job runs any more. The file holds the process's id, which is its group's too. Exit status 75
(EX_TEMPFAIL) where another holds it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys

BUSY_STATUS = 75
NICE = 10  # people who label in the browser come first


def main(arguments: list[str]) -> None:
    lock = os.open(arguments[0], os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(BUSY_STATUS) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    os.set_inheritable(lock, True)
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, whoever started the studio
    os.execv(arguments[1], arguments[1:])  # noqa: S606 - our own command, without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
