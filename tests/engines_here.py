"""The engines that answer on this machine, what they leave behind, and the processes of a run."""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from lussac.engines import ENGINES
from lussac.engines.base import Engine, ImageRef
from lussac.engines.docker import RUN, DockerEngine
from lussac.engines.singularity import SingularityEngine
from lussac.engines.spython import Commands
from lussac.errors import EngineError

IMAGE = "lussac/simple:0.105.3"
REPOSITORY = Path(__file__).parents[1]
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


def left_by(engine: Engine, name: str, folder: Path) -> list[str]:
    """Return the containers, instances and processes that a run has left: by the name of its analysis and by its folder."""
    left = [f"process {words}" for words in processes_of(folder)]
    if isinstance(engine, DockerEngine):
        client = docker.DockerClient(base_url=engine.host)
        containers = client.containers.list(all=True, filters={"label": RUN}, ignore_removed=True)
        left += [f"container {container.name}" for container in containers if container.labels[RUN].startswith(name)]
        client.close()
    if isinstance(engine, SingularityEngine):
        left += Commands("apptainer").ask("instance", "list").splitlines()[1:]
    return left


def processes_of(folder: Path) -> Iterator[str]:
    """Yield the command lines of the processes whose command line or folder names a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = str((process / "cwd").readlink())
        except OSError:
            continue  # it ended just now
        if str(folder) in words + place:
            yield words


def owners(folder: Path) -> set[int]:
    """Return the users who own what is in a folder, and the folder itself."""
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}
