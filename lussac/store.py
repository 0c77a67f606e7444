"""The run folder: what a finished step left, found again by the content of what went into it.

A step is written into a draft folder, flushed to the disk and renamed: that its folder is in ``steps/`` is the proof that all
of its files are. Nothing is read from or deleted in a folder that doesn't hold our marker.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from lussac import inside
from lussac.errors import FolderError

MARKER = "LUSSAC-RUN"
MARKER_TEXT = "Lussac writes its logs here and may delete this folder when overwrite_logs is true.\n"
SCRATCH_TEXT = "Lussac made this folder for a run and removes it when the run ends.\n"
LOCK = "lock"
MANIFEST = "manifest.json"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NEARLY_NOTHING = 1 << 16


def content_key(ingredients: Mapping[str, object]) -> str:
    """Return the sha256 that names a result by everything that it depends on.

    Parameters
    ----------
    ingredients
        Plain values (what JSON can hold); their order plays no role, not even inside nested mappings.
    """
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(file: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(file: Path, text: str) -> None:
    """Write a file so that a reader finds the old text or the new one, also after a crash."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
    _flush_folder(file.parent)


def files_below(folder: Path) -> list[Path]:
    """Return all files in a folder and the folders inside it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's refusals to write (disk full, no permission) into a `FolderError` that names the folder.

    Parameters
    ----------
    folder
        Named where the system doesn't say which file it was about.
    """
    try:
        yield
    except OSError as error:
        place = Path(str(error.filename)) if error.filename else folder
        if is_disk_full(error, folder):
            raise FolderError(
                f"The disk of {folder} is full (writing {place.name}). Free some space, or choose another folder, and run again: "
                "the finished steps are kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            advice = inside.unwritable(place, inside.here())
            raise FolderError(f"{place} can't be written ({error.strerror}). {advice[0].upper()}{advice[1:]}.") from error
        raise


@contextlib.contextmanager
def _refusals_explained(folder: Path) -> Iterator[None]:
    """Turn whatever else the system has against making a folder (a dangling link, a place like /proc) into a `FolderError`."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error, folder):
            raise
        raise FolderError(f"{folder} can't be written ({error.strerror}). Choose another folder.") from error


def is_disk_full(error: BaseException | None, folder: Path) -> bool:
    """Tell whether an error means that the disk is full, also where a library raised its own error because of it."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in DISK_FULL or (error.errno is None and _is_full(folder))):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_full(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free < NEARLY_NOTHING


@dataclass(frozen=True, slots=True)
class Committed:
    """A finished step.

    Parameters
    ----------
    folder
        Where its files are.
    key
        The content key that it was found by.
    files
        Path relative to the folder, and sha256, of every file but the manifest.
    """

    folder: Path
    key: str
    files: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the step in this folder, or None where a file is missing or has another size than when it was written."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            files = manifest["files"]
            whole = all((folder / name).stat().st_size == facts["size"] for name, facts in files.items())
        except (OSError, ValueError, KeyError):
            return None
        return cls(folder, manifest["key"], {name: facts["sha256"] for name, facts in files.items()}) if whole else None

    def damaged(self) -> list[str]:
        """Return the files whose bytes are no longer those that were written."""
        return [name for name, digest in self.files.items() if file_hash(self.folder / name) != digest]


class Store:
    """The run folder; entered by the one run that may write in it, read by anyone.

    Parameters
    ----------
    root
        The logs folder.
    overwrite
        Delete what an earlier run left here; refused where the folder isn't ours.
    """

    def __init__(self, root: Path, *, overwrite: bool = False) -> None:
        self.root = root.absolute()
        self.overwrite = overwrite
        self._lock: FileIO | None = None

    @property
    def steps(self) -> Path:
        """The folder of finished steps."""
        return self.root / "steps"

    @property
    def failed(self) -> Path:
        """The folder of what a step that raised had written; never used again."""
        return self.root / "failed"

    def __enter__(self) -> Self:
        with explained(self.root):
            claim(self.root)
            self._lock = _lock(self.root)
            if self.overwrite:
                _empty(self.root)
            shutil.rmtree(self._drafts, ignore_errors=True)
            for folder in (self.steps, self._drafts):
                folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self._drafts, ignore_errors=True)
        if self._lock is not None:
            os.ftruncate(self._lock.fileno(), 0)
            self._lock.close()

    def find(self, key: str) -> Committed | None:
        """Return the finished step with this key, if its files are all there."""
        folders = sorted(self.steps.glob(f"*.{key[:8]}"))
        found = (Committed.read(folder) for folder in folders)
        return next((step for step in found if step is not None and step.key == key), None)

    def committed(self) -> list[Committed]:
        """Return all finished steps, by the name of their folder."""
        found = (Committed.read(folder) for folder in sorted(self.steps.iterdir()))
        return [step for step in found if step is not None]

    @contextlib.contextmanager
    def draft(self, key: str, label: str, ingredients: Mapping[str, object] | None = None) -> Iterator[Path]:
        """Give an empty folder to write a step into; it becomes a finished step if the block ends without an error.

        Parameters
        ----------
        key
            The content key of the step.
        label
            For people: the beginning of the folder's name.
        ingredients
            What the key was made from, kept in the manifest so that a difference can be explained.

        Raises
        ------
        FolderError
            The disk is full or can't be written.
        """
        name = f"{label}.{key[:8]}"
        draft = self._drafts / name
        with explained(self.root):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            try:
                yield draft
                _seal(draft, {"key": key, "label": label, "ingredients": dict(ingredients or {})})
            except Exception as error:
                if is_disk_full(error, self.root):
                    shutil.rmtree(draft, ignore_errors=True)
                else:
                    _replace(draft, self.failed / name)
                raise
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            _replace(draft, self.steps / name)

    @property
    def _drafts(self) -> Path:
        return self.root / "drafts"


def refuse_foreign(root: Path) -> None:
    """Raise FolderError where the folder holds something that isn't a run of ours; nothing is written.

    Parameters
    ----------
    root
        A logs folder, which need not exist.
    """
    with explained(root):
        if root.exists() and not root.is_dir():
            raise FolderError(f"The logs folder {root} is a file. Choose another logs_folder.")
        if root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
            raise FolderError(
                f"The logs folder {root} holds files that Lussac didn't make (it has no {MARKER}), so it is left alone. "
                "Choose another logs_folder, or empty this one yourself."
            )


def claim(root: Path) -> None:
    """Make the folder ours by our marker; raise FolderError where it isn't and can't become ours."""
    refuse_foreign(root)
    with _refusals_explained(root):
        root.mkdir(parents=True, exist_ok=True)
        (root / MARKER).write_text(MARKER_TEXT)


def _lock(root: Path) -> FileIO:
    lock = FileIO(os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        host, _, pid = lock.read().decode(errors="replace").strip().partition(" ")
        lock.close()
        raise FolderError(
            f"The logs folder {root} is in use by another run: process {pid or 'unknown'} on host {host or 'unknown'}. "
            "Wait until it ends, stop it, or choose another logs_folder."
        ) from error
    except OSError:
        lock.close()
        raise
    os.ftruncate(lock.fileno(), 0)
    lock.write(f"{socket.gethostname()} {os.getpid()}\n".encode())
    # a worker that outlives a killed run must not keep the folder locked
    reference = weakref.ref(lock)
    os.register_at_fork(after_in_child=lambda: _close(reference()))
    return lock


def _close(file: FileIO | None) -> None:
    if file is not None:
        file.close()


def _empty(root: Path) -> None:
    for path in root.iterdir():
        if path.name in (MARKER, LOCK):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _seal(folder: Path, facts: Mapping[str, object]) -> None:
    files = {
        file.relative_to(folder).as_posix(): {"size": file.stat().st_size, "sha256": file_hash(file)}
        for file in files_below(folder)
    }
    (folder / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=1, sort_keys=True) + "\n")
    for file in files_below(folder):
        _flush(file)
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _flush_folder(inner)


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)
    _flush_folder(target.parent)


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def scratch_folder(tmp_folder: Path, logs_folder: Path) -> Iterator[Path]:
    """Give an empty folder for what needs not be kept; removed at the end, however the block ends.

    Parameters
    ----------
    tmp_folder
        Removed as well if a run of ours made it and nothing else is in it.
    logs_folder
        Names the folder, so that a run finds and removes what a killed run of the same logs folder left.
    """
    remove_scratch(tmp_folder, logs_folder)
    own = _scratch_of(tmp_folder, logs_folder)
    with explained(tmp_folder), _refusals_explained(tmp_folder):
        is_new = not tmp_folder.exists()
        own.mkdir(parents=True)
        if is_new:
            (tmp_folder / MARKER).write_text(SCRATCH_TEXT)
    try:
        yield own
    finally:
        remove_scratch(tmp_folder, logs_folder)


def remove_scratch(tmp_folder: Path, logs_folder: Path) -> None:
    """Remove what `scratch_folder` made."""
    shutil.rmtree(_scratch_of(tmp_folder, logs_folder), ignore_errors=True)
    if (tmp_folder / MARKER).is_file() and [path.name for path in tmp_folder.iterdir()] == [MARKER]:
        shutil.rmtree(tmp_folder, ignore_errors=True)


def _scratch_of(tmp_folder: Path, logs_folder: Path) -> Path:
    return tmp_folder / f"lussac-{hashlib.sha256(str(logs_folder.absolute()).encode()).hexdigest()[:8]}"
