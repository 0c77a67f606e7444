"""Folders that are exported: they appear at once and whole, and what a user made of them is never lost."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from lussac.errors import FolderError
from lussac.modules import EXPORT_MARKER
from lussac.modules.base import Context

MARKER_TEXT = "Lussac wrote this folder and may replace it. Its content: {seed:016x}\n"
UNIMPORTANT = ("phy.log",)
"""What Phy writes when it is only looked at, besides hidden files."""


@contextlib.contextmanager
def published(target: Path, context: Context) -> Iterator[Path]:
    """Give a folder to make and to write to, which takes its place under its name only when all is written.

    Parameters
    ----------
    target
        Where it shall be. A folder that is there already is replaced if Lussac wrote it; one that was edited since is kept under
        another name.
    context
        Its seed, which stands for all that the export depends on, is written into the marker.

    Raises
    ------
    FolderError
        There is something else at this place.
    """
    refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside, old = (target.with_name(f".{target.name}.{state}-export") for state in ("unfinished", "replaced"))
    _remove(beside, old)  # left by a run that was killed
    try:
        yield beside
        (beside / EXPORT_MARKER).write_text(MARKER_TEXT.format(seed=context.seed), encoding="utf-8")
        if is_edited(target):
            kept = next(name for number in count(1) if not (name := target.with_name(f"{target.name}.edited-{number}")).exists())
            context.log.warning("%s was edited since it was exported: it is kept as %s.", target, kept)
            target.rename(kept)
        elif target.exists():
            target.rename(old)
        beside.rename(target)
    finally:
        _remove(beside, old)


def is_edited(target: Path) -> bool:
    """Tell whether a file of an export was written after its marker, which comes last."""
    marker = target / EXPORT_MARKER
    if not marker.is_file():
        return False
    files = (file for file in target.rglob("*") if file.is_file() and file.name not in UNIMPORTANT)
    shown = (file for file in files if not any(part.startswith(".") for part in file.relative_to(target).parts))
    return any(file.stat().st_mtime_ns > marker.stat().st_mtime_ns for file in shown)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_foreign(target: Path) -> None:
    """Raise FolderError where a folder holds something that Lussac did not write."""
    ours = (target / EXPORT_MARKER).is_file()
    if target.is_dir() and (ours or not any(target.iterdir())):
        return
    if os.path.lexists(target):
        raise FolderError(f"{target} exists and is not an export of Lussac. Give another path, or move it away.")
