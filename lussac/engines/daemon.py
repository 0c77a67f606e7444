"""A docker daemon, or podman behind docker's interface: where it is, and what it says about itself."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import DeviceRequest

from lussac.engines.gpus import ALL

NOT_FOUND = 404

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
CDI = "nvidia.com/gpu"
SYSTEM = "unix:///var/run/docker.sock"
PARENT, CONTAINER, RUN, OWNER = "io.lussac.parent", "io.lussac.container", "io.lussac.run", "io.lussac.owner"
"""Labels: the process of Lussac, the container that it is in (if any), the run of the job, and whose the files of a root are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What decides how a job is put to a daemon.

    Parameters
    ----------
    podman
        Whether it is podman's.
    version, api
        Its version, and that of its interface.
    machine
        The processor that its images must be made for.
    memory
        Bytes of its machine.
    rootless
        Whether it runs without root: then the root of a container is the user who started it.
    remaps_users
        Whether it gives the users of containers other numbers outside.
    selinux
        Whether SELinux guards the folders of its machine.
    cdi
        Whether GPUs are asked for by the Container Device Interface.
    gpus
        Whether it says that it can give GPUs.
    storage, cgroup
        For the record.
    """

    podman: bool
    version: str
    api: tuple[int, ...]
    machine: str
    memory: int
    rootless: bool
    remaps_users: bool
    selinux: bool
    cdi: bool
    gpus: bool
    storage: str
    cgroup: str


def described(info: Mapping[str, Any], version: Mapping[str, Any]) -> Daemon:
    """Read the answers of a daemon; pure."""
    options = " ".join(info.get("SecurityOptions") or ())
    runtime = "nvidia" in (info.get("Runtimes") or ())
    devices = any("nvidia" in str(device) for device in info.get("DiscoveredDevices") or ())
    podman = any("podman" in part.get("Name", "").lower() for part in version.get("Components") or ())
    return Daemon(
        podman=podman,
        version=version["Version"],
        api=tuple(int(part) for part in version["ApiVersion"].split(".")),
        machine=MACHINES.get(info["Architecture"], info["Architecture"]),
        memory=info["MemTotal"],
        rootless="name=rootless" in options or bool(info.get("Rootless")),  # the latter is podman's
        remaps_users="name=userns" in options,
        selinux="name=selinux" in options,
        cdi=podman or (devices and not runtime),
        gpus=runtime or devices,
        storage=info["Driver"],
        cgroup=str(info.get("CgroupVersion", "")),
    )


def ask(client: docker.DockerClient) -> Daemon:
    """Ask a daemon about itself."""
    return described(client.info(), client.version())


def gpu_request(ids: tuple[str, ...], *, cdi: bool) -> DeviceRequest:
    """Return GPUs as a docker daemon is asked for them.

    Parameters
    ----------
    ids
        From `gpus.allotted`, at least one.
    cdi
        Whether the daemon knows them by the Container Device Interface, as podman does, and not by NVIDIA's own hook.
    """
    if cdi:
        return DeviceRequest(driver="cdi", device_ids=[f"{CDI}={name}" for name in ids])
    if ids == ALL:
        return DeviceRequest(count=-1, capabilities=[["gpu"]])
    return DeviceRequest(device_ids=list(ids), capabilities=[["gpu"]])


def default_host() -> str:
    """Return $DOCKER_HOST, else the first local socket of docker or podman that exists, the system's before the user's own."""
    if given := os.environ.get("DOCKER_HOST"):
        return given
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    sockets = (SYSTEM, f"unix://{own}/docker.sock", f"unix://{own}/podman/podman.sock", "unix:///run/podman/podman.sock")
    return next((host for host in sockets if os.access(host.removeprefix("unix://"), os.R_OK | os.W_OK)), SYSTEM)


@contextlib.contextmanager
def connect(host: str) -> Iterator[docker.DockerClient]:
    """Give a client of this thread's own, which isn't safe to share; raise OSError or DockerException where no daemon answers."""
    _knock(host)
    client = docker.from_env(timeout=60, environment={**os.environ, "DOCKER_HOST": host})
    try:
        yield client
    finally:
        client.close()


def _knock(host: str) -> None:
    """Connect to a local daemon and hang up: the SDK leaves its socket open where nobody answers."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(10)
            stream.connect(host.removeprefix("unix://"))


def listed(client: docker.DockerClient, *, stopped: bool = False, label: str = "") -> list[Container]:
    """Return the containers of a daemon, but those that somebody removes meanwhile.

    The SDK's own list takes it for a fault of the daemon if such a container is podman's.

    Parameters
    ----------
    client
        Of the daemon.
    stopped
        Whether those that don't run are listed too.
    label
        A label, or its name and value, that they must have.
    """
    found = []
    for summary in client.api.containers(all=stopped, filters={"label": label} if label else None):
        with unless_missing():
            found.append(client.containers.get(summary["Id"]))
    return found


@contextlib.contextmanager
def unless_missing() -> Iterator[None]:
    """Leave what is done with a container if it is gone."""
    try:
        yield
    except APIError as error:
        if not is_missing(error):
            raise


def is_missing(error: APIError) -> bool:
    """Tell whether a container is gone: podman may answer with a fault of its own (500) then, which says so; pure."""
    return error.status_code == NOT_FOUND or "no such container" in str(error.explanation or error).lower()
