"""Runs a command so that nothing of it outlives the process that asked for it: ``guard.py PARENT MEMORY COMMAND...``.

A process of its own because only a parent can collect what a killed sorter leaves behind: worker processes that would wait
for ever, and shared memory that only Python's resource tracker removes. Linux only; standard library only.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
OVER_MEMORY = 250
GRACE = 2.0


def descendants() -> list[int]:
    """Return all processes below this one."""
    children: dict[int, list[int]] = {}
    for process, parent in parents():
        children.setdefault(parent, []).append(process)
    found, queue = [], [os.getpid()]
    while queue:
        queue = [child for process in queue for child in children.get(process, [])]
        found += queue
    return found


def parents() -> Iterator[tuple[int, int]]:
    """Yield every process that has not ended, and its parent."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended just now
        if state != "Z":
            yield int(folder.name), int(parent)


def memory_used() -> int:
    """Return the bytes that all descendants hold; what they share counts once."""
    total = 0
    for process in descendants():
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended just now, or changed its user
        total += sum(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def collect(child: int) -> int | None:
    """Collect what has ended; return the exit code of `child` once it is among it."""
    code = None
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if process == 0:
            return code
        if process == child:
            code = os.waitstatus_to_exitcode(status)


def end_descendants() -> None:
    """Ask all to end, then kill them; the resource tracker ignores the first and ends by itself, after its work."""
    start = time.monotonic()
    wish = signal.SIGTERM
    asked: set[int] = set()
    while found := descendants():
        if time.monotonic() > start + GRACE:
            wish, asked = signal.SIGKILL, set()
        for process in set(found) - asked:
            try:
                os.kill(process, wish)
            except ProcessLookupError:
                continue
        asked.update(found)
        time.sleep(0.02)
        collect(-1)


def watch(child: int, memory: int) -> int:
    """Wait for the command; return its exit code, 128 + the signal that ended it, or OVER_MEMORY."""
    checked = time.monotonic()
    pause = 0.005
    while (code := collect(child)) is None:
        time.sleep(pause)
        pause = min(0.1, 2 * pause)
        if memory and time.monotonic() > checked + 0.5:
            checked = time.monotonic()
            if memory_used() > memory:
                return OVER_MEMORY
    return code if code >= 0 else 128 - code


def main(parent: int, memory: int, command: list[str]) -> int:
    """Run the command to its end, or until this process is told to end or its parent dies."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    try:
        return watch(os.posix_spawnp(command[0], command, os.environ), memory)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_descendants()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
