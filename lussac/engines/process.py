"""A command of this machine, watched to its end, with nothing of it left."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from lussac.engines.base import GIVE_UP, Limits, Outcome, Progress, supervise

GUARD = Path(__file__).with_name("guard.py")


def run_guarded(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    limits: Limits,
    log: Path,
    progress: Progress,
    stop: threading.Event,
) -> tuple[Outcome | None, int | None]:
    """Run a command below a guard that ends all of it when this process dies, however it dies.

    Parameters
    ----------
    command, env, folder
        What to run, its whole environment, and where.
    limits
        Memory is watched by the guard, time here.
    log
        Gets what the command writes.
    progress, stop
        Told the newest line; ends the command when set.

    Returns
    -------
    Outcome or None, int or None
        Why we ended it, or its exit code.
    """
    guarded = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(limits.memory or 0), *command]
    with (
        log.open("ab") as file,
        subprocess.Popen(  # noqa: S603 - our own guard, and the command of a job
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=folder,
            start_new_session=True,
        ) as guard,
    ):
        try:
            return supervise(guard.poll, log, limits.seconds, progress, stop)
        finally:
            _end(guard)


def _end(guard: "subprocess.Popen[bytes]") -> None:
    """Have the guard end everything; it is killed itself only if it doesn't answer."""
    guard.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        guard.wait(GIVE_UP)
    guard.kill()
