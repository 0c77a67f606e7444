"""The recipes of images: what each is built from. Two recipes serve all sorters; a folder per sorter says what differs."""

import gzip
import io
import re
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lussac import __version__, provenance
from lussac.engines.base import ImageRef
from lussac.errors import EngineError, UsageError
from lussac.params import Strict
from lussac.sorters.catalogue import catalogue

BASE = "base"
"""The image below those of Python sorters, and its folder."""
INSTALLED = Path(__file__).parents[1] / "containers"
CHECKOUT = Path(__file__).parents[2] / "containers"


class Recipe(Strict):
    """What an image needs besides its requirements: containers/<folder>/recipe.toml.

    Parameters
    ----------
    published
        Of a sorter that can't be built from packages: the image, without a tag, that SpikeInterface is laid over.
    python
        The Python of a published image that SpikeInterface is laid over.
    alone
        Built on a Python image, not on ours with SpikeInterface: another SpikeInterface or NumPy is needed.
    build_packages, packages
        Debian's, needed to build, and in the image.
    environment
        Variables of the image.
    """

    published: str = ""
    python: str = "python"
    alone: bool = False
    build_packages: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the user says about a build.

    Parameters
    ----------
    base
        The image to build on; each recipe has its own.
    wheels
        A folder of wheels that are tried before the package index.
    torch_index
        The address of a package index with builds of torch for the CPU.
    requirements
        Another lock file of the sorter's folder than ``requirements.txt``.
    """

    base: str = ""
    wheels: Path | None = None
    torch_index: str = ""
    requirements: str = "requirements.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """All that a builder is given."""

    tag: str
    files: Mapping[str, Path | str] = field(repr=False)
    arguments: Mapping[str, str]
    labels: Mapping[str, str]


def folder() -> Path:
    """Return the folder of the recipes: of the installed package, or of the checkout that it runs from."""
    return INSTALLED if INSTALLED.is_dir() else CHECKOUT


def read(name: str) -> Recipe:
    """Return the recipe of a sorter, or of `BASE`.

    Raises
    ------
    UsageError
        If there is none; with the reason that the catalogue has.
    """
    place = folder() / name
    if not place.is_dir() or (name != BASE and name not in catalogue()):
        row = catalogue().get(name)
        reason = (
            f"{name} has no image: {row.why_not}." if row else f"There is no sorter {name!r}. `lussac images list` names all."
        )
        raise UsageError(reason)
    file = place / "recipe.toml"
    return Recipe.model_validate(tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {})


def python_image() -> str:
    """Return the Python image below all, as the recipe pins it."""
    pinned = re.search(r"^ARG BASE_IMAGE=(\S+)", (folder() / "python.Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if pinned is None:
        raise ValueError("python.Dockerfile names no BASE_IMAGE")
    return pinned[1]


def tag(name: str) -> str:
    """Return the name of the image that a recipe makes."""
    if name != BASE:
        return catalogue()[name].image
    pinned = re.search(r"^spikeinterface==(\S+)", (folder() / BASE / "requirements.in").read_text(), re.MULTILINE)
    if pinned is None:
        raise ValueError(f"{BASE}/requirements.in pins no SpikeInterface")
    return f"lussac/{BASE}:{pinned[1]}"


def base_of(name: str, sources: Sources) -> str:
    """Return the image that a recipe starts from.

    Raises
    ------
    UsageError
        If only the user can know it: the digest of a published image.
    """
    recipe = read(name)
    if recipe.published:
        if not sources.base:
            raise UsageError(
                f"{name} can't be built from packages: its image is the published one with SpikeInterface laid over it. Name the "
                f"published one by its digest: BASE_IMAGE={recipe.published}@sha256:... lussac images build {name} "
                f"(`docker pull {recipe.published}:TAG` prints it)."
            )
        return sources.base
    return (sources.base or python_image()) if name == BASE or recipe.alone else tag(BASE)


def refuse_moving(name: str, base: ImageRef) -> None:
    """Raise UsageError where a published image is named by a tag, which may be another image tomorrow; one made here can't be."""
    if read(name).published and base.digest and "@" not in base.asked:
        repository = base.asked.partition(":")[0]
        raise UsageError(f"{base.asked} is a tag, which may move. Its digest today: BASE_IMAGE={repository}@{base.digest}")


def lacks(name: str, sources: Sources) -> str:
    """Return what the user has to say before an image can be built; empty where nothing is missing."""
    recipe = read(name)
    if recipe.published:
        return "" if sources.base else f"BASE_IMAGE={recipe.published}@sha256:..."
    wants_torch = "+cpu" in (folder() / name / _requirements(name, sources)).read_text(encoding="utf-8")
    known = sources.wheels or sources.torch_index
    return "where torch for the CPU is: WHEELS=folder or TORCH_INDEX=address" if wants_torch and not known else ""


def plan(name: str, base: ImageRef, sources: Sources) -> Build:
    """Say what a builder needs to make an image.

    Parameters
    ----------
    name
        A sorter, or `BASE`.
    base
        The image that it starts from, as the builder has it.
    sources
        What the user says.
    """
    recipe = read(name)
    refuse_moving(name, base)
    shared = folder() / ("published.Dockerfile" if recipe.published else "python.Dockerfile")
    variables = "".join(f'ENV {key}="{value}"\n' for key, value in sorted(recipe.environment.items()))
    files: dict[str, Path | str] = {"Dockerfile": shared.read_text(encoding="utf-8") + variables, "slim.py": folder() / "slim.py"}
    arguments = {"BASE_IMAGE": base.start}
    if recipe.published:
        files |= {file.name: file for file in sorted((folder() / "published").glob("*.txt"))}
        arguments |= {"PYTHON": recipe.python, "PACKAGES": " ".join(recipe.packages)}
    else:
        requirements = _requirements(name, sources)
        files[requirements] = folder() / name / requirements
        files |= {f"wheels/{wheel.name}": wheel for wheel in sorted(sources.wheels.glob("*.whl"))} if sources.wheels else {}
        arguments |= {
            "REQUIREMENTS": requirements,
            "BUILD_PACKAGES": " ".join(recipe.build_packages),
            "PACKAGES": " ".join(recipe.packages),
            "TORCH_INDEX": sources.torch_index,
        }
    return Build(tag=tag(name), files=files, arguments=arguments, labels=labels(name, base))


def labels(name: str, base: ImageRef) -> dict[str, str]:
    """Return the labels of an image: what it is, and what it was made of."""
    repository, _, version = tag(name).rpartition(":")
    prefix = "org.opencontainers.image"
    own = (
        {f"{prefix}.description": "Python and SpikeInterface, for images of spike sorters", f"{prefix}.licenses": "MIT"}
        if name == BASE
        else {
            f"{prefix}.description": f"The spike sorter {name}, for Lussac",
            f"{prefix}.licenses": catalogue()[name].licence,
            "io.lussac.sorter": name,
        }
    )
    digest = {f"{prefix}.base.digest": base.digest} if base.digest else {}
    return {
        **own,
        **digest,
        f"{prefix}.title": repository,
        f"{prefix}.version": version,
        f"{prefix}.revision": revision(),
        f"{prefix}.base.name": base.asked,
        "io.lussac.base.rootfs": base.rootfs,
        "io.lussac.runner": "1",
    }


def revision() -> str:
    """Return the commit of the recipes, or the version of Lussac where they were installed with it."""
    if folder() != CHECKOUT:
        return __version__
    found = provenance.revision(CHECKOUT.parent)
    return str(found["commit"]) if found else __version__


def how_to_build(name: str) -> str:
    """Return a sentence with the command that makes an image of ours."""
    missing = lacks(name, Sources())
    if not missing or missing.startswith("BASE_IMAGE"):
        return f"Its image is made by: {f'{missing} ' if missing else ''}lussac images build {name}"
    return f"Its image is made by `lussac images build {name}`; say {missing}."


def buildable(names: Iterable[str], sources: Sources) -> tuple[list[str], dict[str, str]]:
    """Part sorters into those that can be built with what the user says, and what is missing for the others."""
    missing = {name: lacks(name, sources) for name in names}
    return [name for name, what in missing.items() if not what], {name: what for name, what in missing.items() if what}


def with_recipe() -> list[str]:
    """Return the sorters that have a recipe."""
    return [name for name in catalogue() if (folder() / name).is_dir()]


def from_packages() -> list[str]:
    """Return the sorters whose images are made from Python packages."""
    return [name for name in with_recipe() if not read(name).published]


def write_context(files: Mapping[str, Path | str], target: BinaryIO) -> None:
    """Write the files of a build as a tar archive whose bytes depend on nothing but theirs."""
    with (
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, content in sorted(files.items()):
            for stream, size in _opened(content):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = size, 0o644
                tar.addfile(entry, stream)


def _opened(content: Path | str) -> Iterator[tuple[BinaryIO, int]]:
    if isinstance(content, str):
        data = content.encode()
        yield io.BytesIO(data), len(data)
        return
    with content.open("rb") as stream:
        yield stream, content.stat().st_size


def _requirements(name: str, sources: Sources) -> str:
    """Return the lock file to install: the user's choice where the folder has it."""
    chosen = sources.requirements
    place = folder() / name
    if name != BASE and not (place / chosen).is_file():
        found = ", ".join(sorted(file.name for file in place.glob("requirements*.txt")))
        raise EngineError(f"{place} has no {chosen}; it has {found}.")
    return chosen if name != BASE else "requirements.txt"
