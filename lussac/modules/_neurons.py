"""The sorting that merging makes: a unit per neuron, and where it came from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from spikeinterface.core import NumpySorting

from lussac.algorithms.timeline import Timeline, Train
from lussac.columns import Column
from lussac.modules.base import Sortings
from lussac.sortings import CATEGORY, categories, from_trains, gather, keep, properties, unit_ids, without_spikes
from lussac.units import NO_CATEGORY, UnitId, UnitRef

PREFIX = "lussac_"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A neuron.

    Parameters
    ----------
    train
        On the timeline.
    source
        Where the train comes from, for a reader.
    members
        Its units; it takes over the properties of the first one. May be empty.
    agreement_count
        How many analyses found it.
    mean_agreement
        Mean Jaccard index with the best units of the other analyses, 0 .. 1.
    numbers
        What else is known about it, by name.
    """

    train: Train
    source: str
    members: tuple[UnitRef, ...]
    agreement_count: int
    mean_agreement: float
    numbers: Mapping[str, float] = field(default_factory=dict)


def merged_sorting(found: Sequence[Found], sortings: Sortings, timeline: Timeline, sampling_frequency: float) -> NumpySorting:
    """Return the merged sorting: units 0, 1, ... in the order of the neurons.

    Parameters
    ----------
    found
        The neurons.
    sortings
        Those that their units come from, for the properties.
    timeline
        The segments of the recording.
    sampling_frequency
        In Hz.
    """
    units: dict[UnitId, Train] = {place: neuron.train for place, neuron in enumerate(found)}
    result = from_trains(units, timeline, sampling_frequency)
    unknown = from_trains({0: np.zeros(0, np.int64)}, timeline, sampling_frequency)
    columns = _inherited(found, sortings, unknown) | {
        f"{PREFIX}source": np.array([neuron.source for neuron in found], dtype=str),
        f"{PREFIX}agreement_count": np.array([neuron.agreement_count for neuron in found], dtype=np.int64),
        f"{PREFIX}mean_agreement": np.array([neuron.mean_agreement for neuron in found], dtype=np.float64),
    }
    if CATEGORY in columns:
        columns[CATEGORY] = np.array(_categories(found, sortings), dtype=str)
    for name in sorted({name for neuron in found for name in neuron.numbers}):
        columns[f"{PREFIX}{name}"] = np.array([neuron.numbers.get(name, np.nan) for neuron in found], dtype=np.float64)
    for key, column in columns.items():
        result.set_property(key, column)
    return result


def name_of(ref: UnitRef) -> str:
    """Return a unit as users read it: ``analysis/unit``."""
    return f"{ref.sorting}/{ref.unit}"


def _inherited(found: Sequence[Found], sortings: Sortings, unknown: NumpySorting) -> dict[str, Column]:
    """Return the properties of each neuron's first unit; missing values, as of an unknown unit, where it has none."""
    refs = [UnitRef(name, unit) for name, sorting in sortings.items() for unit in unit_ids(sorting)]
    parts = [*map(without_spikes, sortings.values()), unknown]
    together = reduce(lambda first, second: gather(first, keep(first, []), second), parts)
    place = {ref: index for index, ref in enumerate(refs)}
    rows = np.array([place[neuron.members[0]] if neuron.members else len(refs) for neuron in found], dtype=np.int64)
    return {key: column[rows] for key, column in properties(together).items()}


def _categories(found: Sequence[Found], sortings: Sortings) -> list[str]:
    """Return the most frequent category of each neuron's units; of equally frequent ones the first unit's."""
    known = {name: categories(sorting) for name, sorting in sortings.items()}
    counts = [Counter(known[ref.sorting][ref.unit] for ref in neuron.members) for neuron in found]
    return [count.most_common(1)[0][0] if count else NO_CATEGORY for count in counts]
