"""What was run, on what, with what and what came out: events as they happen, and the record that they add up to.

``provenance.jsonl`` only ever grows, one JSON object per line; ``provenance.json`` is written from the events of the latest run,
at its start and at its end, and follows ``provenance.schema.json``.
"""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import metadata
from operator import itemgetter
from pathlib import Path
from typing import Any

from lussac import __version__
from lussac.store import file_hash, files_below, write_atomically

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("provenance.schema.json")
EVENTS = "provenance.jsonl"
RECORD = "provenance.json"
NUMERIC_LIBRARIES = ("numpy", "scipy", "numba", "networkx", "spikeinterface", "scikit-learn")
LIBRARIES = (*NUMERIC_LIBRARIES, "probeinterface", "neo", "pydantic", "zarr", "h5py", "docker", "spython", "torch")
VOLATILE = (
    "run",
    "time",
    "started",
    "ended",
    "seconds",
    "modified_ns",
    "host",
    "command",
    "logs_folder",
    "argv",
    "resumed_from",
    "peak_memory",
)
"""Keys whose values differ between two runs that did the same."""

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts the memory of a process."""

Facts = Mapping[str, Any]


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each of these distributions; one that is absent is left out."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def software(image: Facts | None) -> dict[str, Any]:
    """Return what runs: Lussac, the image that it is in, Python and the libraries that results may depend on."""
    return {
        "lussac": __version__,
        "revision": revision(Path(__file__).parents[1]),
        "image": image,
        "python": platform.python_version(),
        "libraries": versions(LIBRARIES),
    }


def revision(checkout: Path) -> dict[str, Any] | None:
    """Return the commit that a checkout is at, and whether anything in it was changed since; None where it is none."""
    if not (checkout / ".git").exists():
        return None
    try:
        commit, changes = (_git(checkout, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changes)}


def _git(checkout: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(checkout), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603 - our words


def host() -> dict[str, Any]:
    """Return where it runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _after("model name", Path("/proc/cpuinfo")),
        "cpus": cpus,
        "memory": memory,
        "gpus": [_after("Model", file) for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))],
        "gpu_driver": _after("NVRM version", Path("/proc/driver/nvidia/version")),
    }


def _after(key: str, file: Path) -> str:
    """Return what stands behind a key and a colon in a file of the kernel; empty where there is no such file or key."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def period(seconds: float) -> dict[str, Any]:
    """Return start, end and duration of something that has just ended, and the most memory that this process has used."""
    now = datetime.now(UTC)
    return {
        "started": (now - timedelta(seconds=seconds)).isoformat(timespec="milliseconds"),
        "ended": now.isoformat(timespec="milliseconds"),
        "seconds": round(seconds, 3),
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT,
    }


def describe_files(paths: Iterable[Path], known: Sequence[Facts] = ()) -> list[dict[str, Any]]:
    """Return path, size, time of change and sha256 of files, and of all files in folders.

    Parameters
    ----------
    paths
        Files and folders.
    known
        What was returned before: a file of the same size and time of change isn't read again.
    """
    hashes = {(facts["path"], facts["size"], facts["modified_ns"]): facts["sha256"] for facts in known}
    described = []
    for path in paths:
        for file in files_below(path) if path.is_dir() else [path]:
            stat = file.stat()
            identity = (str(file), stat.st_size, stat.st_mtime_ns)
            described.append(
                dict(zip(("path", "size", "modified_ns"), identity, strict=True))
                | {"sha256": hashes.get(identity) or file_hash(file)}
            )
    return described


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of the latest run in this logs folder; empty where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("schema_version") == SCHEMA_VERSION else {}


class Provenance:
    """The record of one run.

    Parameters
    ----------
    folder
        The logs folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        now = datetime.now(UTC)
        self.run = f"{now:%Y%m%dT%H%M%S.%f}-{os.getpid()}"

    def start(self, image: Facts | None = None, **facts: object) -> None:
        """Begin the record: who runs what, where, on which params (see the schema, the top level).

        Parameters
        ----------
        image
            Lussac's own, if it runs in it.
        facts
            As in the schema.
        """
        here = {"logs_folder": str(self.folder), "software": software(image), "host": host()}
        self.add("run", status="running", started=_now(), command=sys.argv, **here, **facts)
        self.write()

    def add(self, event: str, **facts: object) -> None:
        """Append one event; it is on the disk when this returns.

        Parameters
        ----------
        event
            ``run`` (facts about the whole), ``input``, ``sorter`` or ``step``.
        facts
            As in the schema.
        """
        again = {"resumed_from": self.makers.get(str(facts["key"]), "")} if facts.get("outcome") in ("reused", "stale") else {}
        line = {"run": self.run, "time": _now(), "event": event, **facts, **again}
        text = json.dumps(line, default=str)
        with (self.folder / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.events.append(json.loads(text))

    @cached_property
    def makers(self) -> Mapping[str, str]:
        """The run that made each result of this logs folder, by the result's key."""
        return {event["key"]: event["run"] for event in _events(self.folder) if event.get("outcome") == "done"}

    def end(self, status: str, exit_code: int, message: str = "") -> None:
        """Close the record.

        Parameters
        ----------
        status
            ``done``, ``failed`` or ``interrupted``.
        exit_code
            Of the command.
        message
            What went wrong.
        """
        self.add("run", status=status, exit_code=exit_code, message=message, ended=_now())
        self.write()

    def write(self) -> None:
        """Write ``provenance.json`` from the events so far."""
        write_atomically(self.folder / RECORD, json.dumps(assemble(self.events), indent=1) + "\n")


def assemble(events: Iterable[Facts]) -> dict[str, Any]:
    """Return the record that the events of one run add up to.

    A later event ``run`` adds to or replaces what an earlier one said; the others are listed in their order,
    sorters by name, because they end in any order.
    """
    record: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "inputs": [], "sorters": [], "steps": []}
    lists = {"input": "inputs", "sorter": "sorters", "step": "steps"}
    for event in events:
        facts = {key: value for key, value in event.items() if key not in ("event", "time", "run")}
        if event["event"] == "run":
            record |= {"run": event["run"]} | facts
        else:
            record[lists[event["event"]]].append(facts)
    record["sorters"].sort(key=itemgetter("name"))
    return record


def differences(one: Facts, other: Facts, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Return each value that differs between two nested mappings with its path, in the order of the keys."""
    for key in sorted({*one, *other}):
        before, now = one.get(key, "absent"), other.get(key, "absent")
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from differences(before, now, f"{path}{key}.")
        elif before != now:
            yield f"{path}{key}", before, now


def stable(value: Any) -> Any:  # noqa: ANN401
    """Return a record without what differs between two runs that did the same."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [stable(inner) for inner in value]
    return value


def _events(folder: Path) -> Iterator[Facts]:
    """Yield the events of all runs in a logs folder; a line that a crash cut short is left out."""
    file = folder / EVENTS
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
