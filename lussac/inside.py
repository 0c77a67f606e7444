"""What to type instead, for whoever runs Lussac from its own image.

The same refusal means something else there: a file that doesn't exist is most often in a folder that wasn't mounted. Outside the
image each function gives the advice that always holds.
"""

import os
import re
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MARK = "LUSSAC_IMAGE"
"""Set in Lussac's image, and nowhere else."""
SOCKET = "-v /var/run/docker.sock:/var/run/docker.sock"
DOCKER = f'docker run --rm -v "$PWD:/data" {SOCKET} lussac /data/params.json'
APPTAINER = 'singularity exec --bind "$PWD:/data" lussac.sif lussac /data/params.json'
NO_DOCKER = "docker is not used from within apptainer; nothing to do"
"""A daemon that could be reached there knows other paths, and none of them can be verified."""
OF_THE_ENGINE = re.compile(r"/(proc|sys|dev|etc|run|tmp|var/(run|tmp|lib)|\.singularity\.d)(/|$)")
"""Where engines mount what is theirs, and not the user's."""


class Kind(StrEnum):
    """Where this process runs."""

    ELSEWHERE = "elsewhere"
    DOCKER = "docker"
    APPTAINER = "apptainer"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where this process runs, and what it sees of the machine.

    Parameters
    ----------
    kind
        Which engine started Lussac's image, if it is one.
    mounts
        All mount points but the root.
    """

    kind: Kind
    mounts: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Return the folders that the user has mounted."""
        return tuple(path for path in self.mounts if not OF_THE_ENGINE.match(str(path)) and path.is_dir())

    def mount_of(self, path: Path) -> Path | None:
        """Return the mount that holds a path; None where it is part of the container."""
        holding = [mount for mount in self.mounts if path.is_relative_to(mount)]
        return max(holding, key=lambda mount: len(mount.parts), default=None)


def here() -> Surroundings:
    """Find out where this process runs."""
    if MARK not in os.environ:
        return Surroundings(Kind.ELSEWHERE)
    kind = Kind.APPTAINER if Path("/.singularity.d").is_dir() else Kind.DOCKER
    return Surroundings(kind, mount_points(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")))


def mount_points(mountinfo: str) -> tuple[Path, ...]:
    """Read the mount points but the root from the text of /proc/self/mountinfo; pure."""
    names = [line.split()[4] for line in mountinfo.splitlines()]
    plain = (re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), name) for name in names)
    return tuple(dict.fromkeys(Path(name) for name in plain if name != "/"))


def missing_params(path: Path, seen: Surroundings) -> str:
    """Say what to do about a params.json that isn't there."""
    if seen.kind is Kind.ELSEWHERE:
        return "Give the path of a params.json; `lussac init` writes one."
    if twin := _twin(path, seen):
        return f"In this container it is {twin}: give that path."
    if seen.kind is Kind.APPTAINER:
        return f"Bind the folder of params.json into this container, and give the path that it has there: {APPTAINER}"
    mount = seen.mount_of(path.absolute())
    if mount and os.access(mount, os.R_OK | os.X_OK) and mount.is_dir() and not any(mount.iterdir()):
        return f"{mount} is empty. Docker makes the folder before `:{mount}` if there is none: is its name right?"
    if mount:
        return f"Give the path of a params.json in {mount}; `lussac init` writes one."
    sees = f"only {', '.join(map(str, seen.folders))}" if seen.folders else "nothing"
    return f"This container sees {sees} of your machine. In the folder of params.json, type: {DOCKER}"


def _twin(path: Path, seen: Surroundings) -> Path | None:
    """Return the file that a path of the machine most likely is in this container: the one that ends alike."""
    ends = [Path(*path.parts[start:]) for start in range(1, len(path.parts))]
    return next((file for end in ends for folder in seen.folders if (file := folder / end).is_file()), None)


def unwritable(place: Path, seen: Surroundings) -> str:
    """Say what to do about a file or folder that can't be written, as the end of a sentence."""
    existing = next(path for path in (place, *place.absolute().parents) if path.exists())
    if seen.kind is Kind.ELSEWHERE:
        return "choose another folder"
    mount = seen.mount_of(existing.absolute())
    if mount is None:
        return f"it is part of this container and would go with it: mount a folder of your machine, {DOCKER}"
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        how = f"leave out `:ro` behind {mount}" if seen.kind is Kind.DOCKER else f"bind {mount} without `:ro`"
        return f"{mount} is mounted read-only: {how}, or mount another folder for the results and name it in the params"
    owner = existing.stat()
    if seen.kind is Kind.APPTAINER:
        return f"it belongs to user {owner.st_uid} and you are user {os.getuid()}: choose another folder"
    return (
        f"it belongs to user {owner.st_uid} and this container runs as user {os.getuid()}: "
        f"docker run --user {owner.st_uid}:{owner.st_gid} ..., or choose another folder"
    )


def no_daemon(address: str, error: Exception, reason: str, seen: Surroundings) -> str:
    """Say why no docker daemon answers, and what to do about it, divided by a semicolon.

    Parameters
    ----------
    address
        Where it was looked for.
    error, reason
        What went wrong, and that in words.
    seen
        From `here`.
    """
    socket = Path(address.removeprefix("unix://"))
    if isinstance(error, PermissionError):
        return _refused(socket, seen)
    if seen.kind is Kind.DOCKER and not socket.exists():
        return f"docker's socket is not in this container; add {SOCKET} to docker run"
    if seen.kind is Kind.DOCKER:
        return f"no daemon answers at {address} ({reason}); start docker on your machine, then this container again"
    return f"no daemon answers at {address} ({reason}); start docker or set DOCKER_HOST"


def _refused(socket: Path, seen: Surroundings) -> str:
    """Say how to get at a socket that this user may not use."""
    facts = socket.stat()
    shared = facts.st_mode & stat.S_IWGRP
    if seen.kind is Kind.DOCKER and not shared and facts.st_uid == 0:  # root becomes the owner of the data folder
        return f"docker's socket {socket} is for root alone; on your machine, let its group use it: chmod 660 /path/of/the/socket"
    if seen.kind is Kind.DOCKER:
        fix = f"--group-add {facts.st_gid}" if shared else f"--user {facts.st_uid}"
        return f"user {os.getuid()} may not use docker's socket {socket}; add {fix} to docker run"
    fix = "sudo usermod -aG docker $USER, then log in again" if shared else f"ask user {facts.st_uid}, whose it is, for access"
    return f"you may not use docker's socket {socket}; {fix}"


def no_apptainer(seen: Surroundings) -> str:
    """Say that there is no program that runs image files, and what to do about it, divided by a semicolon."""
    if seen.kind is Kind.APPTAINER:
        return "this machine's apptainer is not bound into this container; `singularity run-help lussac.sif` shows how"
    if seen.kind is Kind.DOCKER:
        return "apptainer is not used from within docker; nothing to do"
    return "neither apptainer nor singularity is on the PATH; install apptainer, or load its module"
