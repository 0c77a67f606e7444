"""Where the docker daemon finds the folders of this process, which may itself run in a container.

The daemon takes the paths of a mount as its own machine has them. In a container with the daemon's socket, ``/data`` may be
``/mnt/lab`` there; a path that the daemon doesn't know would silently become a new, empty folder. Ids found in /proc are only
guesses, so the mapping is verified instead: a file written here must be seen by the daemon at the same path of the container.
"""

import contextlib
import os
import re
import secrets
import shlex
import socket
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import docker
from docker.errors import DockerException
from docker.models.containers import Container
from docker.types import Mount as Bind

from lussac.engines.base import Mount
from lussac.engines.daemon import PARENT, listed
from lussac.errors import EngineError

VARIABLE = "LUSSAC_HOST_PATH_MAP"
ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
ENGINE_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv")
"""Files that an engine mounts into every container from a folder that is named by the container's id."""
MARKS = ("/.dockerenv", "/run/.containerenv")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of this container and what it is on the daemon's machine: a path, or a volume of that name."""

    here: str
    there: str
    is_volume: bool = False


Places = tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Here:
    """The container that this process runs in.

    Parameters
    ----------
    places
        What its folders are on the daemon's machine.
    container
        Its id; empty where the user told the places, so that nobody had to look for it.
    started
        How it was started, for `unmapped`.
    """

    places: Places
    container: str = ""
    started: tuple[str, ...] = ("...",)


def find(client: docker.DockerClient, folder: Path) -> Here | None:
    """Find out what the folders of this process are on the daemon's machine.

    Parameters
    ----------
    client
        Of the daemon.
    folder
        One that will be mounted and can be written: the mapping is verified in it.

    Returns
    -------
    Here or None
        None where this process doesn't run in a container, so that paths are the same.

    Raises
    ------
    EngineError
        If it does, and no container that the daemon knows has this folder.
    """
    if given := os.environ.get(VARIABLE):
        return Here(parse_map(given))
    if container := own_container(client, folder):
        return Here(tuple(mounted(container.attrs["Mounts"])), container.id, command_of(container.attrs))
    if guessed := [*own_ids()]:
        raise EngineError(unmapped(folder, _started(client, guessed)))
    return None


def own_container(client: docker.DockerClient, folder: Path) -> Container | None:
    """Return the container that this process runs in; None where it runs in none, or the daemon knows none that has the folder.

    Parameters
    ----------
    client
        Of the daemon.
    folder
        One that can be written: a file in it must be seen in the container at the same path.
    """
    guessed = list(dict.fromkeys(own_ids()))
    if not guessed and not may_be_container():
        return None
    with _nonce(folder) as nonce:
        return next((container for container in _candidates(client, guessed) if _sees(container, nonce, str(nonce))), None)


def may_be_container() -> bool:
    """Tell whether this process may run in a container; the marks are there on some machines that are none."""
    return any(Path(mark).exists() for mark in MARKS) or next(own_ids(), None) is not None


def verify(container: Container, folder: Path, target: str) -> None:
    """Raise EngineError unless a container that is yet to start has the same folder as this process.

    Parameters
    ----------
    container
        The one of the sorter.
    folder, target
        A folder of this process that can be written, and where the container should have it.
    """
    with _nonce(folder) as nonce:
        if not _sees(container, nonce, f"{target}/{nonce.name}"):
            raise EngineError(unmapped(folder))


def parse_map(text: str) -> Places:
    """Read ``/data=/mnt/lab;/scratch=/fast``; raise EngineError where it is something else."""
    found = []
    for part in filter(None, text.split(";")):
        here, sign, there = part.partition("=")
        if not (sign and here.startswith("/") and there.startswith("/")):
            raise EngineError(f"{VARIABLE} has {part!r}; write /path/here=/path/on/the/host, several joined by ';'.")
        found.append(Place(os.path.normpath(here), os.path.normpath(there)))
    return tuple(found)


def bind(here: Here | None, mount: Mount, *, subpaths: bool = False) -> Bind:
    """Return a mount for the daemon; one whose source is missing there fails instead of being made.

    Parameters
    ----------
    here
        From `find`.
    mount
        With a source of this process.
    subpaths
        Whether the daemon can mount a folder of a volume; one that can't would mount the whole volume without a word.

    Raises
    ------
    EngineError
        If the folder is in this container only, or in a volume of which it can't be mounted alone.
    """
    source = os.path.realpath(mount.source)
    if here is None:
        return Bind(mount.target, source, type="bind", read_only=mount.read_only)
    covering = [place for place in here.places if PurePosixPath(source).is_relative_to(place.here)]
    if not covering:
        raise EngineError(unmapped(Path(source), here.started))
    place = max(covering, key=lambda place: len(place.here))
    rest = os.path.relpath(source, place.here)
    if not place.is_volume:
        return Bind(mount.target, os.path.normpath(f"{place.there}/{rest}"), type="bind", read_only=mount.read_only)
    bound = Bind(mount.target, place.there, type="volume", read_only=mount.read_only)
    if rest != "." and not subpaths:
        raise EngineError(
            f"{source} lies in the docker volume {place.there}, and this daemon can't mount a folder of a volume "
            f"(docker 26 can). Use a folder of the host instead: docker run -v /your/folder:{place.here} ..."
        )
    if rest != ".":
        bound["VolumeOptions"] = {"Subpath": rest}
    return bound


def unmapped(folder: Path, started: Sequence[str] = ("...",)) -> str:
    """Say how to start this container so that a folder of it can be given to sorters.

    Parameters
    ----------
    folder
        The one that only this container knows.
    started
        How this container was started: its mounts, its image and its command, as words for ``docker run``.
    """
    top = Path(*folder.parts[:2])
    socket_file = "/var/run/docker.sock:/var/run/docker.sock"
    mounts = ["-v", f"/your/folder:{top}", *(() if any("docker.sock" in word for word in started) else ("-v", socket_file))]
    line = " ".join(word if word == "..." else shlex.quote(word) for word in ("docker", "run", "--rm", *mounts, *started))
    return (
        f"{folder} is in this container only, so that no sorter container can see it. Start this one with `{line}`, "
        f"or say what it is on the host: {VARIABLE}={top}=/your/folder"
    )


def command_of(container: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words for ``docker run`` that start a container as its daemon describes it; pure."""
    words = []
    for mount in container["Mounts"]:
        source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
        words += ["-v", f"{source}:{mount['Destination']}" + ("" if mount.get("RW", True) else ":ro")]
    config = container["Config"]
    entrypoint = config.get("Entrypoint") or []
    if entrypoint:
        words += ["--entrypoint", entrypoint[0]]
    return (*words, config["Image"], *entrypoint[1:], *(config.get("Cmd") or ()))


def _started(client: docker.DockerClient, guessed: list[str]) -> tuple[str, ...]:
    """Return how this container was probably started: a command to show, not to run."""
    for name in guessed:
        with contextlib.suppress(DockerException):
            return command_of(client.containers.get(name).attrs)
    return ("...",)


def mounted(mounts: list[Mapping[str, Any]]) -> Iterator[Place]:
    """Read the mounts of a container as its daemon lists them."""
    for mount in mounts:
        if mount["Type"] == "bind":
            yield Place(os.path.normpath(mount["Destination"]), mount["Source"])
        elif mount["Type"] == "volume":
            yield Place(os.path.normpath(mount["Destination"]), mount["Name"], is_volume=True)


def own_ids() -> Iterator[str]:
    """Yield what may be the id of this container, the surest first."""
    for line in _lines("/proc/self/mountinfo"):
        root, target = line.split()[3:5]
        if target in ENGINE_FILES and (found := ID.findall(root)):
            yield found[-1]
    for file in ("/proc/self/cgroup", "/run/.containerenv"):
        for line in _lines(file):
            yield from ID.findall(line)[-1:]


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []


def _candidates(client: docker.DockerClient, guessed: list[str]) -> Iterator[Container]:
    """Yield the containers that may be this one."""
    for name in (*guessed, socket.gethostname()):
        try:
            yield client.containers.get(name)
        except DockerException:
            continue
    # a sorter's container sees its params folder at this very path, and is never the one that started it
    yield from (container for container in listed(client) if PARENT not in container.labels)


@contextlib.contextmanager
def _nonce(folder: Path) -> Iterator[Path]:
    """Give a file that nobody else can have, while the block lasts."""
    file = Path(os.path.realpath(folder)) / f".lussac-{secrets.token_hex(8)}"
    file.write_text(file.name)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _sees(container: Container, file: Path, there: str) -> bool:
    """Tell whether a container has this very file at a path of its own."""
    try:
        pieces, _ = container.get_archive(there)
        with tarfile.open(fileobj=BytesIO(b"".join(pieces))) as archive:
            content = archive.extractfile(archive.getmembers()[0])
            return content is not None and content.read().decode() == file.name
    except (DockerException, tarfile.TarError):
        return False
