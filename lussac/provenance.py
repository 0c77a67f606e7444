"""What was run, on what, with what and what came out: events as they happen, and the record that they add up to.

``provenance.jsonl`` only ever grows, one JSON object per line; ``provenance.json`` is written from the events of the latest run,
at its start and at its end, and follows ``provenance.schema.json``.
"""

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
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
VOLATILE = ("run", "time", "started", "ended", "seconds", "modified_ns", "host", "command", "logs_folder")
"""Keys whose values differ between two runs that did the same."""

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


def software() -> dict[str, Any]:
    """Return what runs: Lussac, Python and the libraries that results may depend on."""
    return {"lussac": __version__, "python": platform.python_version(), "libraries": versions(LIBRARIES)}


def host() -> dict[str, Any]:
    """Return where it runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": cpus,
        "memory": memory,
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

    def start(self, **facts: object) -> None:
        """Begin the record: who runs what, where, on which params (see the schema, the top level)."""
        here = {"logs_folder": str(self.folder), "software": software(), "host": host()}
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
        line = {"run": self.run, "time": _now(), "event": event, **facts}
        text = json.dumps(line, default=str)
        with (self.folder / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.events.append(json.loads(text))

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
