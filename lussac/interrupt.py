"""Ctrl-C, SIGTERM and a closed terminal: all ends within seconds, whatever the process is doing."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from lussac.engines.guard import descendants
from lussac.errors import INTERRUPTED, InterruptedRunError

DEADLINE = 4.5
"""Seconds from the signal until what still runs is killed."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible(clean_up: Callable[[], None], deadline: float = DEADLINE) -> Iterator[None]:
    """Turn the signals into a KeyboardInterrupt, and kill all processes when that doesn't end the block in time.

    Parameters
    ----------
    clean_up
        Called just before the process is killed: the clean-up of the block itself doesn't run then.
    deadline
        Seconds that the block has from the signal on.
    """
    ended = threading.Event()
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    # the wakeup descriptor is written at once, a Python handler runs only when the main thread comes back from C
    watcher = threading.Thread(target=_watch, args=(ours, ended, clean_up, deadline), daemon=True)
    watcher.start()
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: None if ended.is_set() else _forget())
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        ended.set()
        theirs.close()
        watcher.join()
        ours.close()


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for other in SIGNALS:  # a second Ctrl-C must not interrupt the clean-up; the deadline ends it
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _forget() -> None:
    """Leave signals to the parent: it ends its workers, and its watcher must not hear of theirs."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _watch(wakeup: socket.socket, ended: threading.Event, clean_up: Callable[[], None], deadline: float) -> None:
    while number := wakeup.recv(1):
        if number[0] in SIGNALS and not ended.wait(deadline):
            _kill_descendants()
            clean_up()
            # straight to the terminal: whatever prints otherwise may be what hangs
            os.write(2, f"\nlussac: error\n  {INTERRUPTED}\n  (exit code {InterruptedRunError.exit_code})\n".encode())
            os._exit(InterruptedRunError.exit_code)


def _kill_descendants() -> None:
    for process in descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
