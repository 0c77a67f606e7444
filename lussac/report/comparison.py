"""Runs and sortings of one recording side by side: what each found of the same neurons, and in what the runs differ."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussac import sortings as srt
from lussac.algorithms.agreement import compare, group_neurons
from lussac.algorithms.timeline import Train
from lussac.report import curves
from lussac.report.content import MOST_DRAWN, probe, segments_of, software
from lussac.report.sides import Scene, Side, read_sides, scene_of
from lussac.report.stored import Facts
from lussac.report.tables import MATCH, MAX_SHIFT, REFRACTORY, Row, described, refractory_period
from lussac.report.templates import Pictures
from lussac.units import UnitRef

MIN_AGREEMENT = 0.5
"""From which on two units are one neuron: more than half of the spikes of either are in both."""
NUMBERS = ("spikes", "firing_rate", "contamination", "SNR", "peak_to_peak")
"""Columns of a unit that the table of neurons has for each run."""


def match(trains: Sequence[Train], sides: Sequence[str], rate: float, window: float, least: float) -> list[dict[str, Any]]:
    """Group the units of all sides into neurons, at most one of each side.

    Parameters
    ----------
    trains, sides
        Of each unit.
    rate
        Sampling frequency in Hz.
    window
        Largest distance of two spikes that are one, in ms.
    least
        Agreement (spikes of both over spikes of either) from which on two units are one neuron.

    Returns
    -------
    For each neuron `members`, places of its units, and `agreements`: of each with every other one, members x members.
    """
    if not trains:
        return []
    shared = compare(trains, sides, round(MAX_SHIFT * 1e-3 * rate), round(window * 1e-3 * rate), least)
    counts = np.diagonal(shared.coincidences)
    either = np.maximum(np.add.outer(counts, counts) - shared.coincidences, 1)
    agreement: NDArray[np.float64] = shared.coincidences / either
    names = np.asarray(sides)
    same = names[:, np.newaxis] == names
    groups = group_neurons(np.where((agreement >= least) & ~same, agreement, 0.0), same & ~np.eye(len(names), dtype=bool))
    return [{"members": list(group), "agreements": agreement[np.ix_(group, group)]} for group in groups]


def of_sides(paths: Sequence[Path], window: float = MATCH, least: float = MIN_AGREEMENT) -> dict[str, Any]:
    """Return what the page of a comparison shows; see `read_sides`, `scene_of` and `match` for parameters and errors."""
    scene, sides = scene_of(read_sides(paths))
    trains = {
        UnitRef(side.name, unit): train for side in sides for unit, train in srt.trains(side.sorting, scene.timeline).items()
    }
    runs = {side.source: side.run for side in sides if side.run}
    periods = next(map(refractory_period, runs.values()), REFRACTORY)
    rows = [row for side in sides for row in _described(side, scene, trains, periods)]
    found = match(list(trains.values()), [ref.sorting for ref in trains], scene.rate, window, least)
    neurons = _neurons(found, rows, [side.name for side in sides])
    return {
        "kind": "comparison",
        "title": f"Lussac: {', '.join(side.name for side in sides)}",
        "notes": scene.notes,
        "window": window,
        "least": least,
        "runs": [_summed_up(side, rows, neurons) for side in sides],
        "differs": differences({name: run.record for name, run in runs.items()}) if len(runs) > 1 else None,
        "software": [{"name": name, "command": run.record["command"], **software(run.record)} for name, run in runs.items()],
        "seconds": scene.timeline.total / scene.rate,
        "segments": segments_of(scene.timeline, scene.rate),
        "refractory": periods,
        "units": rows,
        "neurons": neurons,
        "curves": _curves(sides, scene, trains),
        "probe": probe(next((side.pictures for side in sides if side.pictures), None)),
    }


def differences(records: Mapping[str, Facts]) -> list[Row]:
    """Return in what runs differ, of software, recording, inputs, sorters and steps: a row for each value, a column for each run.

    A sorter, a step or an input that not all of them have is one row.
    """
    essentials = {name: _essentials(record) for name, record in records.items()}
    rows: list[Row] = []
    for kind in dict.fromkeys(kind for facts in essentials.values() for kind in facts):
        sections = {name: facts[kind] for name, facts in essentials.items()}
        keys = dict.fromkeys(key for section in sections.values() for key in section)
        shared = [key for key in keys if all(key in section for section in sections.values())]
        rows += [
            {"what": f"{kind}: {key}"} | {name: "there" if key in section else "not there" for name, section in sections.items()}
            for key in keys
            if key not in shared
        ]
        flat = {name: dict(_flat({key: section[key] for key in shared}, f"{kind}: ")) for name, section in sections.items()}
        values = dict.fromkeys(key for section in flat.values() for key in section)
        rows += [{"what": key} | {name: section.get(key) for name, section in flat.items()} for key in values]
    return [row for row in rows if len({repr(row[name]) for name in records}) > 1]


def table_of(content: Mapping[str, Any]) -> list[Row]:
    """Return a row for each neuron: its unit in each run, and the numbers of that."""
    units = content["units"]
    rows: list[Row] = []
    for neuron in content["neurons"]:
        row = {name: neuron[name] for name in ("neuron", "found_in", "mean_agreement")}
        for place in neuron["places"]:
            unit = units[place]
            row |= {unit["sorting"]: unit["unit"]} | {f"{unit['sorting']}_{name}": unit[name] for name in NUMBERS if name in unit}
        rows.append(row)
    return rows


def _described(side: Side, scene: Scene, trains: Mapping[UnitRef, Train], periods: tuple[float, float]) -> Iterable[Row]:
    own = {ref: train for ref, train in trains.items() if ref.sorting == side.name}
    return described({side.name: side.sorting}, own, scene.timeline, scene.rate, periods, side.pictures).values()


def _neurons(found: Sequence[Mapping[str, Any]], rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return a row for each neuron, those that most sides found first; numbers are those of its unit in the first side."""
    order = sorted(found, key=lambda group: (-len(group["members"]), -_mean_agreement(group["agreements"])))
    neurons: list[Row] = []
    for number, group in enumerate(order):
        places = sorted(group["members"], key=lambda place: names.index(rows[place]["sorting"]))
        agreement = _mean_agreement(group["agreements"])
        first = rows[places[0]]
        neurons.append(
            {"neuron": number, "found_in": len(places), "mean_agreement": agreement, "places": places}
            | {f"unit in {rows[place]['sorting']}": rows[place]["unit"] for place in places}
            | {name: first[name] for name in NUMBERS if name in first}
            | {"agreements": _ordered(group, places).tolist()}
        )
    return neurons


def _ordered(group: Mapping[str, Any], places: Sequence[int]) -> NDArray[np.float64]:
    rows = [group["members"].index(place) for place in places]
    agreements: NDArray[np.float64] = np.round(group["agreements"][np.ix_(rows, rows)], 4)
    return agreements


def _mean_agreement(agreements: NDArray[np.float64]) -> float:
    """Return the mean over all pairs; NaN where there is none."""
    pairs = agreements[np.triu_indices(len(agreements), 1)]
    return float(pairs.mean()) if len(pairs) else math.nan


def _summed_up(side: Side, rows: Sequence[Row], neurons: Sequence[Row]) -> Row:
    own = [row for row in rows if row["sorting"] == side.name]
    mine = [neuron for neuron in neurons if f"unit in {side.name}" in neuron]
    record = side.run.record if side.run else {}
    spent = [part.get("seconds") or 0.0 for part in (*record.get("sorters", ()), *record.get("steps", ()))]
    return {
        "name": side.name,
        "path": str(side.path),
        "kind": "run" if side.run else "sorting",
        "status": record.get("status"),
        "started": record.get("started"),
        "units": len(own),
        "spikes": sum(row["spikes"] for row in own),
        "median SNR": _median(row.get("SNR", math.nan) for row in own),
        "median contamination": _median(row["contamination"] for row in own),
        "median firing rate": _median(row["firing_rate"] for row in own),
        "in others too": sum(neuron["found_in"] > 1 for neuron in mine),
        "alone": sum(neuron["found_in"] == 1 for neuron in mine),
        "run time": sum(spent) if spent else None,
        "missing": side.run.missing if side.run else (),
    }


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan


def _curves(sides: Sequence[Side], scene: Scene, trains: Mapping[UnitRef, Train]) -> dict[str, Any]:
    """Return what is drawn of all units; None in the place of what the traces show where a run has not kept that."""
    refs = list(trains)[:MOST_DRAWN]
    drawn = curves.of_trains([trains[ref] for ref in refs], scene.timeline, scene.rate)
    seen = next((side.pictures for side in sides if side.pictures), None)
    if seen is None:
        return drawn
    for side in sides:
        own = [ref for ref in refs if ref.sorting == side.name]
        alike = side.pictures if side.pictures and _one_probe(seen, side.pictures) else None
        part = curves.of_pictures(own, alike, scene.timeline, scene.rate, len(refs)) if alike else {}
        drawn |= {name: value for name, value in part.items() if not isinstance(value, list)}
        for name in curves.SEEN:
            drawn.setdefault(name, []).extend(part.get(name, itertools.repeat(None, len(own))))
    return drawn


def _one_probe(first: Pictures, second: Pictures) -> bool:
    return first.channels == second.channels and np.array_equal(first.positions, second.positions)


def _essentials(record: Facts) -> dict[str, dict[str, Any]]:
    """Return of a record what decides on the result, by kind and name."""
    sorters = {
        run["name"]: {key: run.get(key) for key in ("sorter", "outcome", "parameters", "versions")}
        | {"image": _image(run.get("image"))}
        for run in record["sorters"]
    }
    names = [step["label"].partition("-")[2] for step in record["steps"]]
    steps = {name: {"version": step["version"], **step["params"]} for name, step in zip(names, record["steps"], strict=True)}
    return {
        "software": record["software"] | {"image": _image(record["software"].get("image"))},
        "recording": record.get("recording", {}),
        "input": {Path(facts["path"]).name: facts["sha256"] for facts in record["inputs"]},
        "sorter": sorters,
        "step": steps,
        "order": {"of steps": ", ".join(names)},
    }


def _image(image: Facts | str | None) -> str | None:
    """Return what tells an image from others: the hash of its contents, else its name."""
    return image["rootfs"] or image["requested"] if isinstance(image, Mapping) else image or None


def _flat(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield the values inside of mappings, with the keys that lead to them."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}{key}" if path.endswith(" ") else f"{path}.{key}")
    else:
        yield path, value
