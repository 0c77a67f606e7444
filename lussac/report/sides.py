"""The runs and sortings that are compared, read and checked: they must be of one recording."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseSorting

from lussac import sortings as srt
from lussac.algorithms.timeline import Timeline
from lussac.analyses import load_analysis
from lussac.errors import InputError, UsageError
from lussac.modules import MERGED
from lussac.report.stored import Stored, read
from lussac.report.templates import Pictures, read_templates
from lussac.store import MARKER
from lussac.units import UnitRef

GENERIC = ("logs", "lussac", "sorter_output")
"""Names of folders that tell nothing about what is in them."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the sortings that are compared.

    Parameters
    ----------
    name
        As it is called on the page.
    source
        As the run or file is called that it comes from.
    path
        Where it comes from.
    sorting
        Its units.
    run
        The run that made it; None for a sorting alone.
    pictures
        What its run kept of the traces, if anything.
    """

    name: str
    source: str
    path: Path
    sorting: BaseSorting
    run: Stored | None = None
    pictures: Pictures | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What all sides share: the segments of the recording, its sampling frequency in Hz, and what is to be said about that."""

    timeline: Timeline
    rate: float
    notes: tuple[str, ...]


def read_sides(paths: Sequence[Path]) -> list[Side]:
    """Read what is to be compared: of a run the merged sorting, or all its sortings where nothing was merged.

    Raises
    ------
    UsageError
        There is less than two to compare.
    InputError
        Something is no run and no sorting, or can't be read.
    """
    sides = [side for path, name in zip(paths, _names(paths), strict=True) for side in _read(path, name)]
    if len(sides) < 2:
        found = f"{paths[0]} holds {len(sides)} sorting(s)" if paths else "nothing is given"
        raise UsageError(f"There must be two sortings or more to compare, but {found}. Name another run or sorting.")
    return sides


def scene_of(sides: Sequence[Side]) -> tuple[Scene, list[Side]]:
    """Return the recording of all sides, and the sides without spikes outside of it.

    Raises
    ------
    InputError
        They are not of one recording.
    """
    rate = sides[0].sorting.sampling_frequency
    for side in sides[1:]:
        if abs(side.sorting.sampling_frequency - rate) > srt.RATE_TOLERANCE:
            raise _unlike(sides[0], side, f"{rate:g} Hz and {side.sorting.sampling_frequency:g} Hz")
    runs = [side for side in sides if side.run]
    lengths = {side.name: tuple(side.run.record["recording"]["samples"]) for side in runs if side.run}
    for side in runs[1:]:
        if lengths[side.name] != lengths[runs[0].name]:
            raise _unlike(runs[0], side, f"{lengths[runs[0].name]} and {lengths[side.name]} samples")
    notes = []
    if runs:
        durations = lengths[runs[0].name]
        if len({side.run.record["recording"]["hash"] for side in runs if side.run}) > 1:
            notes.append(
                "The runs differ in the recording or in its preprocessing; their spikes are compared by time all the same."
            )
    else:
        durations = _ends(sides)
        notes.append("How long the recording is isn't known without a run: it is taken to end with the last spike.")
    inside = []
    for side in sides:
        if side.sorting.get_num_segments() > len(durations):
            raise _unlike(runs[0], side, f"{len(durations)} and {side.sorting.get_num_segments()} segments")
        fitting, lost = _inside(side, durations)
        notes += [f"{side.name}: {lost} spikes lie outside of the recording and are left out."] if lost else []
        inside.append(fitting)
    return Scene(Timeline(durations), rate, tuple(notes)), inside


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a short name for each path, as long as it must be to tell it from the others."""
    parts = [_telling(path) for path in paths]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


def _telling(path: Path) -> list[str]:
    """Return the parts of a path without the ending of a file and folders that are called alike everywhere."""
    full = path.absolute()
    parts = [*full.parts[1:-1], full.name.removesuffix(".json").removesuffix(".npz")]
    while len(parts) > 1 and parts[-1] in GENERIC:
        parts.pop()
    return parts


def _read(path: Path, name: str) -> Iterator[Side]:
    if not (path / MARKER).is_file():
        yield Side(name, name, path, load_analysis(path))
        return
    run = read(path)
    if not run.sortings:
        why = run.missing[0] if run.missing else "no step has kept one"
        raise InputError(f"{path} holds no sorting ({why}). Finish that run, or leave it out.")
    pictures = read_templates(path, run)
    chosen = {MERGED: run.sortings[MERGED]} if MERGED in run.sortings else run.sortings
    for own, sorting in chosen.items():
        side = name if len(chosen) == 1 else f"{name}/{own}"
        seen = None if pictures is None else _renamed(pictures, own, side)
        yield Side(side, name, path, sorting, run, seen)


def _renamed(pictures: Pictures, sorting: str, side: str) -> Pictures:
    places = {UnitRef(side, ref.unit): place for ref, place in pictures.places.items() if ref.sorting == sorting}
    return replace(pictures, places=places)


def _unlike(first: Side, second: Side, values: str) -> InputError:
    return InputError(
        f"{first.path} and {second.path} are not of one recording: {values}. Compare runs and sortings of the same recording."
    )


def _ends(sides: Sequence[Side]) -> tuple[int, ...]:
    """Return how long each segment must be at least to hold all spikes, in samples."""
    ends = [0] * max(side.sorting.get_num_segments() for side in sides)
    for side in sides:
        spikes = side.sorting.to_spike_vector()
        for segment in range(side.sorting.get_num_segments()):
            last = spikes["sample_index"][spikes["segment_index"] == segment]
            ends[segment] = max(ends[segment], int(last.max(initial=-1)) + 1)
    return tuple(ends)


def _inside(side: Side, durations: tuple[int, ...]) -> tuple[Side, int]:
    """Return a side without the spikes that lie outside of the recording, and how many these are."""
    spikes = side.sorting.to_spike_vector()
    limits = np.array([*durations, 0], dtype=np.int64)
    segment = np.minimum(spikes["segment_index"], len(durations))
    kept = (spikes["sample_index"] >= 0) & (spikes["sample_index"] < limits[segment])
    ids, values = srt.plain_ids(side.name, side.sorting.unit_ids), srt.properties(side.sorting)
    sorting = srt.build(spikes[kept], ids, side.sorting.sampling_frequency, len(durations), values)
    return replace(side, sorting=sorting), int(np.count_nonzero(~kept))
