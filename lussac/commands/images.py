"""``lussac images``."""

import argparse
import tempfile
from pathlib import Path

from rich.table import Table

from lussac import params
from lussac.console import make_console
from lussac.engines import ENGINES, builder
from lussac.engines.base import Engine
from lussac.engines.docker import DockerEngine
from lussac.errors import EngineError, ReproducibilityError, UsageError
from lussac.plan import compile_plan
from lussac.sorters import images, recipes
from lussac.sorters.catalogue import catalogue
from lussac.sorters.job import runs_on


def main(chosen: argparse.Namespace) -> int:
    """List, pull, pin, check or build the images of sorters."""
    return ACTIONS[chosen.action](chosen)


def _list(chosen: argparse.Namespace) -> int:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("sorter", "image", "version", "GPU", "deterministic", "licence", "ready on"):
        table.add_column(head, overflow="fold")
    for entry in images.entries(_engines(chosen.engine)):
        ready = ", ".join(entry.ready) or entry.why_not
        table.add_row(entry.sorter, entry.image, entry.version, entry.gpu, entry.deterministic, entry.licence, ready)
    make_console().print(table)
    return 0


def _pull(chosen: argparse.Namespace) -> int:
    engine = _engine(chosen.engine)
    for sorter in chosen.names:
        image = images.pull(sorter, engine)
        make_console().print(f"{sorter}: {image.start} ({image.rootfs})", soft_wrap=True)
    return 0


def _lock(chosen: argparse.Namespace) -> int:
    file = _params(chosen)
    runs = compile_plan(params.read(file)).params.spike_sorting
    if not runs:
        raise UsageError(f"{file} has no sorters, so that there is nothing to pin.")
    target = file.with_name(images.LOCK)
    images.write(images.lock({name: _wanted(run, chosen.engine) for name, run in runs.items()}), target)
    make_console().print(f"{target}: {', '.join(runs)}", soft_wrap=True)
    return 0


def _wanted(run: params.SorterParams, engine: str | None) -> images.Wanted:
    """Return what a run of the params is to run in: what it asks for itself goes first."""
    name, runs_in = runs_on(run, engine)
    found = _engine(name)
    if found.name not in runs_in:
        row = catalogue()[run.sorter_name]
        raise EngineError(f"There is no image of ours for {run.sorter_name}: {row.why_not}. Name one in params.json.")
    return images.Wanted(run.sorter_name, found, runs_in[found.name])


def _verify(chosen: argparse.Namespace) -> int:
    file = _params(chosen).with_name(images.LOCK)
    found = images.verify(images.read(file), _engine(chosen.engine))
    wrong = [message for message in found.values() if message]
    if wrong:
        raise ReproducibilityError("\n".join([*wrong, f"Not all images are those of {file}."]))
    make_console().print(f"{file}: all {len(found)} images are the pinned ones", soft_wrap=True)
    return 0


def _build(chosen: argparse.Namespace) -> int:
    sources = recipes.Sources(
        base=chosen.base_image or "",
        wheels=chosen.wheels,
        torch_index=chosen.torch_index or "",
        requirements=chosen.requirements,
    )
    for name in chosen.names:
        recipes.read(name)
    # without names, BASE_IMAGE is the Python image of all: it says nothing about a published one
    names, missing = recipes.buildable(chosen.names or recipes.from_packages(), sources)
    if chosen.names and missing:
        raise UsageError("\n".join(f"{name}: say {what}" for name, what in missing.items()))
    for name, what in missing.items():
        make_console().print(f"{name} is left out: say {what}", soft_wrap=True)
    on_base = [name for name in names if name != recipes.BASE and recipes.base_of(name, sources) == recipes.tag(recipes.BASE)]
    for name in [*([recipes.BASE] if on_base else []), *(name for name in names if name != recipes.BASE or not on_base)]:
        _build_one(name, sources)
    return 0


def _build_one(name: str, sources: recipes.Sources) -> None:
    base = DockerEngine().resolve(recipes.base_of(name, sources), pull=True)
    build = recipes.plan(name, base, sources)
    console = make_console()
    with tempfile.TemporaryFile() as context, console.status(f"{build.tag}") as status:
        recipes.write_context(build.files, context)
        context.seek(0)
        size = builder.build(
            context, build.tag, build.arguments, build.labels, lambda line: status.update(f"{build.tag}: {line}")
        )
    console.print(f"{build.tag}: {size / 1e6:.0f} MB", soft_wrap=True)


def _params(chosen: argparse.Namespace) -> Path:
    if len(chosen.names) != 1:
        raise UsageError(f"`lussac images {chosen.action}` takes the path of one params.json.")
    return Path(chosen.names[0])


def _engines(wanted: str | None) -> list[Engine]:
    """Return the engines with images that work here."""
    names = [name for name in ENGINES if name != "local"] if wanted in (None, "auto") else [wanted]
    return [engine for name in names if name is not None and (engine := ENGINES[name]()).unavailable() is None]


def _engine(wanted: str | None) -> Engine:
    engines = _engines(wanted)
    if not engines:
        raise EngineError("No engine with images works here. `lussac doctor` says why.")
    return engines[0]


ACTIONS = {"list": _list, "pull": _pull, "lock": _lock, "verify": _verify, "build": _build}
