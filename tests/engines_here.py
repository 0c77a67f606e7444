"""The engines that answer on this machine, what they leave behind, and the processes of a run."""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest
from docker.models.containers import Container

from lussac.engines import ENGINES
from lussac.engines.base import IN, OUT, WORK, Engine, ImageRef, Job, Limits, Mount
from lussac.engines.daemon import listed
from lussac.engines.docker import DockerEngine
from lussac.errors import EngineError

IMAGE = "lussac/simple:0.105.3"
REPOSITORY = Path(__file__).parents[1]
INSIDE = "/lussac"
"""Where a job has its folders."""
CONTAINERS = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("singularity", marks=pytest.mark.singularity)]
PODMAN = pytest.param("podman", marks=pytest.mark.docker)


def answering(name: str) -> Engine:
    """Return an engine by name; podman is docker's engine with another daemon."""
    if name == "podman":
        if "PODMAN_HOST" not in os.environ:
            pytest.skip("podman: PODMAN_HOST doesn't say where it listens")
        found = DockerEngine(host=os.environ["PODMAN_HOST"])
    else:
        found = ENGINES[name]()
    if reason := found.unavailable():
        pytest.skip(f"{name}: {reason}")
    return found


def image_of(engine: Engine) -> ImageRef:
    """Return something with Python to run in, with SpikeInterface but on podman."""
    is_podman = isinstance(engine, DockerEngine) and engine.host == os.environ.get("PODMAN_HOST")
    image = os.environ.get("BASE_IMAGE", IMAGE) if is_podman else IMAGE
    try:
        return engine.resolve("spikeinterface" if engine.name == "local" else image, pull=False)
    except EngineError as error:
        pytest.skip(str(error))


def job_in(folder: Path, image: ImageRef, *argv: str, **changes: Any) -> Job:
    """Return a job with new folders of its own, and a label that no other job on this machine has."""
    for name in ("in", "work", "out"):
        (folder / name).mkdir(exist_ok=True)
    mounts = (
        Mount(folder / "in", IN),
        Mount(folder / "work", WORK, read_only=False),
        Mount(folder / "out", OUT, read_only=False),
    )
    job = Job(image=image, argv=argv, mounts=mounts, env={}, limits=Limits(), label=f"test-{secrets.token_hex(6)}")
    return replace(job, **changes)


def left_by(engine: Engine, folder: Path) -> list[str]:
    """Return the containers and processes that a run in a folder has left: other runs share the daemon and the machine."""
    left = [f"process {words}" for words in processes_of(folder)]
    if isinstance(engine, DockerEngine):
        left += [f"container {container.name}" for container in containers_of(engine.host, folder)]
    return left


def soon_nothing_left_by(engine: Engine, folder: Path) -> list[str]:
    """Return what is still left some seconds later: another run's start may be removing it just now."""
    deadline = time.monotonic() + 10
    while (left := left_by(engine, folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def containers_of(host: str, folder: Path) -> list[Container]:
    """Return the containers of a daemon, running or not, that have something of a folder mounted."""
    with contextlib.closing(docker.DockerClient(base_url=host)) as client:
        containers = listed(client, stopped=True)
    sources = {container: [Path(mount.get("Source", "")) for mount in container.attrs["Mounts"]] for container in containers}
    return [container for container, paths in sources.items() if any(map(within(folder), paths))]


def within(folder: Path) -> Callable[[Path], bool]:
    """Return what tells whether a path lies in a folder, whichever links lead to it."""
    places = {folder, folder.resolve()}
    return lambda path: any(path.is_relative_to(place) for place in places)


def processes_of(folder: Path) -> Iterator[str]:
    """Yield the command lines of the processes whose command line or folder names a folder, or whose container has it mounted."""
    disk, place = on_disk(folder)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            where = str((process / "cwd").readlink())
            mounts = mounts_of(process)
        except OSError:
            continue  # it ended just now
        ours = (
            mount.disk == disk and mount.root.is_relative_to(place) for mount in mounts if mount.target.is_relative_to(INSIDE)
        )
        if str(folder) in words + where or any(ours):
            yield words


class Mounted(NamedTuple):
    """What a process has mounted: which disk, which folder of it, and where."""

    disk: str
    root: Path
    target: Path


def mounts_of(process: Path) -> list[Mounted]:
    """Read the mounts of a process from its folder in /proc."""
    lines = (line.split() for line in (process / "mountinfo").read_text(errors="surrogateescape").splitlines())
    return [Mounted(words[2], Path(unescaped(words[3])), Path(unescaped(words[4]))) for words in lines]


def unescaped(word: str) -> str:
    """Return a word of /proc/PID/mountinfo, where awkward characters are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def on_disk(folder: Path) -> tuple[str, Path]:
    """Return the disk that a folder lies on, and its path there."""
    folder = folder.resolve()
    holding = [mount for mount in mounts_of(Path("/proc/self")) if folder.is_relative_to(mount.target)]
    mount = max(holding, key=lambda mount: len(mount.target.parts))
    return mount.disk, mount.root / folder.relative_to(mount.target)


def owners(folder: Path) -> set[int]:
    """Return the users who own what is in a folder, and the folder itself."""
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}
