"""Sortings inside the pipeline: built, checked, chosen by category, put together again, written to disk and hashed.

A sorting of the pipeline is always a `NumpySorting` whose spikes are in order (segment, sample, unit) and whose unit ids are
all int or all str. Nothing here changes the sorting it is given, and sortings may share the array of their spikes. One that was
read from the disk has its spikes in memory only where they are looked at.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting, NumpySorting
from spikeinterface.core.base import minimum_spike_dtype
from spikeinterface.core.basesorting import SpikeVectorSortingSegment

from lussac import columns
from lussac.algorithms.timeline import Timeline, Train
from lussac.columns import Column, Properties
from lussac.errors import InputError
from lussac.units import NO_CATEGORY, Selector, UnitId

CATEGORY = "lussac_category"
SPIKES_FILE = "spikes.npy"
UNITS_FILE = "units.json"
LOOKED_AT = 1 << 16
"""Spikes that are looked at at once where an array over all of them would need as much memory as they do."""
RATE_TOLERANCE = 1e-2
"""Hz that the sampling frequencies of a recording and of a sorting may differ by."""

SPIKE = np.dtype([(name, "<i8") for name, _ in minimum_spike_dtype])
"""How a spike is stored: `sample_index`, `unit_index`, `segment_index`."""


def unit_ids(sorting: BaseSorting) -> list[UnitId]:
    """Return the ids of the units as plain int or str, in their order."""
    return list(sorting.unit_ids.tolist())


def categories(sorting: BaseSorting) -> dict[UnitId, str]:
    """Return the category of each unit, ``""`` where it has none."""
    values = sorting.get_property(CATEGORY)
    if values is None:
        return dict.fromkeys(unit_ids(sorting), NO_CATEGORY)
    return {unit: str(value or NO_CATEGORY) for unit, value in zip(unit_ids(sorting), values.tolist(), strict=True)}


def properties(sorting: BaseSorting) -> dict[str, Column]:
    """Return the properties of the units by name; the arrays belong to the sorting, so don't write into them."""
    return {key: np.asarray(sorting.get_property(key)) for key in sorting.get_property_keys()}


def build(
    spikes: Column, ids: Sequence[UnitId], sampling_frequency: float, segments: int, values: Properties | None = None
) -> NumpySorting:
    """Make a sorting.

    Parameters
    ----------
    spikes
        Structured array with `sample_index`, `unit_index` and `segment_index`, in any order; not copied where it has the right
        one, so that nobody may change it afterwards.
    ids
        Unit ids, all int or all str.
    sampling_frequency
        In Hz.
    segments
        How many the recording has; the last ones may have no spikes.
    values
        Properties of the units, arrays of shape (units, ...).

    Raises
    ------
    ValueError
        Where a spike belongs to a unit or segment that doesn't exist.
    """
    if not _consistent(spikes, len(ids), segments):
        raise ValueError("there are spikes of a unit or segment that doesn't exist")
    ordered = _in_order(spikes)
    return _completed(NumpySorting(ordered, sampling_frequency, _names(ids)), ordered, segments, values or {})


def _names(ids: Sequence[UnitId]) -> Column:
    return np.array(ids) if len(ids) else np.empty(0, dtype=np.int64)


def _completed(sorting: NumpySorting, spikes: Column, segments: int, values: Properties) -> NumpySorting:
    """Add the last segments, which have no spikes, and the properties."""
    for index in range(sorting.get_num_segments(), segments):
        sorting.add_sorting_segment(SpikeVectorSortingSegment(spikes, index, sorting.unit_ids))
    for key, column in values.items():
        sorting.set_property(key, column)
    return sorting


def _in_order(spikes: Column) -> Column:
    """Return spikes ordered by segment, sample and unit, in the one type that they are written in: themselves if they are so."""
    typed = np.ascontiguousarray(spikes, dtype=SPIKE) if spikes.dtype == SPIKE else _typed(spikes)
    if _is_ordered(typed):
        return typed
    return typed[np.lexsort([typed[name] for name in ("unit_index", "sample_index", "segment_index")])]


def _typed(spikes: Column) -> Column:
    typed = np.empty(len(spikes), dtype=SPIKE)
    for name in SPIKE.names or ():
        typed[name] = spikes[name]
    return typed


def _is_ordered(spikes: Column) -> bool:
    """Tell whether spikes are in order, looking at a stretch of them at a time."""
    return all(_follow(spikes[first : first + LOOKED_AT + 1]) for first in range(0, len(spikes), LOOKED_AT))


def _follow(spikes: Column) -> bool:
    segments, samples, units = (spikes[name] for name in ("segment_index", "sample_index", "unit_index"))
    later = samples[1:] > samples[:-1]
    later |= (samples[1:] == samples[:-1]) & (units[1:] >= units[:-1])
    return bool(np.all((segments[1:] > segments[:-1]) | ((segments[1:] == segments[:-1]) & later)))


def _consistent(spikes: Column, units: int, segments: int) -> bool:
    """Tell whether each spike belongs to a unit and a segment that exist."""
    limits = (("unit_index", units), ("segment_index", segments))
    return len(spikes) == 0 or all(spikes[field].min() >= 0 and spikes[field].max() < limit for field, limit in limits)


def check(name: str, sorting: BaseSorting, recording: BaseRecording) -> tuple[NumpySorting, tuple[str, ...]]:
    """Make sure that a sorting fits a recording.

    Returns
    -------
    sorting
        With plain ids, its spikes in order and inside the recording.
    notes
        What was changed or dropped, one sentence each.

    Raises
    ------
    InputError
        Where it belongs to another recording or is damaged.
    """
    _check_rate(name, sorting.sampling_frequency, recording.sampling_frequency)
    durations = np.array([recording.get_num_samples(i) for i in range(recording.get_num_segments())], dtype=np.int64)
    spikes = sorting.to_spike_vector()
    _check_segments(name, sorting.get_num_segments(), len(durations), has_spikes=len(spikes) > 0)
    ids = plain_ids(name, sorting.unit_ids)
    if not _consistent(spikes, len(ids), len(durations)):
        raise InputError(f"Analysis {name!r} is damaged: it has spikes of a unit or segment that doesn't exist. Export it again.")
    notes = []
    inside = (spikes["sample_index"] >= 0) & (spikes["sample_index"] < durations[spikes["segment_index"]])
    if not inside.all():
        lost = int(np.count_nonzero(~inside))
        notes.append(f"Analysis {name!r}: {lost} of {len(spikes)} spikes lie outside the recording and were dropped.")
        spikes = spikes[inside]
    place = spikes["segment_index"] * (durations.max(initial=0) + 1) + spikes["sample_index"]
    if (np.diff(place) < 0).any():
        notes.append(f"Analysis {name!r}: its spikes were not in the order of time and were sorted.")
    return build(spikes, ids, recording.sampling_frequency, len(durations), properties(sorting)), tuple(notes)


def _check_rate(name: str, found: float, expected: float) -> None:
    if not abs(found - expected) <= RATE_TOLERANCE:
        raise InputError(
            f"Analysis {name!r} has a sampling frequency of {found:g} Hz, the recording of {expected:g} Hz. "
            "Give an analysis of this recording, or correct the sampling frequency in the section 'recording'."
        )


def _check_segments(name: str, found: int, expected: int, *, has_spikes: bool) -> None:
    if found == expected or not has_spikes:
        return
    raise InputError(
        f"Analysis {name!r} has {found} segment(s), the recording has {expected}. "
        "Give an analysis of the same segments, or load the recording as it was sorted (some sorters join the segments)."
    )


def plain_ids(name: str, ids: Column) -> list[UnitId]:
    """Return ids as int or str; refuse those that occur twice."""
    plain: list[UnitId] = [int(value) if ids.dtype.kind in "iu" else columns.text(value) for value in ids.tolist()]
    seen: set[UnitId] = set()
    for unit in plain:
        if unit in seen:
            raise InputError(f"Analysis {name!r} has two units with the id {unit!r}. Give each unit an id of its own.")
        seen.add(unit)
    return plain


def select(sorting: BaseSorting, selector: Selector) -> BaseSorting:
    """Return a sorting of the units that a selector chooses, with all their properties; the sorting itself where that is all."""
    chosen = [unit for unit, category in categories(sorting).items() if selector.matches(category)]
    return sorting if len(chosen) == sorting.get_num_units() else keep(sorting, chosen)


def without_spikes(sorting: BaseSorting) -> NumpySorting:
    """Return a sorting of the same units with their properties, and no spikes."""
    ids, segments = unit_ids(sorting), sorting.get_num_segments()
    return build(np.empty(0, SPIKE), ids, sorting.sampling_frequency, segments, properties(sorting))


def keep(sorting: BaseSorting, units: Collection[UnitId]) -> NumpySorting:
    """Return a sorting of only these units, in the order of the sorting."""
    wanted = set(units)
    mask = np.array([unit in wanted for unit in unit_ids(sorting)], dtype=bool)
    spikes = sorting.to_spike_vector()
    spikes = spikes[mask[spikes["unit_index"]]].copy()
    spikes["unit_index"] = (np.cumsum(mask) - 1)[spikes["unit_index"]]
    ids = [unit for unit in unit_ids(sorting) if unit in wanted]
    values = {key: column[mask] for key, column in properties(sorting).items()}
    return build(spikes, ids, sorting.sampling_frequency, sorting.get_num_segments(), values)


def gather(before: BaseSorting, selected: BaseSorting, after: BaseSorting | None) -> NumpySorting:
    """Put the units that a module worked on back beside those that it never saw.

    Parameters
    ----------
    before
        The whole sorting.
    selected
        The part of it that the module was given.
    after
        What the module made of this part; None where nothing is left of it.

    Returns
    -------
    sorting
        First the units that were not selected, under their ids, then those of `after`. One of these whose id is taken, or of
        another kind than the ids in `before`, gets a fresh one. A property that `after` lost comes back for units it kept.
    """
    given = set(unit_ids(selected))
    rest = keep(before, [unit for unit in unit_ids(before) if unit not in given])
    if after is None:
        return rest
    ids = [*unit_ids(rest), *_fresh_ids(unit_ids(after), taken=unit_ids(rest), used=[*unit_ids(before), *unit_ids(after)])]
    values = columns.join(properties(rest), _restored(selected, after), rest.get_num_units(), after.get_num_units())
    return build(_followed_by(rest, after), ids, before.sampling_frequency, before.get_num_segments(), values)


def _followed_by(rest: BaseSorting, after: BaseSorting) -> Column:
    """Return the spikes of both, the units of the second counted after those of the first."""
    first, second = rest.to_spike_vector(), after.to_spike_vector()
    if not rest.get_num_units():
        return second
    both = np.concatenate([first, second])
    both["unit_index"][len(first) :] += rest.get_num_units()
    return both


def _fresh_ids(wanted: Sequence[UnitId], taken: Collection[UnitId], used: Collection[UnitId]) -> list[UnitId]:
    """Return ids of the kind of `taken` that don't collide with it; a new one is used nowhere else."""
    if not taken:
        return list(wanted)
    if any(isinstance(unit, str) for unit in taken):
        return _fresh_names([str(unit) for unit in wanted], {str(unit) for unit in taken}, {str(unit) for unit in used})
    numbers = [unit for unit in used if isinstance(unit, int)]
    following = iter(range(max(numbers) + 1, max(numbers) + 1 + len(wanted)))
    return [unit if isinstance(unit, int) and unit not in taken else next(following) for unit in wanted]


def _fresh_names(wanted: Sequence[str], taken: Collection[str], used: Collection[str]) -> list[UnitId]:
    occupied, fresh = set(used), list[UnitId]()
    for name in wanted:
        if name in taken:
            name = next(new for new in (f"{name}_{n}" for n in range(2, len(occupied) + 3)) if new not in occupied)  # noqa: PLW2901
            occupied.add(name)
        fresh.append(name)
    return fresh


def _restored(selected: BaseSorting, after: BaseSorting) -> dict[str, Column]:
    """Return the properties of `after` and those that only `selected` has, for the units that both have."""
    place = {unit: index for index, unit in enumerate(unit_ids(selected))}
    source = np.array([place.get(unit, -1) for unit in unit_ids(after)], dtype=np.int64)
    own = properties(after)
    lost = {key: columns.take(column, source) for key, column in properties(selected).items() if key not in own}
    return own | lost


def trains(sorting: BaseSorting, timeline: Timeline) -> dict[UnitId, Train]:
    """Return the spikes of each unit as sorted positions on a timeline."""
    spikes = sorting.to_spike_vector()
    positions = timeline.flatten(spikes["segment_index"], spikes["sample_index"])
    order = np.lexsort((positions, spikes["unit_index"]))
    counts = np.bincount(spikes["unit_index"], minlength=sorting.get_num_units())
    parts = np.split(positions[order], np.cumsum(counts)[:-1])
    return dict(zip(unit_ids(sorting), parts, strict=False))


def from_trains(
    units: Mapping[UnitId, Train], timeline: Timeline, sampling_frequency: float, properties_from: BaseSorting | None = None
) -> NumpySorting:
    """Return the sorting that has these trains.

    Parameters
    ----------
    units
        Positions on the timeline, in samples; those in no segment are left out.
    timeline
        The segments of the recording.
    sampling_frequency
        In Hz.
    properties_from
        A sorting whose properties are taken over, unit by unit; a unit that it doesn't have gets missing values.
    """
    counts = np.array([len(train) for train in units.values()], dtype=np.int64)
    positions = np.concatenate([*units.values(), np.empty(0, dtype=np.int64)])
    inside = timeline.inside(positions)
    spikes = np.empty(int(np.count_nonzero(inside)), dtype=minimum_spike_dtype)
    spikes["segment_index"], spikes["sample_index"] = timeline.restore(positions[inside])
    spikes["unit_index"] = np.repeat(np.arange(len(counts)), counts)[inside]
    values: dict[str, Column] = {}
    if properties_from is not None:
        place = {unit: index for index, unit in enumerate(unit_ids(properties_from))}
        source = np.array([place.get(unit, -1) for unit in units], dtype=np.int64)
        values = {key: columns.take(column, source) for key, column in properties(properties_from).items()}
    return build(spikes, list(units), sampling_frequency, len(timeline.durations), values)


def save(sorting: BaseSorting, folder: Path) -> None:
    """Write a sorting as `spikes.npy` and `units.json`, without pickles: equal sortings give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / SPIKES_FILE, _in_order(sorting.to_spike_vector()), allow_pickle=False)
    (folder / UNITS_FILE).write_text(_units_json(sorting), encoding="utf-8")


class StoredSorting(NumpySorting):
    """A sorting whose spikes lie in a file.

    They are mapped anew whenever they are asked for: what was read of them leaves the memory with the array that is given.
    """

    def __init__(self, file: Path, sampling_frequency: float, unit_ids: Column) -> None:
        super().__init__(_mapped(file), sampling_frequency, unit_ids)
        self._file = file

    def to_spike_vector(self, *args: Any, **options: Any) -> Column:  # noqa: ANN401 - SpikeInterface's own
        """Return the spikes, as every sorting does."""
        return super().to_spike_vector(*args, **options) if args or options else _mapped(self._file)


def _mapped(file: Path) -> Column:
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def load(folder: Path) -> NumpySorting:
    """Read what `save` wrote; its files must stay, and stay as they are, as long as the sorting is used."""
    units = json.loads((folder / UNITS_FILE).read_text(encoding="utf-8"))
    values = {key: columns.from_json(column) for key, column in units["properties"].items()}
    ids, rate, segments = units["ids"], units["sampling_frequency"], units["segments"]
    spikes = _mapped(folder / SPIKES_FILE)
    if spikes.dtype != SPIKE or not _is_ordered(spikes) or not _consistent(spikes, len(ids), segments):
        return build(spikes, ids, rate, segments, values)
    return _completed(StoredSorting(folder / SPIKES_FILE, rate, _names(ids)), _mapped(folder / SPIKES_FILE), segments, values)


def shelve(sortings: Mapping[str, BaseSorting], folder: Path) -> dict[str, NumpySorting]:
    """Write sortings into a folder and return them as they lie there, so that they need no memory."""
    for name, sorting in sortings.items():
        save(sorting, folder / name)
    return {name: load(folder / name) for name in sortings}


def held(sorting: BaseSorting) -> NumpySorting:
    """Return a sorting that has its spikes in memory, whatever becomes of its files."""
    spikes, segments = sorting.to_spike_vector().copy(), sorting.get_num_segments()
    return build(spikes, unit_ids(sorting), sorting.sampling_frequency, segments, properties(sorting))


def content_hash(sorting: BaseSorting) -> str:
    """Return the sha256 of all that a sorting holds: equal for equal sortings, wherever they came from."""
    digest = hashlib.sha256(_in_order(sorting.to_spike_vector()).view(np.uint8).data)
    digest.update(_units_json(sorting).encode())
    return digest.hexdigest()


def _units_json(sorting: BaseSorting) -> str:
    content = {
        "ids": unit_ids(sorting),
        "properties": {key: columns.to_json(column) for key, column in properties(sorting).items()},
        "sampling_frequency": float(sorting.sampling_frequency),
        "segments": sorting.get_num_segments(),
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
