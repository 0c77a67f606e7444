"""Removes spikes of a unit that follow another of its spikes too soon to be one of their own."""

from typing import Literal

import numpy as np
from spikeinterface.core import BaseSorting

from lussac.algorithms.spiketrains import remove_close_spikes
from lussac.algorithms.timeline import Train
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import Milliseconds
from lussac.recording import timeline
from lussac.sortings import from_trains, trains
from lussac.spikes import unit_seed
from lussac.units import Action, Decision, UnitRef

Method = Literal["keep_first", "keep_last", "keep_first_iterative", "keep_last_iterative", "random"]


class Params(ModuleParams):
    """When a spike is a duplicate."""

    censored_period: Milliseconds = 0.3
    """Two spikes at this distance or less are one (ms)."""
    method: Method = "keep_first_iterative"
    """Which of them stays, as in `spikeinterface.curation.find_duplicated_spikes`."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Remove the duplicated spikes of every unit."""
    segments, censored = timeline(context.recording), context.samples(params.censored_period)
    cleaned: dict[str, BaseSorting] = {}
    decisions = []
    for name, sorting in sortings.items():
        units = trains(sorting, segments)
        kept = {
            unit: without_duplicates(train, censored, params.method, unit_seed(UnitRef(name, unit), context.seed))
            for unit, train in units.items()
        }
        cleaned[name] = from_trains(kept, segments, sorting.sampling_frequency, sorting)
        decisions += [
            _told(UnitRef(name, unit), train, kept[unit]) for unit, train in units.items() if len(kept[unit]) < len(train)
        ]
    return Outcome(sortings=cleaned, decisions=tuple(decisions))


def without_duplicates(train: Train, censored: int, method: Method, seed: int) -> Train:
    """Return a train without duplicated spikes, the same as `spikeinterface.curation.find_duplicated_spikes` leaves.

    Parameters
    ----------
    train
        Sorted spikes.
    censored
        Distance of duplicates, in samples.
    method
        Which spike stays.
    seed
        For the random method.
    """
    apart = np.diff(train) > censored
    match method:
        case "keep_first_iterative":
            return remove_close_spikes(train, censored)
        case "keep_last_iterative":
            return -remove_close_spikes(-train[::-1], censored)[::-1]
        case "keep_first":
            return train[np.concatenate([[True], apart])[: len(train)]]
        case "keep_last":
            return train[np.concatenate([apart, [True]])[: len(train)]]
        case "random":
            from spikeinterface.curation import find_duplicated_spikes  # noqa: PLC0415 - takes long to import, and is rarely used

            return np.delete(train, find_duplicated_spikes(train, censored, method, seed))


def _told(unit: UnitRef, before: Train, after: Train) -> Decision:
    removed = len(before) - len(after)
    reason = f"{removed} of {len(before)} spikes were duplicates"
    return Decision(unit, Action.CHANGED, reason, {"removed": float(removed), "spikes": float(len(before))})


MODULE = Module(Params, run)
