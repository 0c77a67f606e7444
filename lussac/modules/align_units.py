"""Moves the spikes of each unit so that they lie on the peak of its waveform."""

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting

from lussac.algorithms.templates import aligned_peak, extremum_channel
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import Fraction, Samples, WaveformExtraction
from lussac.sortings import build, properties, unit_ids
from lussac.traces import Templates
from lussac.units import Action, Decision, UnitRef


class Params(ModuleParams):
    """How the peak is found."""

    wvf_extraction: WaveformExtraction = WaveformExtraction(
        ms_before=2.0, ms_after=2.0, max_spikes_per_unit=1000, filter_band=(200.0, 6000.0)
    )
    """How templates are taken; no spike moves by more than the window."""
    threshold: Fraction = 0.5
    """The first peak that reaches this share of the maximum is taken."""
    check_next: Samples = 10
    """How many samples after that peak may hold a higher one, which is then taken."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Shift each unit by one amount; drop the spikes that leave the recording."""
    templates = context.traces.templates(sortings, params.wvf_extraction, context.seed)
    shifts = {ref: shift for ref, shift in zip(templates.refs, peak_shifts(templates, params), strict=True) if shift}
    durations = np.array([context.recording.get_num_samples(i) for i in range(context.recording.get_num_segments())])
    moved = {
        name: shifted(sorting, np.array([shifts.get(UnitRef(name, unit), 0) for unit in unit_ids(sorting)], np.int64), durations)
        for name, sorting in sortings.items()
    }
    decisions = tuple(
        Decision(ref, Action.CHANGED, f"moved by {shift} samples to the peak", {"shift": float(shift)})
        for ref, shift in shifts.items()
    )
    return Outcome(sortings=moved, decisions=decisions)


def peak_shifts(templates: Templates, params: Params) -> list[int]:
    """Return for each template how many samples after the spike its first large peak is, on its main channel."""
    shifts = []
    for mean, count in zip(templates.means, templates.counts.tolist(), strict=True):
        main = mean[:, extremum_channel(mean)]
        shifts.append(aligned_peak(main, params.threshold, params.check_next) - templates.before if count else 0)
    return shifts


def shifted(sorting: BaseSorting, shifts: NDArray[np.int64], durations: NDArray[np.int64]) -> BaseSorting:
    """Return a sorting whose units are moved.

    Parameters
    ----------
    sorting
        Not modified.
    shifts
        For each unit, in samples.
    durations
        Of each segment, in samples: spikes outside are dropped.
    """
    spikes = sorting.to_spike_vector().copy()
    spikes["sample_index"] += shifts[spikes["unit_index"]]
    inside = (spikes["sample_index"] >= 0) & (spikes["sample_index"] < durations[spikes["segment_index"]])
    segments = sorting.get_num_segments()
    return build(spikes[inside], unit_ids(sorting), sorting.sampling_frequency, segments, properties(sorting))


MODULE = Module(Params, run)
