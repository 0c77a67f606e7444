"""``lussac images``."""

import argparse
from pathlib import Path

from rich.table import Table

from lussac import params
from lussac.console import make_console
from lussac.engines import ENGINES
from lussac.engines.base import Engine
from lussac.errors import EngineError, ReproducibilityError, UsageError
from lussac.plan import compile_plan
from lussac.sorters import images


def main(chosen: argparse.Namespace) -> int:
    """List, pull, pin or check the images of sorters."""
    return ACTIONS[chosen.action](chosen)


def _list(chosen: argparse.Namespace) -> int:
    table = Table("sorter", "image", "version", "GPU", "deterministic", "licence", "ready on", box=None, padding=(0, 2, 0, 0))
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
    sorters = [run.sorter_name for run in compile_plan(params.read(file)).params.spike_sorting.values()]
    if not sorters:
        raise UsageError(f"{file} has no sorters, so that there is nothing to pin.")
    target = file.with_name(images.LOCK)
    images.write(images.lock(sorters, _engine(chosen.engine)), target)
    make_console().print(f"{target}: {', '.join(sorters)}", soft_wrap=True)
    return 0


def _verify(chosen: argparse.Namespace) -> int:
    file = _params(chosen).with_name(images.LOCK)
    found = images.verify(images.read(file), _engine(chosen.engine))
    wrong = [message for message in found.values() if message]
    if wrong:
        raise ReproducibilityError("\n".join([*wrong, f"Not all images are those of {file}."]))
    make_console().print(f"{file}: all {len(found)} images are the pinned ones", soft_wrap=True)
    return 0


def _build(chosen: argparse.Namespace) -> int:
    names = " ".join(f"image-{name}" for name in chosen.names) or "images"
    raise UsageError(f"The recipes of images are not part of the installed package. In a checkout of Lussac: make {names}.")


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
