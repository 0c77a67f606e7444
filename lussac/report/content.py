"""What the page of a run shows, as plain values."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lussac import sortings as srt
from lussac.algorithms.timeline import Timeline
from lussac.modules import MERGED
from lussac.modules.find_purkinje_cells import PURKINJE
from lussac.report import curves
from lussac.report.stored import Facts, Stored, StoredStep
from lussac.report.tables import Row, refractory_period
from lussac.report.templates import Pictures
from lussac.report.verdicts import contributions, removed

MOST_DRAWN, MOST_DECISIONS = 800, 8000
"""Units that are drawn, and decisions that are listed, before the page gets too large; the tables beside it hold all."""


def of_run(stored: Stored, pictures: Pictures | None, units: Sequence[Row], decisions: Sequence[Row]) -> dict[str, Any]:
    """Return the content.

    Parameters
    ----------
    stored
        The run.
    pictures
        Templates of its units, if there are any.
    units, decisions
        From `tables` and `verdicts`.
    """
    record, gone = stored.record, removed(stored)
    return {
        "kind": "run",
        "title": f"Lussac {record['software']['lussac']}: {record['params']['file']}",
        "record": {key: record.get(key) for key in ("status", "started", "ended", "message", "params", "recording", "command")},
        "params_file": stored.params,
        "software": software(record),
        "seconds": stored.timeline.total / stored.rate if "recording" in record else math.nan,
        "segments": segments_of(stored.timeline, stored.rate) if "recording" in record else [],
        "missing": [*stored.missing, *_unseen(pictures, units)],
        "steps": [_step(step) for step in stored.steps],
        "flow": list(_flow(stored)),
        "merged": MERGED,
        "analyses": contributions(stored, units),
        "units": units,
        "refractory": refractory_period(stored),
        "curves": unit_curves(stored, pictures) if stored.sortings else {},
        "probe": probe(pictures),
        "pairs": list(_pairs(stored)) if stored.sortings else [],
        "removed": gone[:MOST_DECISIONS],
        "decisions": decisions[:MOST_DECISIONS],
        "decided": len(decisions),
    }


def software(record: Facts) -> dict[str, Any]:
    """Return what ran: software, machine, and each sorter with its image."""
    return {"software": record["software"], "host": record["host"], "sorters": [*map(_sorter, record["sorters"])]}


def segments_of(timeline: Timeline, rate: float) -> list[float]:
    """Return the length of each segment of the recording in s."""
    return [samples / rate for samples in timeline.durations]


def probe(pictures: Pictures | None) -> dict[str, Any] | None:
    """Return the channels: names, places (um), noise (uV), and those that were left out."""
    if pictures is None:
        return None
    return {
        "positions": pictures.positions.tolist(),
        "channels": pictures.channels,
        "noise": [round(value, 2) for value in pictures.noise.tolist()],
        "bad_channels": [channel._asdict() for channel in pictures.bad_channels],
    }


def unit_curves(stored: Stored, pictures: Pictures | None) -> dict[str, Any]:
    """Return what is drawn of each unit, in the order of the table of units."""
    trains = {ref: stored.trains[ref] for ref in list(stored.trains)[:MOST_DRAWN]}
    drawn = curves.of_trains(list(trains.values()), stored.timeline, stored.rate)
    if pictures is None:
        return drawn
    near = curves.neighbours(trains, pictures, stored.rate)
    return drawn | curves.of_pictures(list(trains), pictures, stored.timeline, stored.rate, len(trains)) | {"neighbours": near}


def _unseen(pictures: Pictures | None, units: Sequence[Row]) -> Iterator[str]:
    if units and pictures is None:
        yield "Templates, amplitudes and the probe: not stored. A run with logs_level 2 that comes to its end writes them."


def _sorter(run: Facts) -> dict[str, Any]:
    names = ("name", "sorter", "outcome", "seconds", "units", "engine", "image", "versions", "parameters", "message")
    return {name: run.get(name) for name in names}


def _step(step: StoredStep) -> dict[str, Any]:
    return {
        "label": step.label,
        "module": step.facts["module"],
        "outcome": step.facts["outcome"],
        "seconds": step.facts.get("seconds"),
        "before": sum(facts["units"] for facts in step.facts["inputs"].values()),
        "after": sum(facts["units"] for facts in step.facts["results"].values()),
        "removed": sum(decision["action"] == "removed" for decision in step.decisions),
        "params": step.facts["params"],
    }


def _flow(stored: Stored) -> Iterator[dict[str, Any]]:
    """Yield what the units of each analysis became in each pass that changed their number: from where, to where, how many."""
    latest: dict[str, str] = {}
    for step in stored.steps:
        inputs, results = step.facts["inputs"], step.facts["results"]
        if not (step.fuses or any(inputs[name]["units"] != facts["units"] for name, facts in results.items())):
            continue
        for name, facts in inputs.items():
            source, own = latest.get(name, name), f"{name}, {step.label}"
            gone = _gone(step, name)
            for target, units in {**gone, own: facts["units"] - sum(gone.values())}.items():
                yield {"name": name, "source": source, "target": target, "units": units}
            latest[name] = own
        latest |= {name: f"{name}, {step.label}" for name in results}


def _gone(step: StoredStep, name: str) -> dict[str, int]:
    """Return where the units of an analysis went that a pass has not left in it, and how many."""
    before, lost = step.facts["inputs"][name]["units"], f"removed, {step.label}"
    if not step.fuses:
        return {lost: before - step.facts["results"][name]["units"]}
    fused = f"{next(iter(step.facts['results']))}, {step.label}"
    if not step.decisions:  # they are stored from logs_level 2 on
        return {fused: before}
    actions = Counter(decision["action"] for decision in step.decisions if decision["unit"][0] == name)
    return {fused: actions["merged"], lost: actions["removed"]}


def _pairs(stored: Stored) -> Iterator[Mapping[str, Any]]:
    """Yield the Purkinje cells among the units at the end, with the correlogram of simple spikes around complex spikes."""
    pauses = [step.facts["params"].get("cross_corr_pause") for step in stored.steps]
    pause = next((given for given in reversed(pauses) if given), None)
    for name, sorting in stored.sortings.items():
        labels = sorting.get_property(PURKINJE)
        if labels is None:
            continue
        wanted = {pair for label in labels.tolist() for pair in str(label).split(" ; ") if pair}
        ids = [unit for unit, label in zip(srt.unit_ids(sorting), labels.tolist(), strict=True) if label]
        trains = srt.trains(srt.keep(sorting, ids), stored.timeline)
        for simple in ids:
            for complex_ in ids:
                if f"{simple}-{complex_}" in wanted:
                    counts = curves.packed(curves.cross(trains[complex_], trains[simple], stored.rate), "<u4")
                    yield {"sorting": name, "simple": simple, "complex": complex_, "counts": counts, "pause": pause}
