"""Compares a logs folder with its record, and with a new run."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lussac import params
from lussac.errors import InputError
from lussac.pipeline.log import LOG_FILE
from lussac.pipeline.progress import Watch
from lussac.pipeline.result import Options
from lussac.pipeline.run import run
from lussac.plan import Plan, compile_plan
from lussac.provenance import RECORD, read_record
from lussac.store import MARKER, file_hash, scratch_folder


def verify(logs_folder: Path) -> list[str]:
    """Return one line for each file that is not as the record of the latest run says; none where all is well.

    Parameters
    ----------
    logs_folder
        Of a run.

    Raises
    ------
    InputError
        It has no record of a run that came to its end.
    """
    record = finished_record(logs_folder)
    runs = (*record["sorters"], *record["steps"])
    files = [*record["inputs"], *(facts for one in runs for facts in one.get("outputs", ()))]
    return [line for facts in files for line in _differences(facts)]


def finished_record(logs_folder: Path) -> dict[str, Any]:
    """Return the record of the latest run in a folder, which must have come to its end."""
    if not (logs_folder / MARKER).is_file():
        raise InputError(f"{logs_folder} is no logs folder of Lussac. Give the logs_folder of a run.")
    record = read_record(logs_folder)
    if record.get("status") != "done":
        state = record.get("status", "without a readable record")
        raise InputError(f"The latest run in {logs_folder} is {state} ({RECORD}, {LOG_FILE}). Run it to its end first.")
    return record


def _differences(facts: Mapping[str, Any]) -> Iterator[str]:
    file = Path(facts["path"])
    if not file.is_file():
        yield f"{file}: missing"
    elif file_hash(file) != facts["sha256"]:
        yield f"{file}: changed"


def rerun(logs_folder: Path, options: Options, watch: Watch) -> list[str]:
    """Run all modules but the exports again, aside, and return one line for each sorting that differs from the recorded one.

    Sorters are not run again: few of them give the same result twice.

    Parameters
    ----------
    logs_folder
        Of a run.
    options, watch
        As for `run`.

    Raises
    ------
    InputError
        The params of the run have changed, or were not given as a file.
    """
    record = finished_record(logs_folder)
    plan = compile_plan(params.read(_unchanged_params(record)))
    with scratch_folder(plan.params.lussac.tmp_folder, logs_folder / "verify") as scratch:
        run(_aside(plan, scratch), options, watch=watch)
        again = finished_record(scratch / "logs")
    before = {step["label"]: step["results"] for step in record["steps"]}
    return [
        f"{step['label']}, {name}: {sorting['units']} units, another content than recorded"
        for step in again["steps"]
        for name, sorting in step["results"].items()
        if before[step["label"]].get(name) != sorting
    ]


def _unchanged_params(record: Mapping[str, Any]) -> Path:
    file = Path(record["params"]["file"])
    if not file.is_file() or file_hash(file) != record["params"]["sha256"]:
        raise InputError(f"{file} is no longer what was run. Put it back as it was (the logs folder has a copy), and try again.")
    return file


def _aside(plan: Plan, folder: Path) -> Plan:
    """Return a plan that writes only into a folder."""
    folders = {"logs_folder": folder / "logs", "tmp_folder": folder / "tmp", "overwrite_logs": False, "logs_level": 1}
    lussac = plan.params.lussac.model_copy(update=folders)
    passes = tuple(order for order in plan.passes if not plan.modules[order.module].exports)
    return replace(plan, params=plan.params.model_copy(update={"lussac": lussac}), passes=passes)
