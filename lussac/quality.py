"""What is measured of a unit to judge it: a table of attributes, each a small function of all units at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from spikeinterface.core import BaseSorting

from lussac.algorithms import contamination as llobet
from lussac.algorithms.spiketrains import remove_close_spikes
from lussac.algorithms.templates import PeakSign
from lussac.algorithms.timeline import Timeline, Train
from lussac.params import Milliseconds, Periods, Strict, WaveformExtraction
from lussac.recording import timeline
from lussac.sortings import trains
from lussac.spikes import by_unit
from lussac.traces import Templates, Traces
from lussac.units import UnitRef

PeakMode = Literal["extremum", "at_index", "peak_to_peak"]
Values = NDArray[np.float64]
"""One value per unit, in the order of `Units.refs`; NaN where it can't be computed."""


class Bounds(Strict):
    """The values of an attribute that are accepted, both ends included."""

    min: float | None = None
    """Smallest value that is accepted."""
    max: float | None = None
    """Largest value that is accepted."""

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"'min' ({self.min:g}) can't exceed 'max' ({self.max:g})")
        return self

    def accept(self, value: float) -> bool:
        """Tell whether a value lies within the bounds; NaN never does."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


class FiringRate(Bounds):
    """Spikes per second of recording (Hz)."""


class Contamination(Bounds):
    """Share of spikes that are not the neuron's (0 to 1), estimated from refractory violations."""

    refractory_period: Periods
    """Censored and refractory period (ms)."""

    @model_validator(mode="after")
    def _some_period(self) -> Self:
        if self.refractory_period[0] == self.refractory_period[1]:
            raise ValueError("the refractory period must be longer than the censored one")
        return self


class Amplitude(Bounds):
    """Size of the template on its main channel (uV)."""

    peak_sign: PeakSign = "both"
    """Which peaks count."""
    mode: PeakMode = "extremum"
    """The highest peak, the value at the spike, or from the lowest to the highest value."""


class SignalToNoise(Bounds):
    """Size of the template on its main channel over the noise (median absolute deviation) there."""

    peak_sign: PeakSign = "both"
    """Which peaks decide on the main channel, and count."""
    peak_mode: PeakMode = "peak_to_peak"
    """The highest peak, the value at the spike, or from the lowest to the highest value."""


class SpikeAmplitudes(Strict):
    """Where the amplitude of a spike is taken."""

    peak_sign: PeakSign = "both"
    """Sign of the template's peak that tells the channel and the moment."""


class SDRatioOptions(Strict):
    """How the standard deviation of the amplitudes is corrected."""

    censored_period_ms: Milliseconds = 4.0
    """Spikes that follow another one by less are left out: a burst changes the amplitude (ms)."""
    correct_for_drift: bool = True
    """Take the deviation from the differences of successive spikes."""
    correct_for_template_itself: bool = True
    """Take what the unit's own spikes add to the noise out of it."""


class SDRatio(Bounds):
    """Standard deviation of the unit's spike amplitudes over that of the traces on its main channel."""

    spike_amplitudes_kwargs: SpikeAmplitudes = SpikeAmplitudes()
    """Where the amplitude of a spike is taken."""
    sd_ratio_kwargs: SDRatioOptions = SDRatioOptions()
    """Corrections."""


class ISIPortion(Bounds):
    """Share of the inter-spike intervals inside a range (0 to 1)."""

    range: tuple[Milliseconds, Milliseconds]
    """Shortest and longest interval that counts (ms)."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"'range' must go from the shorter to the longer interval, not {list(self.range)}")
        return self


class Criteria(Strict):
    """Attributes that a unit must have; all of those that are given."""

    firing_rate: FiringRate | None = None
    contamination: Contamination | None = None
    amplitude: Amplitude | None = None
    SNR: SignalToNoise | None = None
    sd_ratio: SDRatio | None = None
    ISI_portion: ISIPortion | None = None

    def given(self) -> dict[str, Bounds]:
        """Return the attributes that were given, in the order of the table."""
        return {name: bounds for name in ATTRIBUTES if (bounds := getattr(self, name)) is not None}


@dataclass(frozen=True, eq=False)
class Units:
    """All units of some sortings, with what is measured of them; nothing is computed before it is asked for, nor twice.

    Parameters
    ----------
    sortings
        By name.
    traces
        Of the recording that they belong to.
    extraction
        How templates are taken.
    seed
        For the spikes that make a template.
    """

    sortings: Mapping[str, BaseSorting]
    traces: Traces
    extraction: WaveformExtraction
    seed: int

    @cached_property
    def refs(self) -> tuple[UnitRef, ...]:
        """The units, in the order of the sortings."""
        return tuple(UnitRef(name, unit) for name, sorting in self.sortings.items() for unit in sorting.unit_ids.tolist())

    @cached_property
    def timeline(self) -> Timeline:
        """The segments of the recording."""
        return timeline(self.traces.recording)

    @cached_property
    def trains(self) -> tuple[Train, ...]:
        """Spikes of each unit on the timeline."""
        by_sorting = (trains(sorting, self.timeline).values() for sorting in self.sortings.values())
        return tuple(train for units in by_sorting for train in units)

    @cached_property
    def templates(self) -> Templates:
        """Mean waveforms, in the order of `refs`."""
        return self.traces.templates(self.sortings, self.extraction, self.seed)

    def amplitudes(self, channels: NDArray[np.int64], shifts: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """Return the band-passed traces at the spikes of each unit (uV), on a channel and at a distance of its own."""
        at_spikes = self.traces.values(self.sortings, self.extraction.filter_band, channels, shifts)
        return [
            amplitudes
            for name, sorting in self.sortings.items()
            for amplitudes in by_unit(at_spikes[name], sorting.to_spike_vector()["unit_index"], sorting.get_num_units())
        ]

    def samples(self, milliseconds: float) -> int:
        """Return a time in samples."""
        return round(milliseconds * 1e-3 * self.traces.recording.sampling_frequency)


def values(name: str, params: Bounds, units: Units) -> dict[UnitRef, float]:
    """Return an attribute of every unit; NaN where it can't be computed.

    Parameters
    ----------
    name
        A key of `ATTRIBUTES`.
    params
        Of that attribute.
    units
        What it is computed of.
    """
    return dict(zip(units.refs, ATTRIBUTES[name](params, units).tolist(), strict=True))


def measure(criteria: Criteria, units: Units) -> dict[UnitRef, dict[str, float]]:
    """Return for each unit the values of all attributes that have a criterion."""
    measured = {name: values(name, bounds, units) for name, bounds in criteria.given().items()}
    return {ref: {name: column[ref] for name, column in measured.items()} for ref in units.refs}


def failures(criteria: Criteria, numbers: Mapping[str, float]) -> tuple[str, ...]:
    """Return the attributes whose value is not accepted."""
    return tuple(name for name, bounds in criteria.given().items() if not bounds.accept(numbers[name]))


def columns(table: Mapping[UnitRef, Mapping[str, float]], criteria: Criteria) -> dict[str, Values]:
    """Return a table of measures as one array per attribute, in the order of the units."""
    return {name: np.array([numbers[name] for numbers in table.values()]) for name in criteria.given()}


def explain(name: str, bounds: Bounds, value: float) -> str:
    """Return why a value is not accepted, as a short clause."""
    if np.isnan(value):
        return f"{name} can't be computed"
    if bounds.min is not None and value < bounds.min:
        return f"{name} {value:.4g} is below {bounds.min:g}"
    return f"{name} {value:.4g} is above {bounds.max:g}"


def _firing_rate(_: FiringRate, units: Units) -> Values:
    seconds = units.timeline.total / units.traces.recording.sampling_frequency
    counts = np.array([len(train) for train in units.trains], dtype=np.float64)
    return counts / seconds if seconds else np.full(len(counts), np.nan)


def _contamination(params: Contamination, units: Units) -> Values:
    censored, refractory = (units.samples(period) for period in params.refractory_period)
    refractory, duration = max(refractory, censored + 1), units.timeline.total
    return np.array([llobet.contamination(train, censored, refractory, duration) for train in units.trains])


def _amplitude(params: Amplitude, units: Units) -> Values:
    sizes = template_sizes(units.templates, params.peak_sign, params.mode).max(axis=1)
    return np.where(units.templates.counts > 0, sizes, np.nan)


def _snr(params: SignalToNoise, units: Units) -> Values:
    sizes = template_sizes(units.templates, params.peak_sign, params.peak_mode)
    noise = units.templates.noise[sizes.argmax(axis=1)]
    return np.divide(sizes.max(axis=1), noise, out=np.full(len(sizes), np.nan), where=(noise > 0) & (units.templates.counts > 0))


def _sd_ratio(params: SDRatio, units: Units) -> Values:
    """Measure the spread of amplitudes against the noise, as SpikeInterface's `compute_sd_ratio` does."""
    options, templates = params.sd_ratio_kwargs, units.templates
    channels, moments = main_peaks(templates, params.spike_amplitudes_kwargs.peak_sign)
    amplitudes = units.amplitudes(channels, moments - templates.before)
    window = units.samples(options.censored_period_ms)
    ratios = np.full(len(units.refs), np.nan)
    for index, (train, values_of_train) in enumerate(zip(units.trains, amplitudes, strict=True)):
        alone = np.searchsorted(train, remove_close_spikes(train, window))
        spread = _spread(train[alone], values_of_train[alone], units.timeline, drifting=options.correct_for_drift)
        variance = float(units.traces.noise_sd(units.extraction.filter_band)[channels[index]]) ** 2
        if options.correct_for_template_itself:
            variance -= _own_variance(templates.means[index, :, channels[index]], len(train), units.timeline.total)
        if templates.counts[index] and variance > 0:
            ratios[index] = spread / np.sqrt(variance)
    return ratios


def _isi_portion(params: ISIPortion, units: Units) -> Values:
    shortest, longest = (period * 1e-3 * units.traces.recording.sampling_frequency for period in params.range)
    return np.array([_share_between(_intervals(train, units.timeline), shortest, longest) for train in units.trains])


ATTRIBUTES: Mapping[str, Callable[[Any, Units], Values]] = {
    "firing_rate": _firing_rate,
    "contamination": _contamination,
    "amplitude": _amplitude,
    "SNR": _snr,
    "sd_ratio": _sd_ratio,
    "ISI_portion": _isi_portion,
}


def template_sizes(templates: Templates, peak_sign: PeakSign, mode: PeakMode) -> NDArray[np.float32]:
    """Return the size of each template on each channel (units x channels, uV), as SpikeInterface's `get_template_amplitudes`."""
    means = templates.means
    if mode == "peak_to_peak":
        return np.ptp(means, axis=1)
    if mode == "at_index":
        at_spike = means[:, min(templates.before, means.shape[1] - 1)]
        return np.abs(at_spike)
    highest = {"both": np.abs(means), "neg": -means, "pos": means}[peak_sign]
    return np.maximum(highest.max(axis=1), 0)


def main_peaks(templates: Templates, peak_sign: PeakSign) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each template the channel and the sample of its highest peak."""
    means = templates.means
    channels = template_sizes(templates, peak_sign, "extremum").argmax(axis=1)
    main = np.take_along_axis(means, channels[:, None, None], axis=2)[:, :, 0]
    return channels, {"both": np.abs(main), "neg": -main, "pos": main}[peak_sign].argmax(axis=1)


def _spread(train: Train, amplitudes: NDArray[np.float32], segments: Timeline, *, drifting: bool) -> float:
    """Return the standard deviation of the amplitudes; NaN where there are too few."""
    amplitudes = amplitudes.astype(np.float64)
    if drifting:
        same = _within_segment(train, segments)
        amplitudes = np.diff(amplitudes)[same] / np.sqrt(2)
    return float(amplitudes.std()) if len(amplitudes) > 1 else np.nan


def _own_variance(template: NDArray[np.float32], spikes: int, duration: int) -> float:
    """Return the variance of a trace that is zero but for a unit's spikes, which don't overlap."""
    covered = len(template) * spikes / duration
    return float(covered * np.mean(template**2) - covered**2 * np.mean(template) ** 2)


def _share_between(intervals: NDArray[np.int64], shortest: float, longest: float) -> float:
    if len(intervals) == 0:
        return np.nan
    return float(np.mean((intervals >= shortest) & (intervals <= longest)))


def _intervals(train: Train, segments: Timeline) -> NDArray[np.int64]:
    """Return the inter-spike intervals in samples, without those across a border."""
    return np.diff(train)[_within_segment(train, segments)]


def _within_segment(train: Train, segments: Timeline) -> NDArray[np.bool_]:
    """Tell for each pair of successive spikes whether they lie in one segment."""
    return np.diff(segments.restore(train)[0]) == 0
