"""The images of sorters: listed, pulled, pinned in a lock file, and compared with it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussac import params
from lussac.engines.base import Engine, ImageRef
from lussac.errors import EngineError, UsageError
from lussac.sorters.catalogue import catalogue
from lussac.store import write_atomically

FORMAT = 2
LOCK = params.LOCK


@dataclass(frozen=True, slots=True)
class Entry:
    """A sorter of the catalogue, and which engines have its image here."""

    sorter: str
    image: str
    version: str
    gpu: str
    deterministic: str
    licence: str
    ready: tuple[str, ...]
    why_not: str


def entries(engines: Iterable[Engine]) -> list[Entry]:
    """Return the catalogue with what is ready on these engines, which must be available."""
    known = tuple(engines)
    return [
        Entry(
            sorter=sorter,
            image=row.image,
            version=row.version,
            gpu=row.gpu,
            deterministic=row.deterministic,
            licence=row.licence,
            ready=tuple(engine.name for engine in known if (image := _runs_in(engine, sorter)) and engine.has_image(image)),
            why_not=row.why_not,
        )
        for sorter, row in catalogue().items()
    ]


def pull(sorter: str, engine: Engine) -> ImageRef:
    """Get the image of a sorter, so that runs find it offline.

    Raises
    ------
    EngineError
        If it can't be had: an image without a digest in the catalogue is built on this machine, never pulled.
    """
    row = catalogue()[sorter]
    if engine.name != "local" and not row.image:
        raise EngineError(f"There is no image of ours for {sorter}: {row.why_not}. Name one in params.json.")
    return engine.resolve(_runs_in(engine, sorter), pull=bool(row.digest))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sorter run of the params is to run in.

    Parameters
    ----------
    sorter
        In the catalogue.
    engine
        That has or gets the image.
    image
        As the params or the catalogue name it.
    """

    sorter: str
    engine: Engine
    image: str


def lock(runs: Mapping[str, Wanted]) -> dict[str, Any]:
    """Pin the images of sorter runs, by the names of their analyses, as they are now.

    Returns
    -------
    dict
        What `write` puts into params.lock.json: the digest, the hash of the contents and the platform of each.
    """
    pinned = {}
    for name, wanted in sorted(runs.items()):
        row = catalogue()[wanted.sorter]
        image = wanted.engine.resolve(wanted.image, pull=bool(row.digest) or wanted.image != row.reference)
        facts = {"sorter": wanted.sorter, "image": image.asked, "digest": image.digest, "rootfs": image.rootfs}
        pinned[name] = facts | _platform(image)
    return {"format": FORMAT, "images": pinned}


def write(locked: Mapping[str, Any], file: Path) -> None:
    """Write a lock file, so that equal locks give equal bytes."""
    write_atomically(file, json.dumps(locked, indent=2, sort_keys=True) + "\n")


def read(file: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the pinned images by the name of the analysis.

    Raises
    ------
    UsageError
        If there is no lock file, or it isn't one.
    """
    try:
        locked = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{file} doesn't exist. Write it with `lussac images lock`.") from None
    except ValueError as error:
        raise UsageError(f"{file} is not JSON ({error}). Write it anew with `lussac images lock`.") from error
    if not isinstance(locked, dict) or locked.get("format") != FORMAT:
        raise UsageError(f"{file} is no lock file of this version. Write it anew with `lussac images lock`.")
    return dict(locked["images"])


def check(name: str, image: ImageRef, locked: Mapping[str, Mapping[str, str]]) -> None:
    """Raise EngineError unless an image is the one that is pinned for a sorter run.

    Its layers say so; where an engine can't tell them (apptainer from a registry), the digest of its manifest does.
    """
    pinned = locked.get(name)
    if pinned is None:
        raise EngineError(f"{name} is not in the lock file, and --locked was asked for. Add it with `lussac images lock`.")
    same_digest = bool(image.digest) and pinned["digest"] == image.digest
    if pinned["rootfs"] != image.rootfs and not same_digest:
        raise EngineError(
            f"The image of {name} here is {image.rootfs}, the lock file has {pinned['rootfs']}. "
            "Pull or build the pinned one, or pin this one with `lussac images lock`."
        )


def verify(locked: Mapping[str, Mapping[str, str]], engine: Engine) -> dict[str, str]:
    """Return what is wrong with each pinned image on an engine; empty where it is the pinned one."""
    found = {}
    for name, pinned in locked.items():
        try:
            check(name, engine.resolve(pinned["image"], pull=False), locked)
        except EngineError as error:
            found[name] = str(error)
        else:
            found[name] = ""
    return found


def _runs_in(engine: Engine, sorter: str) -> str:
    row = catalogue()[sorter]
    return row.needs({}) if engine.name == "local" else row.reference


def _platform(image: ImageRef) -> dict[str, str]:
    return {"platform": image.details["platform"]} if "platform" in image.details else {}
