"""Runs what a record says once more, aside, in the same images."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lussac import modules, params, preprocessing
from lussac.engines import ALIASES, AUTO, ENGINES
from lussac.errors import EngineError, FolderError
from lussac.jsonc import Document
from lussac.pipeline.progress import Watch
from lussac.pipeline.recorded import Recorded
from lussac.pipeline.result import Options
from lussac.pipeline.run import run
from lussac.plan import Plan, compile_plan, module_name
from lussac.store import scratch_folder

CONTAINERS = ("docker", "singularity")
OURS = ("folder", "output_folder", *(f"{engine}_image" for engine in CONTAINERS))
"""Parameters of a sorter's run that say where it goes and in what it runs."""


@contextmanager
def rerun(recorded: Recorded, options: Options, watch: Watch, into: Path | None = None) -> Iterator[Recorded]:
    """Run the params of a record again, and give the new run.

    Nothing that the first run left is read but its inputs, and all that is written goes into one folder.

    Parameters
    ----------
    recorded
        The first run.
    options
        As for `run`; the engines are those of the record unless one is chosen.
    watch
        As for `run`.
    into
        Where to keep the new run, with all that its sorters and exports write. By default it goes to the scratch folder of the
        params and is removed when the block ends.

    Raises
    ------
    LussacError
        As `run` does. An `EngineError` is raised before anything runs where an image that ran isn't here.
    """
    if into is None:
        with scratch_folder(scratch_place(recorded), scratch_name(recorded)) as scratch:
            yield _again(recorded, options, watch, scratch)
    elif into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise FolderError(f"{into} is not an empty folder. Name a new one for the new run.")
    else:
        yield _again(recorded, options, watch, into.absolute())


def scratch_place(recorded: Recorded) -> Path:
    """Return the scratch folder of the params."""
    return params.check(recorded.document)[0].lussac.tmp_folder


def scratch_name(recorded: Recorded) -> Path:
    """Return what names the scratch of a new run: never that of a run of the logs folder itself."""
    return recorded.folder / "rerun"


def _again(recorded: Recorded, options: Options, watch: Watch, folder: Path) -> Recorded:
    engine = None if options.engine == AUTO else ALIASES.get(options.engine or "", options.engine)
    images = {name: _pinned(name, stage, engine) for name, stage in recorded.sorters.items()}
    plan = compile_plan(redirected(recorded.document, folder, images))
    _refuse_outside(plan, folder)
    failed = any(stage["outcome"] == "failed" for stage in recorded.record["sorters"])
    # sorters that ran in an image name it in their parameters, which goes first
    chosen = replace(options, engine=engine or "local", allow_failed_sorters=failed, keep_stale=False)
    run(plan, chosen, watch=watch)
    return Recorded.read(folder / "logs")


def _pinned(name: str, stage: Mapping[str, Any], engine: str | None) -> dict[str, str]:
    """Return the parameters that make a sorter run in the image that it ran in.

    Raises
    ------
    EngineError
        That image isn't here.
    """
    image, engine = stage["image"], engine or stage["engine"]["name"]
    if engine not in CONTAINERS or image["source"] == "none":
        return {}
    here = ENGINES[engine]()
    if reason := here.unavailable():
        raise EngineError(f"{name} ran in {image['requested']}, and {engine} {reason}. Choose another engine: --engine.")
    own = engine == "docker" and stage["engine"]["name"] == engine and here.has_image(image["resolved"])
    reference = image["resolved"] if own else image["requested"]
    found = here.resolve(reference, pull=bool(image.get("manifest")))
    if found.rootfs != image["rootfs"]:
        raise EngineError(
            f"{name} ran in {image['requested']} {image['rootfs']}; the image of this name here is {found.rootfs}. "
            "Pull or build the one that ran, and try again."
        )
    return {f"{engine}_image": reference}


def redirected(document: Document, folder: Path, images: Mapping[str, Mapping[str, str]]) -> Document:
    """Return params that read the same and write only into a folder.

    Parameters
    ----------
    document
        The params as they were run.
    folder
        Where all goes.
    images
        For each sorter the parameters that name its image.
    """
    data = dict(document.data)
    if "recording" in data:
        data["recording"] = _caches_moved(data["recording"], folder / "caches")
    data["spike_sorting"] = {
        name: _sorter_moved(run, folder / "sorters" / name, images.get(name, {}))
        for name, run in data.get("spike_sorting", {}).items()
    }
    lussac = dict(data.get("lussac", {}))
    lussac["pipeline"] = {
        key: _exports_moved(key, categories, folder / "exports" / key) for key, categories in lussac.get("pipeline", {}).items()
    }
    lussac |= {"logs_folder": str(folder / "logs"), "tmp_folder": str(folder / "tmp"), "overwrite_logs": False}
    return replace(document, data={**data, "lussac": lussac})


def _caches_moved(section: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if "preprocessing" not in section:
        return dict(section)
    return {**section, "preprocessing": preprocessing.with_caches_in(section["preprocessing"], folder)}


def _sorter_moved(run: Mapping[str, Any], folder: Path, image: Mapping[str, str]) -> dict[str, Any]:
    kept = {key: value for key, value in run.get("sorter_params", {}).items() if key not in OURS}
    moved = _caches_moved(run, folder.with_name(f"{folder.name}-caches"))
    return {**moved, "sorter_params": {**kept, **image, "output_folder": str(folder)}}


def _exports_moved(key: str, categories: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    exports = modules.load(module_name(key, modules.names())).exports
    return {
        category: {
            name: str(folder / str(number) / name) if name in exports and value is not None else value
            for name, value in given.items()
        }
        for number, (category, given) in enumerate(categories.items(), 1)
    }


def _refuse_outside(plan: Plan, folder: Path) -> None:
    """Make sure that nothing of the user's is written, whatever a module takes for a default."""
    for order in plan.passes:
        for name in plan.modules[order.module].exports:
            place = getattr(order.params, name)
            if isinstance(place, Path) and not place.is_relative_to(folder):
                raise FolderError(f"{order.label} would write to {place}, where the first run has its results.")
