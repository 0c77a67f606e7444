"""Units and decisions as rows of plain values, with the numbers that can be had from stored spikes."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lussac import sortings as srt
from lussac.algorithms.contamination import contamination
from lussac.algorithms.spiketrains import best_shift, match_spikes
from lussac.algorithms.timeline import Train
from lussac.quality import ATTRIBUTES
from lussac.report.stored import Stored, StoredStep
from lussac.report.templates import Pictures
from lussac.units import UnitRef

Row = Mapping[str, Any]
OWN = "lussac_"
REFRACTORY = (0.2, 1.0)
"""Censored and refractory period (ms) where no module of the run was given any."""
MATCH = 0.4
"""How far apart (ms) two spikes may be to be one."""


def refractory_period(stored: Stored) -> tuple[float, float]:
    """Return the censored and refractory period (ms) that the run worked with."""
    given = [step.facts["params"].get("refractory_period") for step in stored.steps]
    return next((tuple(periods) for periods in reversed(given) if periods), REFRACTORY)


def units(stored: Stored, pictures: Pictures | None = None) -> list[Row]:
    """Return a row for each unit at the end of the run: its numbers, its properties, what modules have measured of it.

    `firing_rate` is in Hz, `contamination` (0 to 1) is that of Llobet et al. (2022). ``members`` names the units that it was
    made of, each with its agreement (share of the spikes of either that both have; NaN where it isn't stored). From templates:
    `peak_to_peak` in uV, `main_channel`, and `SNR` where no module has measured it.
    """
    if not stored.sortings:
        return []
    measured, seconds = _measured(stored), stored.timeline.total / stored.rate
    censored, refractory = (round(period * 1e-3 * stored.rate) for period in refractory_period(stored))
    before = _trains_before(stored)
    properties = {ref: values for name in stored.sortings for ref, values in _properties(stored, name).items()}
    return [
        {
            "sorting": ref.sorting,
            "unit": ref.unit,
            "spikes": len(train),
            "firing_rate": len(train) / seconds if seconds else math.nan,
            "contamination": contamination(train, censored, max(refractory, censored + 1), stored.timeline.total),
        }
        | _sizes(ref, pictures)
        | measured.get(ref, {})
        | properties[ref]
        | ({"members": _members(stored, before, ref)} if ref in stored.members else {})
        for ref, train in stored.trains.items()
    ]


def decisions(stored: Stored) -> list[Row]:
    """Return a row for each decision of each module, with the numbers that decided as columns."""
    return [
        {
            "step": step.label,
            "sorting": decision["unit"][0],
            "unit": decision["unit"][1],
            "action": decision["action"],
            "reason": decision["reason"],
        }
        | {f"value_{name}": value for name, value in decision["numbers"].items()}
        for step in stored.steps
        for decision in step.decisions
    ]


def to_csv(rows: Sequence[Row], first: Sequence[str]) -> str:
    """Return rows as CSV with a header; a value that a row lacks is empty.

    Parameters
    ----------
    rows
        Their columns may differ.
    first
        Columns that are there even if there is no row.
    """
    columns = dict.fromkeys([*first, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _sizes(ref: UnitRef, pictures: Pictures | None) -> dict[str, Any]:
    """Return what the template of a unit tells."""
    if pictures is None:
        return {}
    place = pictures.places[ref]
    channel = int(pictures.best[place, 0])
    size, noise = float(pictures.sizes[place, channel]), float(pictures.noise[channel])
    return {"main_channel": pictures.channels[channel], "peak_to_peak": size, "SNR": size / noise if noise else math.nan}


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _properties(stored: Stored, name: str) -> dict[UnitRef, dict[str, Any]]:
    """Return what a sorting says of its units; what a sorter measured is kept apart from what the report does."""
    sorting = stored.sortings[name]
    taken = {"sorting", "unit", "spikes", "firing_rate", "contamination", "members", "main_channel", "peak_to_peak", *ATTRIBUTES}
    columns = {key.removeprefix(OWN): values.tolist() for key, values in srt.properties(sorting).items()}
    named = {f"{key}_given" if key in taken else key: values for key, values in columns.items()}
    return {
        UnitRef(name, unit): {key: values[index] for key, values in named.items()}
        for index, unit in enumerate(srt.unit_ids(sorting))
    }


def _measured(stored: Stored) -> dict[UnitRef, dict[str, float]]:
    """Return what modules have measured of units on the traces; the latest where several did."""
    found: dict[UnitRef, dict[str, float]] = {}
    for step in stored.steps:
        refs = _given(step)
        for name in sorted(set(step.measures) & set(ATTRIBUTES) - {"firing_rate", "contamination"}):
            values = step.measures[name].tolist()
            if len(values) == len(refs):
                for ref, value in zip(refs, values, strict=True):
                    found.setdefault(ref, {})[name] = value
    return found


def _given(step: StoredStep) -> list[UnitRef]:
    """Return the units that a pass worked on, in its order; none where not all of its inputs are stored."""
    if set(step.before) != set(step.facts["inputs"]):
        return []
    chosen = {name: srt.select(sorting, step.selector) for name, sorting in step.before.items()}
    return [UnitRef(name, unit) for name, sorting in chosen.items() for unit in srt.unit_ids(sorting)]


def _trains_before(stored: Stored) -> dict[UnitRef, Train]:
    """Return the spikes of the units that fused ones were made of, where they are stored."""
    return {
        UnitRef(name, unit): train
        for step in stored.steps
        if step.fuses
        for name, sorting in step.before.items()
        for unit, train in srt.trains(sorting, stored.timeline).items()
    }


def _members(stored: Stored, before: Mapping[UnitRef, Train], ref: UnitRef) -> list[dict[str, Any]]:
    """Return the units that one was made of, each with its agreement and what was decided."""
    return [
        {
            "sorting": member.sorting,
            "unit": member.unit,
            "agreement": _agreement(before[member], stored.trains[ref], stored.rate) if member in before else math.nan,
            "decided": decision["reason"],
        }
        for decision in stored.members[ref]
        for member in (UnitRef(*decision["unit"]),)
    ]


def _agreement(a: Train, b: Train, rate: float) -> float:
    """Return the Jaccard index of two trains, up to a shift of 1 ms."""
    window, reach = round(MATCH * 1e-3 * rate), round(1e-3 * rate)
    shared = len(match_spikes(a + best_shift(a, b, reach, window), b, window)[0])
    return shared / max(len(a) + len(b) - shared, 1)
