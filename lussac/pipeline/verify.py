"""Compares all that a finished run read, ran and wrote with its record."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lussac.engines import ENGINES
from lussac.engines.base import Engine
from lussac.errors import EngineError
from lussac.pipeline.progress import Progress, Watch
from lussac.pipeline.recorded import PARAMS_FILE, Recorded
from lussac.provenance import EVENTS, RECORD, assemble
from lussac.store import file_hash

State = Literal["as recorded", "changed", "missing", "other", "unknown"]
BROKEN: tuple[State, ...] = ("changed", "missing")
"""What a record promises not to happen; another environment or an edited params.json says only that a new run would differ."""

GONE = "not here any more; its digest is in the record"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one thing that the record names.

    Parameters
    ----------
    part
        Of the run: ``record``, ``params``, ``inputs``, the name of a sorter, the label of a pass.
    thing
        A file or an image.
    state
        Whether it is as the record says. ``other`` and ``unknown`` are no broken promises.
    note
        What else is to be said about it.
    """

    part: str
    thing: str
    state: State
    note: str = ""

    @property
    def broken(self) -> bool:
        """Whether a file is not what was recorded."""
        return self.state in BROKEN


def verify(recorded: Recorded, watch: Watch = lambda news: None) -> tuple[Finding, ...]:  # noqa: ARG005
    """Look at every file and image of a run.

    Parameters
    ----------
    recorded
        The run.
    watch
        Told which part is being read: large recordings take their time.
    """
    found: list[Finding] = []
    for part, findings in _parts(recorded):
        watch(Progress(part, "running"))
        own = tuple(findings)
        found += own
        watch(Progress(part, "failed" if any(one.broken for one in own) else "done", f"{len(own)} looked at"))
    return tuple(found)


def _parts(recorded: Recorded) -> Iterator[tuple[str, Iterable[Finding]]]:
    """Yield what is to be looked at, part by part; each part is read when it is asked for."""
    yield "record", _record(recorded)
    yield "params", _params(recorded)
    inputs = ((recorded.path(facts["path"]), facts["sha256"]) for facts in recorded.record["inputs"])
    yield "inputs", (_file("inputs", *one) for one in inputs)
    for name, run in recorded.sorters.items():
        yield name, (*(_file(name, *one) for one in recorded.outputs(run)), *_image(name, run))
    for label, step in recorded.steps.items():
        yield label, (_file(label, *one) for one in recorded.outputs(step))


def _file(part: str, file: Path, digest: str) -> Finding:
    if not file.is_file():
        return Finding(part, str(file), "missing")
    return Finding(part, str(file), "as recorded" if file_hash(file) == digest else "changed")


def _record(recorded: Recorded) -> Iterator[Finding]:
    """Check the record against the events that it was made from."""
    file = recorded.folder / EVENTS
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        own = assemble(line for line in lines if line["run"] == recorded.record["run"])
    except FileNotFoundError:
        yield Finding("record", str(file), "missing")
    except (ValueError, KeyError, TypeError):
        yield Finding("record", str(file), "changed", "a line of it can't be read")
    else:
        same = own == recorded.record
        yield Finding("record", str(recorded.folder / RECORD), "as recorded" if same else "changed", f"compared with {EVENTS}")


def _params(recorded: Recorded) -> Iterator[Finding]:
    """Check the copy of the params; the file that was run may have been edited since, for the next run."""
    said = recorded.record["params"]
    yield _file("params", recorded.folder / PARAMS_FILE, said["sha256"])
    original = recorded.path(said["file"])
    if original.is_file() and file_hash(original) != said["sha256"]:
        yield Finding("params", str(original), "other", "edited since; the logs folder has a copy of what was run")
    for facts in recorded.record.get("lock", ()):
        lock = recorded.path(facts["path"])
        same = lock.is_file() and file_hash(lock) == facts["sha256"]
        yield Finding("params", str(lock), "as recorded" if same else "other", "" if same else "pins other images since, or none")


def _image(part: str, run: Mapping[str, Any]) -> Iterator[Finding]:
    """Check an image: a SIF by its bytes, others by what their name stands for now."""
    image, engine = run.get("image"), ENGINES.get(run.get("engine", {}).get("name", ""))
    if image is None or engine is None:
        return
    if image["source"] == "sif":
        file = Path(image["resolved"])
        yield _file(part, file, image["sif"]["sha256"]) if file.is_file() else Finding(part, str(file), "unknown", GONE)
        return
    name, here = image["requested"], engine()
    thing = f"environment of {name}" if image["source"] == "none" else name
    if reason := here.unavailable():
        yield Finding(part, thing, "unknown", reason)
    elif not here.has_image(name):
        yield Finding(part, thing, "unknown", GONE)
    else:
        yield _named(part, thing, image, here)


def _named(part: str, thing: str, image: Mapping[str, Any], engine: Engine) -> Finding:
    """Compare what the name of an image stands for with what ran."""
    try:
        now = engine.resolve(image["requested"], pull=False)
    except EngineError as error:
        return Finding(part, thing, "changed", str(error))
    if now.rootfs == image["rootfs"]:
        return Finding(part, thing, "as recorded")
    if image["source"] == "none":
        return Finding(part, thing, "other", f"other versions now: {'; '.join(_versions(image['distributions'], now.details))}")
    if image["resolved"] != now.start and engine.has_image(image["resolved"]):
        return Finding(part, thing, "other", "the name stands for another image now; the one that ran is still here")
    return Finding(part, thing, "changed", f"{image['rootfs']} ran, {now.rootfs} is here")


def _versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"{name} {before[name]} then, {now[name]} now" for name in now if name in before and before[name] != now[name]]
