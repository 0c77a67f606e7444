"""Docker, and podman through docker's interface: the sorter is the container's own command, with nothing but its folders."""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container
from docker.types import Mount as Bind
from requests.exceptions import RequestException

from lussac import inside
from lussac.engines.base import (
    CACHES,
    OUT,
    WORK,
    Exit,
    ImageRef,
    Job,
    Mount,
    Outcome,
    Progress,
    identity,
    is_gone,
    is_of_another_boot,
    is_of_this_namespace,
    judge,
    supervise,
)
from lussac.engines.daemon import (
    CONTAINER,
    OWNER,
    PARENT,
    RUN,
    Daemon,
    ask,
    connect,
    default_host,
    gpu_request,
    listed,
    unless_missing,
)
from lussac.engines.gpus import allotted
from lussac.engines.hostpaths import Here, bind, find, may_be_container, own_ids, verify
from lussac.engines.podman import refuse_missing, spelled
from lussac.engines.preflight import Answer, check
from lussac.engines.preflight import arguments as preflight
from lussac.errors import EngineError
from lussac.inside import Kind

ROOTS_RIGHTS = ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
"""What an image that must run as root needs to write to the folders of a user."""
PATIENCE = 20.0
"""Seconds that a daemon gets to come back."""
KILLED = 128 + 9
CONFLICT = 409
SUBPATHS_SINCE = (1, 45)


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """Runs jobs as containers of a docker daemon, which may be podman's.

    Parameters
    ----------
    host
        Where the daemon listens.
    """

    name: str = "docker"
    runs_as_owner: bool = True
    host: str = field(default_factory=default_host)

    def unavailable(self) -> str | None:
        """Return None, or why no daemon answers."""
        seen = inside.here()
        if seen.kind is Kind.APPTAINER:
            return inside.NO_DOCKER
        try:
            with connect(self.host) as client:
                client.ping()
        except (DockerException, RequestException, OSError) as error:
            return inside.no_daemon(self.host, error, _short(error), seen)
        return None

    def describe(self) -> Mapping[str, str]:
        """Return version, storage and rights of the daemon."""
        with _asking(self.host) as client:
            daemon = ask(client)
        return {
            "name": self.name,
            "flavour": "podman" if daemon.podman else "docker",
            "version": daemon.version,
            "rootless": str(daemon.rootless),
            "storage": daemon.storage,
            "cgroup": daemon.cgroup,
        }

    def resolve(self, image: str, *, pull: bool) -> ImageRef:
        """Find an image in the daemon's store, or pull it.

        Parameters
        ----------
        image
            A reference, with a digest or without.
        pull
            Whether it may be pulled.

        Raises
        ------
        EngineError
            If it isn't there, can't be pulled, isn't what its digest says, or is made for another processor.
        """
        with _asking(self.host) as client:
            try:
                attributes = client.images.get(image).attrs
            except ImageNotFound:
                attributes = _pulled(client, image, pull=pull)
            machine = ask(client).machine
        if attributes["Architecture"] != machine:
            raise EngineError(
                f"{image} is made for {attributes['Architecture']}, this machine is {machine}; pull or build its own."
            )
        return reference(image, attributes)

    def has_image(self, image: str) -> bool:
        """Tell whether the daemon's store has an image."""
        with _asking(self.host) as client:
            try:
                client.images.get(image)
            except ImageNotFound:
                return False
        return True

    def offers_gpu(self) -> bool:
        """Tell whether the daemon has NVIDIA's runtime or a CDI device, and this process may use one."""
        with _asking(self.host) as client:
            return ask(client).gpus and bool(allotted(os.environ))

    def has_gpu(self, image: ImageRef) -> bool:
        """Ask a container of this image for its GPUs: what this process sees says nothing about the daemon's machine."""
        ids = allotted(os.environ)
        if not ids:
            return False
        with _asking(self.host) as client:
            arguments = {"image": image.start, "entrypoint": ["nvidia-smi"], "command": ["-L"], "network_mode": "none"}
            try:
                return "GPU" in _answer(client, arguments | {"device_requests": [gpu_request(ids, cdi=ask(client).cdi)]}).text
            except (DockerException, RequestException):
                return False

    def run(self, job: Job, log: Path, progress: Progress, stop: threading.Event) -> Exit:
        """Run a job as a container, which is removed whatever happens."""
        begin = time.monotonic()
        arguments: dict[str, Any] = {}
        daemon: Daemon | None = None

        def end(outcome: Outcome, code: int | None, message: str) -> Exit:
            return Exit(
                outcome=outcome,
                code=code,
                message=message,
                seconds=time.monotonic() - begin,
                command=_shown(arguments),
                enforced=enforced(job, daemon),
            )

        try:
            with connect(self.host) as client:
                daemon, here = ask(client), find(client, job.source(OUT))
                mounts = binds(job, here, daemon)
                arguments |= create_arguments(job, daemon, mounts, allotted(os.environ))
                arguments["labels"] = labels(job, identity(os.getpid()), here, arguments)
                _remove_all(client, job.label)  # what an attempt before has left with a daemon that stayed away
                if daemon.podman:
                    refuse_missing(client, job.image.start, mounts)
                if is_risky(daemon, here):
                    check(job.source(OUT), job.source(WORK), lambda name: _answer(client, preflight(arguments, name)))
                with _container(client, arguments) as container:
                    if may_be_container():
                        verify(container, job.source(OUT), OUT)
                    return end(*_watch(container, job, log, progress, stop))
        except ImageNotFound:
            return end(Outcome.IMAGE, None, f"its image {job.image.asked} is gone")
        except EngineError as error:
            return end(Outcome.MOUNT, None, str(error))
        except APIError as error:
            return end(cause(str(error.explanation or error)), None, _short(error))
        except (DockerException, RequestException, OSError) as error:
            is_back = _wait_for_daemon(self.host, job.label, stop)
            return end(Outcome.INFRA, None, gone(_short(error), is_back=is_back))

    def reap(self) -> tuple[str, ...]:
        """Remove containers whose run of Lussac is gone."""
        removed = []
        with _asking(self.host) as client:
            ours = listed(client, stopped=True, label=PARENT)
            alive = {running["Id"] for running in client.api.containers()} if ours else set()
            for container in ours:
                if is_abandoned(container.labels, running=container.id in alive, alive=alive, own=next(own_ids(), "")):
                    with unless_missing():
                        _remove(client, container)
                    removed.append(f"container {container.name} of a run that is gone")
        return tuple(removed)

    def path_of(self, folder: Path) -> str:
        """Return what a folder of this process is on the daemon's machine; raise EngineError where it is nothing there."""
        with connect(self.host) as client:
            here = find(client, folder)
        return str(bind(here, Mount(folder, OUT), subpaths=True)["Source"])


def binds(job: Job, here: Here | None, daemon: Daemon) -> list[Bind]:
    """Return the mounts of a job as the daemon's machine knows them; one inside another comes after it.

    Raises
    ------
    EngineError
        If a folder doesn't exist, which podman would make without a word, or is unknown there.
    """
    if missing := [mount.source for mount in job.mounts if not mount.source.exists()]:
        raise EngineError(f"{missing[0]} doesn't exist. Was it removed while sorters were running?")
    subpaths = daemon.api >= SUBPATHS_SINCE
    return [bind(here, mount, subpaths=subpaths) for mount in sorted(job.mounts, key=lambda mount: mount.target)]


def create_arguments(job: Job, daemon: Daemon, mounts: list[Bind], gpus: tuple[str, ...]) -> dict[str, Any]:
    """Return a job as arguments of the SDK; pure but for a look at the owner of its output folder.

    Parameters
    ----------
    job
        What to run.
    daemon
        What the daemon says about itself.
    mounts
        The mounts of the job, on the daemon's machine.
    gpus
        Those that this process may use.
    """
    owner = job.source(OUT).stat()
    user = "0:0" if daemon.rootless or "root" in job.relaxed else f"{owner.st_uid}:{owner.st_gid}"
    arguments: dict[str, Any] = {
        "image": job.image.start,
        "entrypoint": [job.argv[0]],
        "command": list(job.argv[1:]),
        "environment": {**CACHES, **job.env},
        **spelled(mounts, podman=daemon.podman),
        "working_dir": WORK,
        "user": user,
        "network_mode": "host" if "network" in job.relaxed else "none",
        "read_only": "writable-root" not in job.relaxed,
        "tmpfs": {"/tmp": "mode=1777,exec"},  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "nano_cpus": job.limits.cores * 1_000_000_000,
        "pids_limit": 8192,
        "shm_size": job.limits.memory or daemon.memory,
        "detach": True,
    }
    if user == "0:0" and not daemon.rootless and owner.st_uid:
        arguments["cap_add"] = ROOTS_RIGHTS
    if daemon.remaps_users:
        arguments["userns_mode"] = "host"  # else its files would belong to a number that nobody outside has
    if job.limits.memory:
        arguments |= {"mem_limit": job.limits.memory, "memswap_limit": job.limits.memory}
    if job.gpu:
        arguments["device_requests"] = [gpu_request(gpus, cdi=daemon.cdi)]
    return arguments


def enforced(job: Job, daemon: Daemon | None) -> tuple[str, ...]:
    """Return which limits a daemon really enforces, None being one that didn't answer; pure."""
    has_groups = daemon is not None and (not daemon.rootless or daemon.cgroup == "2")
    return (*(("cores", "memory") if has_groups else ()), "seconds", *(() if "network" in job.relaxed else ("network",)))


def is_risky(daemon: Daemon, here: Here | None) -> bool:
    """Tell whether a container may see other folders or have another user than this process expects; pure."""
    return here is not None or daemon.podman or daemon.rootless or daemon.remaps_users or daemon.selinux


def labels(job: Job, parent: str, here: Here | None, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells later runs whose container this is, and whose its files; pure but for a look at the output folder."""
    found = {RUN: job.label, PARENT: parent}
    if here and here.container:
        found[CONTAINER] = here.container
    if "cap_add" in arguments:
        owner = job.source(OUT).stat()
        found[OWNER] = f"{owner.st_uid}:{owner.st_gid}"
    return found


def is_abandoned(labels: Mapping[str, str], *, running: bool, alive: Collection[str], own: str) -> bool:
    """Tell whether the run of Lussac that started a container is gone.

    Parameters
    ----------
    labels
        Of the container.
    running
        Whether it still runs.
    alive
        The ids of all containers that run.
    own
        The id of the container that this process runs in, as far as it is known.
    """
    parent, container = labels[PARENT], labels.get(CONTAINER, "")
    if container and container not in alive:
        return True
    if is_of_another_boot(parent):  # this machine was started anew, or another one shares the daemon, whose runs are its own
        return not running
    if container and container == own and not is_of_this_namespace(parent):
        return True  # this container was started anew
    return is_gone(parent)


def reference(asked: str, attributes: Mapping[str, Any]) -> ImageRef:
    """Read what the daemon says about an image; pure.

    Raises
    ------
    EngineError
        If `asked` has a digest and the image another.
    """
    name, _, digest = asked.partition("@")
    digests = [entry for entry in attributes.get("RepoDigests") or () if not entry.startswith("localhost/")]
    if digest and not any(entry.endswith(digest) for entry in digests):
        raise EngineError(
            f"{asked} was asked for, and the image here is {', '.join(digests) or attributes['Id']}; pull it again."
        )
    repository = name.rpartition(":")[0] or name
    pinned = next((entry for entry in digests if entry.partition("@")[0].endswith(repository)), next(iter(digests), ""))
    layers = attributes["RootFS"]["Layers"]
    config = attributes.get("Config") or {}
    labels = {f"label {key}": value for key, value in sorted((config.get("Labels") or {}).items())}
    return ImageRef(
        asked=asked,
        start=attributes["Id"],
        digest=pinned.partition("@")[2],
        rootfs=rootfs_digest(layers),
        source="registry" if pinned else "local-build",
        details={"id": attributes["Id"], "platform": f"{attributes['Os']}/{attributes['Architecture']}", **labels},
    )


def rootfs_digest(layers: list[str]) -> str:
    """Return the hash of an image's layers, which every engine and store agrees on."""
    return "sha256:" + hashlib.sha256("\n".join(layers).encode()).hexdigest()


def cause(message: str) -> Outcome:
    """Say what a refusal of the daemon means; pure."""
    text = message.lower()
    if "invalid mount" in text or "bind source path" in text or "mounting" in text or "statfs" in text:
        return Outcome.MOUNT
    if "device driver" in text or "nvidia" in text or "cdi device" in text:
        return Outcome.GPU
    if "executable file not found" in text or "exec format" in text or "no such image" in text or "no such file" in text:
        return Outcome.IMAGE
    return Outcome.INFRA


@contextlib.contextmanager
def _asking(host: str) -> Iterator[docker.DockerClient]:
    """Give a client; raise EngineError where the daemon has gone since it was chosen."""
    try:
        with connect(host) as client:
            yield client
    except APIError:
        raise
    except (DockerException, RequestException, ConnectionError, FileNotFoundError, TimeoutError) as error:
        raise EngineError(f"the docker daemon went away ({_short(error)}); start it again, then run again") from error


@contextlib.contextmanager
def _container(client: docker.DockerClient, arguments: Mapping[str, Any]) -> Iterator[Container]:
    container = client.containers.create(**arguments)
    try:
        yield container
    finally:
        with unless_missing():
            _remove(client, container)


def _remove(client: docker.DockerClient, container: Container) -> None:
    """Remove a container, and give what it has written as root to the owner of the folders."""
    try:
        if owner := container.labels.get(OWNER):
            with contextlib.suppress(APIError):  # it has ended already
                container.kill()
            _answer(client, giving_back(container.id, container.attrs["Image"], owner))
    finally:
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if error.status_code != CONFLICT:  # else somebody is removing it already
                raise


def giving_back(container: str, image: str, owner: str) -> dict[str, Any]:
    """Return the arguments of a container that gives the files of another to their owner; pure."""
    return {
        "image": image,
        "entrypoint": ["chown"],
        "command": ["-R", "--no-dereference", owner, OUT, WORK],
        "volumes_from": [container],
        "user": "0:0",
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "cap_add": ROOTS_RIGHTS,
        "security_opt": ["no-new-privileges"],
    }


def _watch(
    container: Container, job: Job, log: Path, progress: Progress, stop: threading.Event
) -> tuple[Outcome, int | None, str]:
    """Start a container and wait for its end."""
    with log.open("ab") as file:
        writer = threading.Thread(target=_copy_log, args=(container, file.fileno()), daemon=True)
        container.start()
        writer.start()
        ended, code = supervise(lambda: _exit_code(container), log, job.limits.seconds, progress, stop)
        if ended:
            container.kill()  # at once: nothing of a sorter that was stopped is used
        writer.join(5)
    container.reload()
    out_of_memory = container.attrs["State"].get("OOMKilled", False) or code == KILLED
    outcome, message = judge(ended, code, job.limits, out_of_memory=out_of_memory)
    return outcome, code, message


def _answer(client: docker.DockerClient, arguments: Mapping[str, Any]) -> Answer:
    """Run a short program in a container of its own to its end."""
    with _container(client, arguments) as container:
        container.start()
        code = container.wait(timeout=60)["StatusCode"]
        return Answer(code, container.logs().decode(errors="replace"))


def _copy_log(container: Container, file: int) -> None:
    """Copy what a container writes, as it writes, into an open file."""
    with (
        contextlib.suppress(DockerException, RequestException, OSError),
        contextlib.closing(container.logs(stream=True, follow=True)) as pieces,
    ):
        for piece in pieces:
            os.write(file, piece)


def _exit_code(container: Container) -> int | None:
    container.reload()
    state = container.attrs["State"]
    return state["ExitCode"] if state["Status"] in ("exited", "dead") else None


def _wait_for_daemon(host: str, label: str, stop: threading.Event) -> bool:
    """Wait for a daemon that restarts, and remove what it still has of a job; tell whether it came back."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not stop.is_set():
        try:
            with connect(host) as client:
                _remove_all(client, label)
        except (DockerException, RequestException, OSError):
            stop.wait(0.5)
        else:
            return True
    return False


def _remove_all(client: docker.DockerClient, label: str) -> None:
    """Remove the containers of a job."""
    for container in listed(client, stopped=True, label=f"{RUN}={label}"):
        with unless_missing():
            _remove(client, container)


def gone(reason: str, *, is_back: bool) -> str:
    """Say that a daemon went away in the middle of a job; pure."""
    end = "" if is_back else "; what it left of this sorter is removed when docker, and then Lussac, is started again"
    return f"the docker daemon went away ({reason}){end}"


def _pulled(client: docker.DockerClient, image: str, *, pull: bool) -> Mapping[str, Any]:
    """Pull an image; return what the daemon says about it."""
    if not pull:
        raise EngineError(f"{image} is not in docker's store; build it (make images) or name another image.")
    try:
        client.images.pull(image) if "@" in image or ":" in image.rpartition("/")[2] else client.images.pull(image, tag="latest")
        return dict(client.images.get(image).attrs)
    except (DockerException, RequestException) as error:
        raise EngineError(f"{image} can't be pulled ({_short(error)}); look at its name and at the network.") from error


def _short(error: Exception) -> str:
    text = str(getattr(error, "explanation", None) or error)
    return text.strip().splitlines()[-1][:300] if text.strip() else type(error).__name__


def _shown(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments as lines for the record."""
    return tuple(f"{key}={value}" for key, value in arguments.items())
