"""What an engine is: something that runs a job apart from this process, and says how it ended."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

IN, WORK, OUT = "/lussac/in", "/lussac/work", "/lussac/out"
"""What a job sees in its container: its input (read-only), scratch, and results."""

CACHES: Mapping[str, str] = {
    "HOME": WORK,
    "TMPDIR": WORK,
    "XDG_CACHE_HOME": f"{WORK}/.cache",
    "NUMBA_CACHE_DIR": f"{WORK}/.cache/numba",
    "MPLCONFIGDIR": f"{WORK}/.cache/matplotlib",
    "MCR_CACHE_ROOT": WORK,
    "TORCH_HOME": f"{WORK}/.cache/torch",
    "USER": "lussac",
    "LOGNAME": "lussac",
    "PYTHONNOUSERSITE": "1",
}
"""Set in a container, whose root is read-only and whose user has no home."""

GIVE_UP = 4.0
"""Seconds from a wish to stop until everything is killed."""

Progress = Callable[[str], None]
"""Called with the newest line that the job has written."""


class Outcome(StrEnum):
    """How a job ended."""

    OK = "ok"
    SORTER_ERROR = "sorter error"
    OOM = "out of memory"
    TIMEOUT = "timeout"
    KILLED = "killed"
    IMAGE = "image"
    MOUNT = "mount"
    GPU = "gpu"
    DISK = "disk full"
    INFRA = "infra"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """What a job runs in.

    Parameters
    ----------
    asked
        As the user or the catalogue wrote it.
    start
        What the engine starts: a name with its digest, an id, the path of a SIF; never a tag, which could move.
    digest
        Digest of the manifest in the registry; empty where there is none.
    rootfs
        Hash of what is inside, equal on every engine: the identity that results are keyed by.
    source
        Where it comes from; ``none`` is the environment of this process, ``unknown`` where nobody could be asked.
    details
        What else is worth recording: platform, labels, versions, sha256 of a SIF.
    """

    asked: str
    start: str
    digest: str
    rootfs: str
    source: Literal["registry", "local-build", "sif", "none", "unknown"]
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of this machine, and where the job sees it."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job may use; None is no limit. Memory is in bytes."""

    cores: int = 1
    memory: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One command, and all that it may see and use.

    Parameters
    ----------
    image
        What it runs in.
    argv
        The command, with paths as the container has them.
    mounts
        All that it sees of this machine.
    env
        All of its environment besides what the image and the engine set.
    limits
        What it may use.
    gpu
        Whether it is given the GPUs.
    relaxed
        What the image needs against the rule: ``root``, ``writable-root``, ``network``.
    label
        Unique to this run of the job; containers carry it, so that what a dead run left behind is found.
    """

    image: ImageRef
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]
    env: Mapping[str, str]
    limits: Limits
    gpu: bool = False
    relaxed: frozenset[str] = frozenset()
    label: str = ""

    def source(self, target: str) -> Path:
        """Return the folder of this machine that the job sees as `target`."""
        return next(mount.source for mount in self.mounts if mount.target == target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a job ended.

    Parameters
    ----------
    outcome
        What that means.
    code
        Exit code of the command; None where it never ran or was killed.
    message
        One sentence for the user; empty where all is well.
    seconds
        Wall-clock time.
    command
        The command line or the engine's arguments, as given to the engine.
    enforced
        Which limits the engine really enforces here, by name.
    """

    outcome: Outcome
    code: int | None
    message: str
    seconds: float
    command: tuple[str, ...]
    enforced: tuple[str, ...] = ()


class Engine(Protocol):
    """Runs jobs."""

    @property
    def name(self) -> str:
        """Return the name it is chosen by."""

    @property
    def runs_as_owner(self) -> bool:
        """Return whether a job runs as the owner of its output folder; else it runs as the user of this process."""

    def unavailable(self) -> str | None:
        """Return None, or the reason why it can't be used here."""

    def describe(self) -> Mapping[str, str]:
        """Return what to record: version, rootless or not."""

    def resolve(self, image: str, *, pull: bool) -> ImageRef:
        """Find an image, pull it if it is missing and may be; raise EngineError with what to do."""

    def has_image(self, image: str) -> bool:
        """Tell whether an image is here and ready; nothing is pulled or made."""

    def has_gpu(self, image: ImageRef) -> bool:
        """Tell whether a job in this image would see a GPU."""

    def offers_gpu(self) -> bool:
        """Tell whether the engine says that it can give GPUs to jobs; `has_gpu` is the proof."""

    def run(self, job: Job, log: Path, progress: Progress, stop: threading.Event) -> Exit:
        """Run a job to its end; `log` gets what it writes, as it writes. Nothing of it is left when this returns."""

    def reap(self) -> tuple[str, ...]:
        """Remove what runs that are dead left behind; return what that was."""


@dataclass(slots=True)
class Tail:
    """The newest line of a file that grows."""

    path: Path
    position: int = 0

    def line(self) -> str:
        """Return the last line written since the last call, or an empty string."""
        if not self.path.exists() or self.path.stat().st_size <= self.position:
            return ""
        with self.path.open("rb") as file:
            file.seek(self.position)
            text = file.read()
        self.position += len(text)
        lines = text.decode(errors="replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def supervise(
    poll: Callable[[], int | None], log: Path, seconds: float | None, progress: Progress, stop: threading.Event
) -> tuple[Outcome | None, int | None]:
    """Wait for a job.

    Parameters
    ----------
    poll
        Gives the exit code, or None while the job runs.
    log
        The file that it writes to.
    seconds
        Limit of its wall-clock time.
    progress, stop
        Told the newest line; ends the wait when set.

    Returns
    -------
    Outcome or None, int or None
        Why the job has to be ended (then it still runs), or its exit code.
    """
    tail = Tail(log)
    deadline = time.monotonic() + seconds if seconds is not None else float("inf")
    while (code := poll()) is None:
        if stop.is_set():
            return Outcome.KILLED, None
        if time.monotonic() > deadline:
            return Outcome.TIMEOUT, None
        if line := tail.line():
            progress(line)
        stop.wait(0.1)
    return None, code


def judge(ended: Outcome | None, code: int | None, limits: Limits, *, out_of_memory: bool = False) -> tuple[Outcome, str]:
    """Say what the end of a job means.

    Parameters
    ----------
    ended
        Why we ended it, or None if it ended by itself.
    code
        Its exit code: 128 + the signal where one ended it.
    limits
        What it was allowed.
    out_of_memory
        Whether the engine saw it reach its limit of memory.
    """
    match ended, code:
        case Outcome.TIMEOUT, _:
            found = Outcome.TIMEOUT, f"was stopped after its time limit of {limits.seconds:g} s"
        case Outcome.KILLED, _:
            found = Outcome.KILLED, "was stopped"
        case _, 0:
            found = Outcome.OK, ""
        case _ if out_of_memory and limits.memory:
            found = Outcome.OOM, f"needed more than its {limits.memory / 1e9:.1f} GB of memory"
        case _, 137:
            found = Outcome.OOM, "was killed by the system, which it does when memory runs out"
        case _, int() if code > 128:
            found = Outcome.SORTER_ERROR, f"crashed with signal {code - 128}"
        case _:
            found = Outcome.SORTER_ERROR, f"ended with exit code {code}"
    return found


def identity(pid: int) -> str:
    """Name a process of this machine so that no later one has the same name.

    Returns
    -------
    str
        The boot, the pid namespace, the pid and the time of its start; empty if there is no such process.
    """
    try:
        start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}/{pid}/{start}"


def is_gone(name: str) -> bool:
    """Tell whether the process that `identity` named has ended; False where that can't be seen from here."""
    if is_of_another_boot(name):
        return True
    return is_of_this_namespace(name) and identity(int(name.split("/")[2])) != name


def is_of_another_boot(name: str) -> bool:
    """Tell whether a process ran before this machine was started, or on another one."""
    return name.partition("/")[0] != identity(1).partition("/")[0]


def is_of_this_namespace(name: str) -> bool:
    """Tell whether the number of a process means something here: containers have their own."""
    return name.split("/")[1] == identity(1).split("/")[1]


def on_host(word: str, mounts: Iterable[Mount]) -> str:
    """Translate a path of the container into that of this machine; leave any other word as it is."""
    for mount in sorted(mounts, key=lambda mount: len(mount.target), reverse=True):
        if word == mount.target or word.startswith(mount.target + "/"):
            return str(mount.source) + word[len(mount.target) :]
    return word
