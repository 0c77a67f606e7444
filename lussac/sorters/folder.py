"""The folder that a sorter run leaves: written beside and renamed, and reused only if the same run would make it again.

Its manifest says what made it. A folder without one isn't ours and is never touched.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseSorting, NumpySorting

from lussac import sortings
from lussac.errors import FolderError
from lussac.provenance import differences
from lussac.sorters.job import SorterJob
from lussac.store import file_hash, write_atomically

MANIFEST = "lussac-sorter.json"
FORMAT = 1
SORTING, LOG, OWN = "sorting", "sorter.log", "sorter_output"


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a sorter run, in its folder."""

    folder: Path
    record: Mapping[str, Any]

    def load(self) -> BaseSorting:
        """Return the sorting."""
        return sortings.load(self.folder / SORTING)


@dataclass(frozen=True, slots=True)
class Stale:
    """A result that something else than this run would make; `differences` says what."""

    finished: Finished
    differences: tuple[str, ...]


def find(job: SorterJob) -> Finished | Stale | None:
    """Return what an earlier run left in the folder of the job.

    Raises
    ------
    FolderError
        If the folder holds something that no sorter run of Lussac made; it is never touched.
    """
    if not job.folder.exists() or (job.folder.is_dir() and not any(job.folder.iterdir())):
        return None
    manifest = _manifest(job.folder)
    if manifest is None:
        raise FolderError(
            f"{job.folder}, the output folder of {job.name}, holds something that Lussac didn't make. "
            "Name another output_folder, or move what is there."
        )
    finished = Finished(job.folder, _now_in(job.folder, manifest["record"]))
    if damaged := [name for name, digest in manifest["files"].items() if not _is(job.folder / name, digest)]:
        return Stale(finished, tuple(f"{name}: changed or missing" for name in damaged))
    found = differences(manifest["made_from"], job.made_from)
    lines = tuple(f"{path}: {before} before, {now} now" for path, before, now in found)
    return Stale(finished, lines) if lines else finished


def _now_in(folder: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the record of a folder that may have been moved since."""
    before = Path(record["folder"])
    outputs = [{**facts, "path": str(folder / Path(facts["path"]).relative_to(before))} for facts in record["outputs"]]
    return {**record, "folder": str(folder), "outputs": outputs}


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    try:
        manifest: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if manifest.get("format") == FORMAT else None


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and file_hash(file) == digest


def assemble(job: SorterJob, draft: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make the result's folder of what the runner wrote; return the record with the outputs in it."""
    out = draft / "out"
    sortings.save(read_sorting(out / "sorting.npz", record["segments"]), out / SORTING)
    (out / "sorting.npz").unlink()
    (draft / LOG).rename(out / LOG)
    _keep_own(job, draft / "work" / "sorter", out / OWN)
    files = {f"{SORTING}/{name}": file_hash(out / SORTING / name) for name in (sortings.SPIKES_FILE, sortings.UNITS_FILE)}
    whole = {**record, "outputs": [{"path": str(job.folder / name), "sha256": digest} for name, digest in files.items()]}
    manifest = {"format": FORMAT, "key": job.key, "made_from": job.made_from, "files": files, "record": whole}
    write_atomically(out / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True, default=str))
    return whole


def _keep_own(job: SorterJob, source: Path, target: Path) -> None:
    """Keep the sorter's own folder (a Phy folder, for some), as far as the user wants it."""
    cleans_up_itself = "delete_tmp_files" in job.parameters
    if not source.is_dir() or (job.run.get("delete_tmp_files") is True and not cleans_up_itself):
        return
    source.rename(target)
    if job.run.get("delete_recording_dat"):
        for file in target.rglob("*.dat"):
            file.unlink()


def read_sorting(file: Path, segments: int) -> NumpySorting:
    """Read the sorting that the runner wrote, in any version of SpikeInterface."""
    with np.load(file, allow_pickle=False) as data:
        arrays = dict(data)
    spikes = np.zeros(
        len(arrays["sample_index"]), dtype=[("sample_index", "int64"), ("unit_index", "int64"), ("segment_index", "int64")]
    )
    for name in ("sample_index", "unit_index", "segment_index"):
        spikes[name] = arrays[name]
    spikes = spikes[np.lexsort((spikes["unit_index"], spikes["sample_index"], spikes["segment_index"]))]
    values = {name.removeprefix("property/"): array for name, array in arrays.items() if name.startswith("property/")}
    ids = arrays["unit_ids"].tolist()
    return sortings.build(spikes, ids, float(arrays["sampling_frequency"]), segments, values)


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.lussac-{kind}") if kind != "failed" else folder.with_name(f"{folder.name}.failed")


@contextlib.contextmanager
def draft_of(folder: Path, *, for_owner: bool) -> Iterator[Path]:
    """Give a scratch folder beside the result's; what a dead run left in it is removed, a living one is left alone.

    Parameters
    ----------
    folder
        Where the result will be.
    for_owner
        Whether the sorter runs as the owner of that folder, and not as this process.
    """
    draft = _beside(folder, "draft")
    _make_parents(folder)
    draft.mkdir(exist_ok=True)
    with (draft / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(f"Another run is writing {folder}. Wait for it, or name another output_folder.") from None
        for left in draft.iterdir():
            if left.name != "lock":
                _remove(left)
        try:
            (draft / "in").mkdir()
            empty_outputs(draft)
            if for_owner:
                give_to_owner(draft, folder)
            yield draft
        finally:
            shutil.rmtree(draft)


def empty_outputs(draft: Path) -> None:
    """Make the folders that a sorter writes to, without what an attempt before has left in them, for the owner of the draft.

    They are others than before: a container that a daemon has lost sight of may still write to those that it was given.
    """
    for name in ("work", "out"):
        if (draft / name).exists():
            before = (draft / name).rename(draft / f"{name}-{secrets.token_hex(4)}")
            shutil.rmtree(before, ignore_errors=True)
        (draft / name).mkdir()
        give_to_owner(draft / name, draft)


def _make_parents(folder: Path) -> None:
    """Make the folders above the result's, for the owner of the first that exists."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        give_to_owner(parent, parent.parent)


def give_to_owner(path: Path, folder: Path) -> None:
    """Give files that root has made to the owner of the folder that the user chose, or of the nearest above it."""
    if os.geteuid() != 0:
        return
    chosen = next(place for place in (folder, *folder.parents) if place.exists()).stat()
    for entry in (path, *path.rglob("*")):
        os.chown(entry, chosen.st_uid, chosen.st_gid, follow_symlinks=False)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def publish(source: Path, folder: Path) -> None:
    """Put a folder in the place of one that is ours or empty."""
    give_to_owner(source, folder)
    old = _beside(folder, "old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    source.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def keep_failed(job: SorterJob, draft: Path) -> Path:
    """Keep what explains a failure beside the result's folder; return where the log is."""
    failed = _beside(job.folder, "failed")
    if failed.exists() and not (failed / MANIFEST).exists():
        failed = failed.with_name(f"{failed.name}-{secrets.token_hex(3)}")
    shutil.rmtree(failed, ignore_errors=True)
    failed.mkdir(parents=True)
    for file in (draft / LOG, draft / "in" / "job.json", draft / "out" / "result.json", draft / "out" / "freeze.txt"):
        if file.exists():
            file.replace(failed / file.name)
    write_atomically(failed / MANIFEST, json.dumps({"format": "failed", "key": job.key, "made_from": job.made_from}, indent=2))
    give_to_owner(failed, job.folder.parent)
    return failed / LOG


def forget_failure(folder: Path) -> None:
    """Remove what an earlier failure left, now that its run has succeeded."""
    failed = _beside(folder, "failed")
    if (failed / MANIFEST).exists():
        shutil.rmtree(failed)
