"""A look from inside a container before the sorter starts: are its folders those of this process, and whose are its files.

A path that the daemon's machine knows otherwise, SELinux, a user of another number and a full disk all show here, in a second,
and not as a riddle in the sorter's log.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussac.engines.base import OUT, WORK
from lussac.errors import EngineError

PROGRAM = """
import os, sys
name, *folders = sys.argv[1:]
for folder in folders:
    given = os.path.join(folder, name)
    if open(given).read() != name:
        sys.exit(given + ": not the file that was given")
    with open(given + ".back", "w") as file:
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
"""
"""Standard library of any Python; an error ends it with the line that says what it was about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the program in the container ended with."""

    code: int
    text: str


def arguments(job: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the arguments of a job's container with the program in the sorter's place; pure."""
    own = {"entrypoint": ["python"], "command": ["-I", "-S", "-c", PROGRAM, name, OUT, WORK]}
    return {key: value for key, value in job.items() if key != "device_requests"} | own


def check(out: Path, work: Path, run: Callable[[str], Answer]) -> None:
    """Have a container read and write a file in the folders that the sorter will write to.

    Parameters
    ----------
    out, work
        The folders as this process has them.
    run
        Runs the program with the name of the file, with exactly the mounts and the user of the sorter.

    Raises
    ------
    EngineError
        If the container doesn't see the file, can't write, or writes as somebody else.
    """
    name = f".lussac-{secrets.token_hex(8)}"
    with _files(name, (out, work)):
        answer = run(name)
        reason = (answer.text.strip().splitlines() or ["no reason given"])[-1]
        if answer.code:
            raise EngineError(advice(out, reason))
        for folder in (out, work):
            back = folder / f"{name}.back"
            if not back.exists():
                raise EngineError(f"What a container writes to {folder} doesn't arrive there. {_MAP}")
            owner, wanted = back.stat(), folder.stat()
            if owner.st_uid != wanted.st_uid:
                raise EngineError(
                    f"What a container writes to {folder} belongs to user {owner.st_uid}, and not to {wanted.st_uid}, whose the "
                    "folder is. Give the folder to the user that runs the daemon, or use a daemon that leaves users as they are."
                )


_MAP = "Say what it is on the host with LUSSAC_HOST_PATH_MAP, or use a folder of the machine that the daemon runs on."


def advice(folder: Path, reason: str) -> str:
    """Say what to do about a reason that the program in the container gave; pure."""
    if "No such file" in reason or "not the file" in reason:
        return f"A container doesn't see what lies in {folder} ({reason}). {_MAP}"
    if "Permission denied" in reason:
        return (
            f"A container may not use {folder} ({reason}). Where SELinux is on, allow it: "
            f"chcon -Rt container_file_t {folder.parent}; else give the folder to the user that runs Lussac."
        )
    if "No space left" in reason or "quota" in reason.lower():
        return f"There is no space left for a container in {folder} ({reason}). Free some, or choose another folder."
    return f"A container can't work in {folder} ({reason}). Look at it with `lussac doctor`."


@contextlib.contextmanager
def _files(name: str, folders: tuple[Path, ...]) -> Iterator[None]:
    """Put a file into each folder, and take away both it and the answer."""
    try:
        for folder in folders:
            (folder / name).write_text(name)
            (folder / name).chmod(0o644)
        yield
    finally:
        for folder in folders:
            (folder / name).unlink(missing_ok=True)
            (folder / f"{name}.back").unlink(missing_ok=True)
