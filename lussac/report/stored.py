"""What a run has stored: its record, its finished steps in order, and the sortings that they leave."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting

from lussac import modules
from lussac import sortings as srt
from lussac.algorithms.timeline import Timeline, Train
from lussac.errors import InputError
from lussac.provenance import EVENTS, assemble
from lussac.store import MARKER, Committed
from lussac.units import Action, Selector, UnitId, UnitRef

Facts = Mapping[str, Any]
Sortings = Mapping[str, BaseSorting]
CHOICE = ("chosen", "score", "runner_up", "runner_up_score")
"""Arrays of a fusing step with a value for each unit that it made."""


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A finished pass.

    Parameters
    ----------
    facts
        What the record says of it.
    before
        Those of the analyses that it was given that are stored, whole.
    results
        What it left.
    decisions
        About units, in the order taken; as `Decision`, in plain values.
    measures
        Arrays that it kept, by name.
    """

    facts: Facts
    before: Sortings
    results: Sortings
    decisions: Sequence[Facts]
    measures: Mapping[str, NDArray[Any]]

    @property
    def label(self) -> str:
        """Name of the pass for people."""
        return str(self.facts["label"])

    @property
    def fuses(self) -> bool:
        """Whether its results are new sortings that replace those given."""
        return modules.load(self.facts["module"]).fuses

    @property
    def selector(self) -> Selector:
        """The category that it worked on."""
        return Selector.parse(self.facts["selector"])


@dataclass(frozen=True)
class Stored:
    """A run, as far as it came.

    Parameters
    ----------
    record
        As in provenance.json.
    params
        The text of the params.json; nothing where it is missing.
    steps
        The finished passes.
    sortings
        At the end of these; an analysis that no pass worked on and no sorter of this run made is not among them.
    members
        For each unit of a fused sorting the decisions about the units that it was made of.
    choices
        For such a unit what its train was chosen from, where the step has kept that: `chosen`, `score`, `runner_up`,
        `runner_up_score`.
    missing
        What the record names but the folder doesn't hold, a line each.
    """

    record: Facts
    params: str
    steps: tuple[StoredStep, ...]
    sortings: Sortings
    members: Mapping[UnitRef, Sequence[Facts]]
    choices: Mapping[UnitRef, Facts]
    missing: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Sampling frequency in Hz."""
        return float(self.record["recording"]["sampling_frequency"])

    @cached_property
    def timeline(self) -> Timeline:
        """The segments of the recording."""
        return Timeline(tuple(self.record["recording"]["samples"]))

    @cached_property
    def trains(self) -> dict[UnitRef, Train]:
        """All spikes of the units at the end."""
        return {
            UnitRef(name, unit): train
            for name, sorting in self.sortings.items()
            for unit, train in srt.trains(sorting, self.timeline).items()
        }


def read(logs: Path) -> Stored:
    """Read what the latest run in a logs folder has finished.

    Raises
    ------
    InputError
        There is no run.
    """
    if not (logs / MARKER).is_file():
        raise InputError(f"{logs} is no logs folder of Lussac. Give the logs_folder of a run.")
    record = assemble(_latest_events(logs / EVENTS))
    if "status" not in record:
        raise InputError(f"{logs} has no readable record of a run ({EVENTS}). Run lussac with this logs_folder first.")
    state, missing = _sorted(record)
    steps: list[StoredStep] = []
    members: dict[UnitRef, Sequence[Facts]] = {}
    choices: dict[UnitRef, Facts] = {}
    for facts in record["steps"]:
        folder = logs / "steps" / Path(facts.get("folder") or "-").name  # the logs may have been moved since
        if "results" in facts and Committed.read(folder):
            steps.append(_load(folder, facts, state))
            state = _after(state, steps[-1])
            named = _neurons(steps[-1], state)
            members |= _members(steps[-1], named)
            choices |= _choices(steps[-1], named)
        else:
            missing.append(f"{facts['label']}: nothing is stored ({facts.get('message') or facts['outcome']})")
    return Stored(record, _params(logs), tuple(steps), state, members, choices, tuple(missing))


def _params(logs: Path) -> str:
    file = logs / "params.json"
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _latest_events(file: Path) -> list[dict[str, Any]]:
    """Return the events of the latest run; the last line of a run that was killed may be cut off."""
    events = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if event["run"] == events[-1]["run"]]


def _sorted(record: Facts) -> tuple[dict[str, BaseSorting], list[str]]:
    """Return what the sorters of this run gave, and a line for each that gave nothing."""
    state: dict[str, BaseSorting] = {}
    missing = []
    for run in record["sorters"]:
        folder = Path(run.get("folder") or "-") / "sorting"
        if run["outcome"] in {"done", "reused", "stale"} and folder.is_dir():
            state[run["name"]] = srt.load(folder)
        else:
            missing.append(f"sorter {run['name']}: {run['outcome']}. {run.get('message', '')}".strip())
    return state, missing


def _load(folder: Path, facts: Facts, state: Sortings) -> StoredStep:
    table = folder / "decisions.jsonl"
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    return StoredStep(
        facts=facts,
        before={name: state[name] for name in facts["inputs"] if name in state},
        results={name: srt.load(folder / "sortings" / name) for name in facts["results"]},
        decisions=[json.loads(line) for line in lines],
        measures={file.stem: np.load(file, allow_pickle=False) for file in sorted((folder / "arrays").glob("*.npy"))},
    )


def _after(state: Sortings, step: StoredStep) -> dict[str, BaseSorting]:
    """Return the sortings that a pass leaves: where it fuses, the units that it was given are gone."""
    if not step.fuses:
        return {**state, **step.results}
    left = {name: _unselected(sorting, step.selector) for name, sorting in step.before.items()}
    following = {name: sorting for name, sorting in {**state, **left}.items() if name not in left or sorting.get_num_units()}
    for name, sorting in step.results.items():
        present = following.get(name)
        following[name] = sorting if present is None else srt.gather(present, srt.keep(present, []), sorting)
    return following


def _unselected(sorting: BaseSorting, selector: Selector) -> BaseSorting:
    return srt.keep(sorting, [unit for unit, category in srt.categories(sorting).items() if not selector.matches(category)])


def _neurons(step: StoredStep, state: Sortings) -> dict[UnitId, UnitRef]:
    """Return for each unit that a pass has made, as the pass called it, what it is called now; none where it made none."""
    named: dict[UnitId, UnitRef] = {}
    for name, sorting in step.results.items() if step.fuses else ():
        own = srt.unit_ids(sorting)
        # beside units of another pass, a unit that this pass called 0 may be called otherwise
        joined = srt.unit_ids(state[name])
        named |= {unit: UnitRef(name, now) for unit, now in zip(own, joined[len(joined) - len(own) :], strict=True)}
    return named


def _members(step: StoredStep, named: Mapping[UnitId, UnitRef]) -> dict[UnitRef, Sequence[Facts]]:
    """Return the decisions about the members of each unit that a pass has made; they are stored from logs_level 2 on."""
    found: dict[UnitRef, list[Facts]] = {ref: [] for ref in named.values()} if step.decisions else {}
    for decision in step.decisions:
        unit = decision["numbers"].get("unit")
        if decision["action"] == Action.MERGED and unit in named:
            found[named[unit]].append(decision)
    return dict(found)


def _choices(step: StoredStep, named: Mapping[UnitId, UnitRef]) -> dict[UnitRef, Facts]:
    """Return what the train of each unit that a pass has made was chosen from."""
    kept = {name: step.measures[name].tolist() for name in CHOICE if name in step.measures}
    return {
        ref: {name: values[unit] for name, values in kept.items()}
        for unit, ref in named.items()
        if kept and isinstance(unit, int) and all(unit < len(values) for values in kept.values())
    }
