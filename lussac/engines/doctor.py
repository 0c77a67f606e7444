"""What an engine needs on this machine, looked at one by one, with the fix for what is missing."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lussac import inside
from lussac.engines import ENGINES
from lussac.engines.base import Engine
from lussac.errors import EngineError
from lussac.inside import Kind

ENOUGH, TOO_LITTLE = 20e9, 1e9
"""Bytes that a recording and the scratch of its sorters soon fill; and that nobody can sort with."""


class Verdict(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    about
        What it was.
    verdict
        Whether sorters can run with it.
    found
        What is there.
    fix
        What to do; empty where nothing has to be done.
    """

    about: str
    verdict: Verdict
    found: str
    fix: str = ""


def examine(folder: Path, images: Mapping[str, str], packages: Mapping[str, str]) -> Iterator[Finding]:
    """Look at everything that runs of sorters need.

    Parameters
    ----------
    folder
        Where results are to go: its disk and its path for containers are looked at.
    images
        The image of each sorter.
    packages
        The distributions that each sorter needs to run without a container, separated by spaces.

    Yields
    ------
    Finding
        As soon as it is found; asking an engine can take seconds.
    """
    for name, make in ENGINES.items():
        engine = make()
        reason = engine.unavailable()
        if reason:
            found, _, fix = reason.partition("; ")
            yield Finding(name, Verdict.NOTE, found, fix)
            continue
        facts = engine.describe()
        described = ", ".join(f"{key} {value}" for key, value in facts.items() if key != "name" and value)
        yield Finding(name, Verdict.GOOD, described)
        if name == "docker" and (note := rights(facts)):
            yield Finding(f"{name} without root", Verdict.NOTE, note)
        if name == "local":
            yield _installed(engine, packages)
        else:
            yield from _images(engine, images)
    yield from _user_namespaces()
    yield _path_mapping(folder)
    yield _gpu()
    yield from (_disk(about, place) for about, place in (("disk of the results", folder), ("shared memory", Path("/dev/shm"))))  # noqa: S108 - it is looked at, not written


def rights(facts: Mapping[str, str]) -> str:
    """Say what it means that a daemon runs without root; empty where it doesn't; pure."""
    if facts.get("rootless") != "True":
        return ""
    limits = "" if facts.get("cgroup") == "2" else "; limits of memory and cores are not enforced without cgroup v2"
    return f"sorters run as root of their container, who is you outside: their files belong to you{limits}"


def _images(engine: Engine, images: Mapping[str, str]) -> Iterator[Finding]:
    """Tell which sorters have their image, without pulling or making any."""
    present: list[str] = []
    absent: list[str] = []
    for sorter, image in sorted(images.items()):
        if not image:
            continue
        try:
            (present if engine.has_image(image) else absent).append(sorter)
        except EngineError as error:
            yield Finding(f"{engine.name} image {sorter}", Verdict.BAD, str(error))
    about = f"{engine.name} images"
    if present:
        yield Finding(about, Verdict.GOOD, f"{', '.join(present)} ready")
    if absent:
        yield Finding(
            about, Verdict.NOTE, f"{', '.join(absent)} not here", "make image-<sorter>, or name an image in params.json"
        )


def _installed(engine: Engine, packages: Mapping[str, str]) -> Finding:
    """Tell which sorters run without a container."""
    present = [sorter for sorter, needed in packages.items() if engine.has_image(needed)]
    where = "in this environment" if inside.here().kind is Kind.ELSEWHERE else "inside this image"
    return Finding("local sorters", Verdict.GOOD, f"{', '.join(present)} run {where}")


def _user_namespaces() -> Iterator[Finding]:
    """Tell whether a user without root may run containers with apptainer."""
    if os.geteuid() == 0:
        return
    for file, forbidden, fix in (
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
    ):
        if Path(file).exists() and Path(file).read_text().strip() == forbidden:
            yield Finding("user namespaces", Verdict.BAD, f"forbidden by {file}", f"ask the administrator for: {fix}")
            return
    yield Finding("user namespaces", Verdict.GOOD, "allowed")


def _path_mapping(folder: Path) -> Finding:
    """Tell what the folder is for the docker daemon."""
    about = "path mapping"
    from lussac.engines.docker import DockerEngine  # noqa: PLC0415 - docker takes half a second to import

    engine = DockerEngine()
    if reason := engine.unavailable():
        return Finding(about, Verdict.NOTE, f"not looked at: {reason.partition(';')[0]}")
    folder = _existing(folder)
    try:
        there = engine.path_of(folder)
    except EngineError as error:
        found, _, fix = str(error).partition(". ")
        return Finding(about, Verdict.BAD, found, fix)
    except OSError as error:
        seen = inside.here()
        is_image = seen.kind is not Kind.ELSEWHERE and seen.mount_of(folder) is None  # nobody has named a folder yet
        found = f"{folder} can't be written ({error.strerror})"
        return Finding(about, Verdict.NOTE if is_image else Verdict.BAD, found, inside.unwritable(folder, seen))
    same = "the same path" if there == os.path.realpath(folder) else there
    return Finding(about, Verdict.GOOD, f"{folder} is {same} for the docker daemon")


def _gpu() -> Finding:
    for name, make in ENGINES.items():
        engine = make()
        if engine.unavailable() is None and engine.offers_gpu():
            return Finding("GPU", Verdict.GOOD, f"offered by {name}")
    return Finding(
        "GPU",
        Verdict.NOTE,
        "none is offered by any engine",
        "kilosort 1 to 3 need one; install the NVIDIA driver and container toolkit",
    )


def _disk(about: str, folder: Path) -> Finding:
    existing = _existing(folder)
    free = shutil.disk_usage(existing).free
    text = f"{free / 1e9:.0f} GB free in {existing}"
    if free < ENOUGH and about.startswith("disk"):
        return Finding(about, Verdict.BAD if free < TOO_LITTLE else Verdict.NOTE, text, "free some space, or write elsewhere")
    return Finding(about, Verdict.GOOD, text)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
