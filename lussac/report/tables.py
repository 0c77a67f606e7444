"""Units as rows of plain values, with the numbers that can be had from stored spikes; rows as CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussac import sortings as srt
from lussac.algorithms.agreement import shifted_jaccard
from lussac.algorithms.contamination import contamination
from lussac.algorithms.timeline import Timeline, Train
from lussac.modules import MEMBER_AGREEMENT
from lussac.quality import ATTRIBUTES
from lussac.report.curves import spots_of
from lussac.report.stored import Sortings, Stored, StoredStep
from lussac.report.templates import Pictures
from lussac.units import UnitRef

Row = Mapping[str, Any]
OWN = "lussac_"
OWN_COLUMNS = ("sorting", "unit", "spikes", "firing_rate", "contamination", "main_channel", "x", "y", "peak_to_peak", "members",
               "runner_up", "runner_up_score")  # fmt: skip
"""Columns of the table of units that are not properties of a sorting."""
REFRACTORY = (0.2, 1.0)
"""Censored and refractory period (ms) where no module of the run was given any."""
MATCH, MAX_SHIFT = 0.4, 1.0
"""How far apart (ms) two spikes may be to be one, and what two sortings call the time of a spike."""


def refractory_period(stored: Stored) -> tuple[float, float]:
    """Return the censored and refractory period (ms) that the run worked with."""
    given = [step.facts["params"].get("refractory_period") for step in stored.steps]
    return next((tuple(periods) for periods in reversed(given) if periods), REFRACTORY)


def units(stored: Stored, pictures: Pictures | None = None) -> list[Row]:
    """Return a row for each unit at the end of the run: its numbers, its properties, what modules have measured of it.

    See `described`. ``members`` names the units that it was made of, each with its agreement (share of the spikes of either that
    both have; NaN where it isn't stored), and `runner_up` says what its spikes would have been otherwise.
    """
    if not stored.sortings:
        return []
    measured, before = _measured(stored), _trains_before(stored)
    rows = described(stored.sortings, stored.trains, stored.timeline, stored.rate, refractory_period(stored), pictures)
    return [row | measured.get(ref, {}) | _origin(stored, before, ref) for ref, row in rows.items()]


def described(
    sortings: Sortings,
    trains: Mapping[UnitRef, Train],
    timeline: Timeline,
    rate: float,
    periods: tuple[float, float],
    pictures: Pictures | None,
) -> dict[UnitRef, dict[str, Any]]:
    """Return for each unit what spikes, templates and properties tell.

    `firing_rate` is in Hz, `contamination` (0 to 1) is that of Llobet et al. (2022). From templates: `peak_to_peak` in uV,
    `main_channel`, the place `x`, `y` in um, and `SNR`.

    Parameters
    ----------
    sortings, trains
        The units, and their spikes in the same order.
    timeline, rate
        The segments of the recording, and its sampling frequency in Hz.
    periods
        Censored and refractory period, in ms.
    pictures
        Templates, if there are any.
    """
    censored, refractory = (round(period * 1e-3 * rate) for period in periods)
    seconds = timeline.total / rate
    properties = {ref: values for name in sortings for ref, values in _properties(sortings, name).items()}
    spots = None if pictures is None else spots_of(pictures)
    return {
        ref: {
            "sorting": ref.sorting,
            "unit": ref.unit,
            "spikes": len(train),
            "firing_rate": len(train) / seconds if seconds else math.nan,
            "contamination": contamination(train, censored, max(refractory, censored + 1), timeline.total),
        }
        | ({} if pictures is None or spots is None else _sizes(pictures, pictures.places[ref], spots))
        | properties[ref]
        for ref, train in trains.items()
    }


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


def _sizes(pictures: Pictures, place: int, spots: NDArray[np.float64]) -> dict[str, Any]:
    """Return what the template of a unit tells."""
    channel = int(pictures.near[place, 0])
    size, noise = float(pictures.sizes[place, channel]), float(pictures.noise[channel])
    x, y = (round(value, 1) for value in spots[place].tolist())
    snr = size / noise if noise else math.nan
    return {"main_channel": pictures.channels[channel], "x": x, "y": y, "peak_to_peak": size, "SNR": snr}


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _properties(sortings: Sortings, name: str) -> dict[UnitRef, dict[str, Any]]:
    """Return what a sorting says of its units; what a sorter measured is kept apart from what the report does."""
    sorting = sortings[name]
    taken = {*OWN_COLUMNS, *ATTRIBUTES}
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


def _origin(stored: Stored, before: Mapping[UnitRef, Train], ref: UnitRef) -> dict[str, Any]:
    """Return what a unit was made of, if a module has made it."""
    if ref not in stored.members:
        return {}
    members = [_member(stored, before, ref, decision) for decision in stored.members[ref]]
    choice = stored.choices.get(ref)
    if choice is None:
        return {"members": members}
    return {"members": members, **{name: choice[name] for name in ("score", "runner_up", "runner_up_score")}}


def _member(stored: Stored, before: Mapping[UnitRef, Train], ref: UnitRef, decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return a unit that one was made of, with its agreement and what was decided."""
    member = UnitRef(*decision["unit"])
    return {
        "sorting": member.sorting,
        "unit": member.unit,
        "spikes": len(before[member]) if member in before else math.nan,
        "agreement": _agreement(stored, before, ref, decision),
        "decided": decision["reason"],
    }


def _agreement(stored: Stored, before: Mapping[UnitRef, Train], ref: UnitRef, decision: Mapping[str, Any]) -> float:
    """Return the share of the spikes of a unit or of its member that both have, as stored, or else from the trains.

    Steps of before this was stored lack it; NaN where the member's spikes aren't stored either.
    """
    if MEMBER_AGREEMENT in decision["numbers"]:
        return float(decision["numbers"][MEMBER_AGREEMENT])
    member = UnitRef(*decision["unit"])
    if member not in before:
        return math.nan
    reach, window = round(MAX_SHIFT * 1e-3 * stored.rate), round(MATCH * 1e-3 * stored.rate)
    return shifted_jaccard(before[member], stored.trains[ref], reach, window)
