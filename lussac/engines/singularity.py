"""Apptainer and singularity: a job is a command below our guard, in an image file of our own store."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lussac import inside
from lussac.engines.base import CACHES, WORK, Exit, ImageRef, Job, Mount, Outcome, Progress, Tail, judge
from lussac.engines.daemon import MACHINES
from lussac.engines.docker import DockerEngine, rootfs_digest
from lussac.engines.gpus import allotted, handed_on
from lussac.engines.guard import OVER_MEMORY
from lussac.engines.local import LocalEngine
from lussac.engines.oci import pulled_layers
from lussac.engines.process import run_guarded
from lussac.engines.spython import Commands
from lussac.errors import EngineError
from lussac.inside import Kind

PROGRAMS = ("apptainer", "singularity")
SETTINGS = ("CACHEDIR", "TMPDIR", "CONFIGDIR")
"""What the user's own variables may say; all others would change what a job sees."""
FATAL = re.compile(r"FATAL:\s*(.*)")
MAGIC, MAGIC_AT, ARCHITECTURE_AT = b"SIF_MAGIC\0", 32, 45
"""Of an image file: what it begins with, after a line that starts it, and where the processor is named."""
ARCHITECTURES = {b"01": "386", b"02": "amd64", b"03": "arm", b"04": "arm64", b"05": "ppc64", b"06": "ppc64le", b"11": "s390x"}


def default_store() -> Path:
    """Return the folder of image files: $LUSSAC_SIF_DIR, or one in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("LUSSAC_SIF_DIR") or cache / "lussac" / "sif")


@dataclass(frozen=True, slots=True)
class SingularityEngine:
    """Runs jobs with apptainer or singularity, as the user who runs Lussac.

    Parameters
    ----------
    store
        Where image files are kept.
    """

    name: str = "singularity"
    runs_as_owner: bool = False
    store: Path = field(default_factory=default_store)

    def unavailable(self) -> str | None:
        """Return None, or why there is no program that answers."""
        program = _program()
        if program is None:
            return inside.no_apptainer(inside.here())
        try:
            Commands(program).ask("version")
        except EngineError as error:
            return f"{program} doesn't run ({error}); reinstall it"
        return None

    def describe(self) -> Mapping[str, str]:
        """Return flavour and version."""
        program = self._command()
        return {
            "name": self.name,
            "flavour": Path(program).name,
            "version": Commands(program).ask("version").strip(),
            "rootless": str(os.geteuid() != 0),
        }

    def resolve(self, image: str, *, pull: bool) -> ImageRef:
        """Find an image file, or make it from docker's image or from the registry.

        Parameters
        ----------
        image
            The path of a ``.sif``, or a reference as for docker.
        pull
            Whether it may be pulled.

        Raises
        ------
        EngineError
            If there is none, it can't be made, it is not what was stored, or it can't be started from within a container.
        """
        found = self._found(image, pull=pull)
        if inside.here().kind is Kind.APPTAINER and (refusal := Commands(self._command()).refusal(found.start)):
            raise EngineError(f"apptainer can't start a container from within this one ({refusal})")
        return found

    def _found(self, image: str, *, pull: bool) -> ImageRef:
        """Return an image file that is here, or make it."""
        if image.endswith(".sif"):
            return _checked(image, Path(image).expanduser().absolute(), {})
        source = self._from_docker(image)
        for file, note in self._notes():
            if note["asked"] == image and (source is None or note["rootfs"] == source.rootfs):
                return _checked(image, file, note)
        if source is None and not pull:
            raise EngineError(f"{image} is neither in {self.store} nor in a docker store here; build it, or name a .sif.")
        return self._made(image, source)

    def has_image(self, image: str) -> bool:
        """Tell whether the store has an image file of this name."""
        return any(note["asked"] == image for _, note in self._notes())

    def offers_gpu(self) -> bool:
        """Tell whether this machine has a GPU: apptainer gives what is there."""
        return LocalEngine().offers_gpu()

    def has_gpu(self, image: ImageRef) -> bool:
        """Ask a container of this image for its GPUs."""
        if not allotted(os.environ):
            return False
        try:
            return "GPU" in Commands(self._command()).ask("exec", "--containall", "--nv", image.start, "nvidia-smi", "-L")
        except EngineError:
            return False

    def run(self, job: Job, log: Path, progress: Progress, stop: threading.Event) -> Exit:
        """Run a job as a process that sees only its folders."""
        begin = time.monotonic()
        program = self._command()
        isolated = "network" not in job.relaxed and Commands(program).can_isolate_network(job.image.start)
        command = (program, *arguments(job, isolate_network=isolated))
        env = environment(os.environ, {**job.env, **(handed_on(os.environ) if job.gpu else {})})
        ended, code = run_guarded(command, env, job.source(WORK), job.limits, log, progress, stop)
        outcome, message = judge(ended, code, job.limits, out_of_memory=code == OVER_MEMORY)
        if outcome is Outcome.SORTER_ERROR and (refusal := _refusal(log)):
            outcome, message = cause(refusal), refusal
        return Exit(
            outcome=outcome,
            code=code,
            message=message,
            seconds=time.monotonic() - begin,
            command=command,
            enforced=("memory", "seconds", *(["network"] if isolated else [])),
        )

    def reap(self) -> tuple[str, ...]:
        """Remove image files that a dead run had begun to write; its processes died with it."""
        removed = []
        for part in self.store.glob(".*.part"):
            with contextlib.suppress(BlockingIOError), _locked(self.store / ".lock", wait=False):
                part.unlink(missing_ok=True)
                removed.append(f"the unfinished image {part.name}")
        return tuple(removed)

    def _notes(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield the image files of the store, with what was noted when they were made."""
        for sidecar in sorted(self.store.glob("*.json")):
            yield sidecar.with_suffix(".sif"), json.loads(sidecar.read_text())

    def _command(self) -> str:
        program = _program()
        if program is None:
            raise EngineError(str(self.unavailable()))
        return program

    def _from_docker(self, image: str) -> ImageRef | None:
        """Return docker's image of this name, if a daemon has it: then both engines run the same bytes."""
        docker = DockerEngine()
        if docker.unavailable():
            return None
        try:
            return docker.resolve(image, pull=False)
        except EngineError:
            return None

    def _made(self, image: str, source: ImageRef | None) -> ImageRef:
        """Make an image file beside and rename it, with a note of what it is."""
        self.store.mkdir(parents=True, exist_ok=True)
        part = self.store / f".{secrets.token_hex(4)}.part"
        origin = f"docker-daemon:{_tagged(image)}" if source else f"docker://{image}"
        with _locked(self.store / ".lock", wait=True):
            try:
                Commands(self._command()).build(part, origin)
                digest = file_digest(part)
                manifest = source.digest if source else image.partition("@")[2]
                rootfs = source.rootfs if source else pulled_rootfs(manifest) or f"sif:{digest}"
                note: dict[str, Any] = {
                    "asked": image,
                    "digest": manifest,
                    "rootfs": rootfs,
                    "sha256": digest,
                    "made by": " ".join(self.describe()[key] for key in ("flavour", "version")),
                    "origin": origin,
                }
                name = re.sub(r"[^\w.-]", "-", image.partition("@")[0].rpartition("/")[2])
                final = self.store / f"{name}-{rootfs.rpartition(':')[2][:12]}.sif"
                part.replace(final)
            finally:
                part.unlink(missing_ok=True)
            final.with_suffix(".json").write_text(json.dumps({**note, **_stamp(final)}, indent=2))
        return _checked(image, final, note)


def arguments(job: Job, *, isolate_network: bool) -> tuple[str, ...]:
    """Return a job as arguments of ``apptainer``; pure.

    HOME is set by ``env`` inside: apptainer refuses to set it itself without mounting a home.
    """
    flags = ["--quiet", "exec", "--containall", "--cleanenv", "--no-home", "--no-eval", "--no-privs", "--pid", "--pwd", WORK]
    if isolate_network:
        flags += ["--net", "--network", "none"]
    if job.gpu:
        flags.append("--nv")
    if "writable-root" in job.relaxed:
        flags.append("--writable-tmpfs")
    for mount in sorted(job.mounts, key=lambda mount: mount.target):
        flags += ["--mount", bind(mount)]
    return (*flags, job.image.start, "env", f"HOME={CACHES['HOME']}", *job.argv)


def bind(mount: Mount) -> str:
    """Return a mount as the engine's comma-separated line, quoted as CSV so that any path can be named."""
    fields = ["type=bind", f"source={os.path.realpath(mount.source)}", f"destination={mount.target}"]
    if mount.read_only:
        fields.append("ro")
    return ",".join(_quoted(part) if re.search(r'[",\s]', part) else part for part in fields)


def environment(user: Mapping[str, str], job: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the engine's process; pure.

    Parameters
    ----------
    user
        The user's own: variables of the engine in it, less a few settings of the site, would change what a job sees.
    job
        What the job gets.
    """
    prefixes = ("APPTAINER", "SINGULARITY")
    allowed = {f"{prefix}_{name}" for prefix in prefixes for name in SETTINGS}
    kept = {name: value for name, value in user.items() if not name.startswith(prefixes) or name in allowed}
    handed = {name: value for name, value in {**CACHES, **job}.items() if name != "HOME"}
    return kept | {f"{prefix}ENV_{name}": value for prefix in prefixes for name, value in handed.items()}


def cause(message: str) -> Outcome:
    """Say what a refusal of the engine means; pure."""
    text = message.lower()
    if "corrupted" in text or "squashfs" in text:
        return Outcome.IMAGE
    if "mount" in text or "bind" in text:
        return Outcome.MOUNT
    if "nvidia" in text or "cuda" in text:
        return Outcome.GPU
    if "image" in text or "architecture" in text or "executable file not found" in text or "not a valid" in text:
        return Outcome.IMAGE
    return Outcome.INFRA


def pulled_rootfs(manifest: str) -> str:
    """Return the hash of the layers of an image that was pulled by its digest, else that digest; empty for a tag."""
    if not manifest:
        return ""
    layers = pulled_layers(manifest)
    return rootfs_digest(layers) if layers else f"manifest:{manifest}"


def architecture(file: Path) -> str:
    """Return the processor that an image file is made for; raise EngineError if it is no image file."""
    with file.open("rb") as stream:
        head = stream.read(ARCHITECTURE_AT + 2)
    if head[MAGIC_AT : MAGIC_AT + len(MAGIC)] != MAGIC:
        raise EngineError(f"{file} is no image file of apptainer or singularity; was it copied whole? Pull or build it again.")
    return ARCHITECTURES.get(head[ARCHITECTURE_AT:], "another processor")


def file_digest(file: Path) -> str:
    """Return the sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _program() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def _tagged(image: str) -> str:
    """Return a reference with a tag, which the engine wants to see."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _refusal(log: Path) -> str:
    """Return what the engine itself, and not the sorter, last complained about."""
    found = FATAL.match(Tail(log).line())
    return found[1] if found else ""


def _stamp(file: Path) -> dict[str, int]:
    """Return what changes with a file's bytes, and costs nothing to ask."""
    stat = file.stat()
    return {"size": stat.st_size, "mtime": stat.st_mtime_ns, "inode": stat.st_ino}


def _checked(asked: str, file: Path, note: Mapping[str, Any]) -> ImageRef:
    """Return an image file as a reference, after a look whether it is what was stored."""
    if not file.is_file():
        raise EngineError(f"{file} doesn't exist; name another .sif or build it.")
    changed = not note or any(note.get(key) != value for key, value in _stamp(file).items())
    digest = file_digest(file) if changed else note["sha256"]
    if note and digest != note["sha256"]:
        raise EngineError(
            f"{file} is damaged: its sha256 is not the one noted when it was made; delete it, it is then made again."
        )
    made_for = architecture(file)
    here = MACHINES.get(platform.machine(), platform.machine())
    if made_for != here:
        raise EngineError(f"{file} is made for {made_for}, this machine is {here}; pull or build its own.")
    return ImageRef(
        asked=asked,
        start=str(file),
        digest=note.get("digest", ""),
        rootfs=note.get("rootfs", f"sif:{digest}"),
        source="sif",
        details={
            "sif": str(file),
            "sha256": digest,
            "platform": f"linux/{made_for}",
            "made by": note.get("made by", ""),
        },
    )


@contextlib.contextmanager
def _locked(file: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of the store."""
    with file.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
