"""Band-passed traces of one recording, its noise levels and the mean waveforms of its units.

A mean waveform is filtered after the average, not before: a filter is linear, so that the mean of the filtered waveforms is
the filtered mean, as long as the windows are wide enough for the filter's response. That spares filtering the recording.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseRecording, BaseSorting, BinaryRecordingExtractor
from spikeinterface.core.job_tools import fix_job_kwargs

from lussac.algorithms.templates import gaussian_bandpass
from lussac.algorithms.windows import add_windows, filtered_values
from lussac.bandpass import UNFILTERED, Band, BandpassRecording, cutoffs, margin_of, read, scaling, stretches
from lussac.params import WaveformExtraction
from lussac.spikes import Spikes
from lussac.units import UnitRef

SUMS_BYTES = 1 << 28  # sums of waveforms held at once; more units take more passes over the recording
FILTER_BYTES = 1 << 22  # mean waveforms filtered at once
LONGEST_MARGIN = 1 << 12  # samples; with a longer filter it is cheaper to filter the recording once
NOISE_CHUNKS, NOISE_SAMPLES, NOISE_SEED = 20, 10_000, 0
MAD_OF_NORMAL = 0.6744897501960817  # median absolute deviation of the standard normal distribution
ROOM_LEFT = 1 << 30  # bytes that a written band must leave free on the disk


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Mean waveforms of units.

    Parameters
    ----------
    refs
        The units, in the order of the sortings and of the units inside them.
    means
        Units x samples x channels, float32, in uV; zeros for a unit with no spike that could be used.
    counts
        Spikes that went into each mean.
    before
        Samples before the spike: its index inside the window.
    noise
        Median absolute deviation / 0.6745 of the band-passed traces, per channel, float32, in uV.
    """

    refs: tuple[UnitRef, ...]
    means: NDArray[np.float32]
    counts: NDArray[np.int64]
    before: int
    noise: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Noise levels per channel, float32, in uV: from the median absolute deviation, and the plain standard deviation."""

    mad: NDArray[np.float32]
    sd: NDArray[np.float32]


class Traces:
    """The traces of a recording, filtered in different bands; what was computed once is kept.

    All results are the same bytes for any number of jobs.

    Parameters
    ----------
    recording
        Never modified. Without gains its traces are taken to be in uV.
    folder
        For the band-passed copies; removed by whoever made it.
    jobs
        SpikeInterface's job kwargs; `n_jobs` threads are used.
    log
        Told what is filtered and written.
    """

    def __init__(self, recording: BaseRecording, folder: Path, jobs: Mapping[str, object], log: logging.Logger) -> None:
        self.recording = recording
        self._folder = folder
        self.threads: int = fix_job_kwargs({"n_jobs": jobs.get("n_jobs", 1)})["n_jobs"]
        self._log = log
        self._bands: dict[Band, BaseRecording] = {}
        self._noise: dict[Band, Noise] = {}

    def band(self, band: Band | None) -> BaseRecording:
        """Return the recording band-passed by a Gaussian filter; written to the scratch folder on the first call.

        Parameters
        ----------
        band
            Low and high cutoff in Hz, each may be None; None for the recording itself.

        Returns
        -------
        A recording with the same channels and segments, in int16 with the gains of the recording where that is int16, else in
        float32. Where the disk has no room for it, it is filtered whenever it is read: the same values, more slowly.
        """
        key = cutoffs(band)
        if key == UNFILTERED:
            return self.recording
        if key not in self._bands:
            self._bands[key] = self._written(BandpassRecording(self.recording, key), key)
        return self._bands[key]

    def noise(self, band: Band | None) -> NDArray[np.float32]:
        """Return the noise of the band-passed traces: median absolute deviation / 0.6745 per channel, float32, in uV.

        It is the mean over random stretches of the recording, as in SpikeInterface's `get_noise_levels`.
        """
        return self._noise_levels(cutoffs(band)).mad

    def noise_sd(self, band: Band | None) -> NDArray[np.float32]:
        """Return the standard deviation of the band-passed traces per channel, float32, in uV, from the same stretches."""
        return self._noise_levels(cutoffs(band)).sd

    def templates(self, sortings: Mapping[str, BaseSorting], extraction: WaveformExtraction, seed: int) -> Templates:
        """Return the mean waveforms of all units of all sortings, from one pass over the recording.

        Parameters
        ----------
        sortings
            Their units are taken in the order given.
        extraction
            The window, the number of random spikes per unit and the band.
        seed
            For the choice of spikes. A unit's spikes depend on the seed, the names of its sorting and of itself, and on nothing
            else. Spikes whose window leaves their segment are not used.
        """
        band, (before, after) = cutoffs(extraction.filter_band), self.window(extraction)
        refs = _refs(sortings)
        spikes = Spikes.joined(list(self._drawn(sortings, extraction, seed)))
        counts = spikes.counts(len(refs))
        source, margin = self._source(band)
        shape = (before + after + 2 * margin, source.get_num_channels())
        sum_type = _sum_type(source.dtype, counts)
        means = np.zeros((len(refs), before + after, shape[1]), dtype=np.float32)
        for group in _groups(len(refs), sum_type.itemsize * shape[0] * shape[1], SUMS_BYTES):
            sums = np.zeros((group.stop - group.start, *shape), dtype=sum_type)
            self._add_windows(source, spikes.of_slots(group.start, group.stop), before + margin, sums)
            for few in _groups(len(sums), 8 * shape[0] * shape[1], FILTER_BYTES):
                scaled = _means(sums[few], counts[group][few], source)
                means[group][few] = self._filtered(scaled, band, margin)
        means[counts == 0] = 0
        return Templates(refs, means, counts, before, self.noise(band))

    def random_spikes(self, name: str, sorting: BaseSorting, extraction: WaveformExtraction, seed: int) -> NDArray[np.bool_]:
        """Tell which spikes of a sorting's spike vector `templates` takes."""
        spikes = Spikes.of(sorting)
        usable = spikes.fitting(self._durations(), *self.window(extraction))
        return spikes.drawn(_refs({name: sorting}), usable, extraction.max_spikes_per_unit, seed)

    def window(self, extraction: WaveformExtraction) -> tuple[int, int]:
        """Return the samples before a spike, and those from the spike on: at least one."""
        return self._samples(extraction.ms_before), max(self._samples(extraction.ms_after), 1)

    def values(
        self, sortings: Mapping[str, BaseSorting], band: Band | None, channels: NDArray[np.int64], shifts: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the band-passed traces at every spike of all sortings, on one channel per unit, from one pass.

        Parameters
        ----------
        sortings
            Their units are taken in the order given.
        band
            As for `band`.
        channels, shifts
            For each unit its channel, and how many samples after the spike to look; not beyond the border of a segment.

        Returns
        -------
        For each sorting one value per spike of its spike vector, float32, in uV.
        """
        key = cutoffs(band)
        source, margin = self._source(key)
        taps, (gains, offsets) = self._impulse_response(key, margin), scaling(source)
        reach = margin + int(np.abs(shifts).max(initial=0))
        spikes = _numbered(sortings)
        values = {name: np.empty(len(of_sorting.samples), dtype=np.float32) for name, of_sorting in spikes.items()}
        for segment, start, stop in stretches(source):
            traces = read(source, segment, start - reach, stop + reach)
            for name, of_sorting in spikes.items():
                chosen = of_sorting.between(segment, start, stop)
                slots = of_sorting.slots[chosen]
                sample = of_sorting.samples[chosen] + shifts[slots]
                inside = np.clip(sample, 0, source.get_num_samples(segment) - 1) - margin - (start - reach)
                found = filtered_values(traces, inside, channels[slots], taps)
                values[name][chosen] = found * gains[channels[slots]] + taps.sum() * offsets[channels[slots]]
        return values

    def _samples(self, milliseconds: float) -> int:
        return round(milliseconds * 1e-3 * self.recording.sampling_frequency)

    def _durations(self) -> NDArray[np.int64]:
        segments = range(self.recording.get_num_segments())
        return np.array([self.recording.get_num_samples(segment) for segment in segments], dtype=np.int64)

    def _drawn(self, sortings: Mapping[str, BaseSorting], extraction: WaveformExtraction, seed: int) -> Iterator[Spikes]:
        """Yield the random spikes of each sorting: all of its spikes are in memory for one sorting at a time."""
        first = 0
        for name, sorting in sortings.items():
            yield Spikes.of(sorting, first).taken(self.random_spikes(name, sorting, extraction, seed))
            first += sorting.get_num_units()

    def _source(self, band: Band) -> tuple[BaseRecording, int]:
        """Return where to read windows that are filtered afterwards, and by how much wider they must be on each side."""
        margin = margin_of(self.recording, band)
        return (self.recording, margin) if margin <= LONGEST_MARGIN else (self.band(band), 0)

    def _add_windows(self, source: BaseRecording, spikes: Spikes, before: int, sums: NDArray[np.number]) -> None:
        reach = sums.shape[1]
        with ThreadPoolExecutor(self.threads) as pool:
            for segment, start, stop in stretches(source):
                chosen = spikes.between(segment, start, stop)
                if chosen.start == chosen.stop:
                    continue
                traces = read(source, segment, start - reach, stop + reach)
                starts = spikes.samples[chosen] - before - (start - reach)
                slots = spikes.slots[chosen]
                # a unit belongs to one thread, which adds its spikes up in their order: the sums don't depend on the threads
                mine = [slots % self.threads == thread for thread in range(self.threads)]
                list(pool.map(add_windows, *zip(*((traces, starts[own], slots[own], sums) for own in mine), strict=True)))

    def _filtered(self, means: NDArray[np.float64], band: Band, margin: int) -> NDArray[np.float32]:
        """Filter mean windows, units x samples x channels, and cut their margins off."""
        units, width, channels = means.shape
        columns = np.moveaxis(means, 1, 0).reshape(width, units * channels)
        used = band if margin else UNFILTERED
        filtered = gaussian_bandpass(columns, self.recording.sampling_frequency, *used, workers=self.threads)
        return np.moveaxis(filtered.reshape(width, units, channels)[margin : width - margin], 0, 1)

    def _impulse_response(self, band: Band, margin: int) -> NDArray[np.float64]:
        impulse = np.zeros((2 * margin + 1, 1))
        impulse[margin] = 1
        used = band if margin else UNFILTERED
        return gaussian_bandpass(impulse, self.recording.sampling_frequency, *used)[:, 0].astype(np.float64)

    def _noise_levels(self, band: Band) -> Noise:
        if band not in self._noise:
            with ThreadPoolExecutor(self.threads) as pool:
                levels = list(pool.map(lambda place: self._levels_of(band, *place), self._noise_places()))
            mad, sd = np.mean(levels, axis=0) if levels else np.zeros((2, self.recording.get_num_channels()))
            self._noise[band] = Noise(mad.astype(np.float32), sd.astype(np.float32))
        return self._noise[band]

    def _noise_places(self) -> list[tuple[int, int, int]]:
        """Return random stretches as segment, start and stop; all there is where a segment is short."""
        rng = np.random.default_rng(NOISE_SEED)
        places = []
        for segment, duration in enumerate(self._durations().tolist()):
            last = max(duration - NOISE_SAMPLES, 0)
            starts = np.unique(rng.integers(0, last, NOISE_CHUNKS, endpoint=True))
            places += [(segment, start, min(start + NOISE_SAMPLES, duration)) for start in starts.tolist() if duration]
        return places

    def _levels_of(self, band: Band, segment: int, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the noise of a stretch per channel: median absolute deviation / 0.6745, and standard deviation."""
        margin = margin_of(self.recording, band)
        gains, offsets = scaling(self.recording)
        scaled = read(self.recording, segment, start - margin, stop + margin) * gains + offsets
        traces = gaussian_bandpass(scaled, self.recording.sampling_frequency, *band)[margin : len(scaled) - margin]
        mad = np.median(np.abs(traces - np.median(traces, axis=0)), axis=0) / MAD_OF_NORMAL
        return mad, traces.std(axis=0, dtype=np.float64)

    def _written(self, filtered: BandpassRecording, band: Band) -> BaseRecording:
        """Return a copy on the disk, or the recording that is given where there is no room."""
        size = filtered.get_total_memory_size()
        name = f"the recording filtered from {band[0] or 0:g} to {band[1] or filtered.sampling_frequency / 2:g} Hz"
        if shutil.disk_usage(self._folder).free < size + ROOM_LEFT:
            self._log.warning("No room in %s for %s (%.1f GB): it is filtered at every use.", self._folder, name, size / 1e9)
            return filtered
        self._log.info("Writing %s (%.1f GB).", name, size / 1e9)
        folder = self._folder / f"band-{band[0]}-{band[1]}"
        folder.mkdir()
        files = [filtered.write_segment(segment, folder, self.threads) for segment in range(filtered.get_num_segments())]
        written = BinaryRecordingExtractor(
            file_paths=files,
            sampling_frequency=filtered.sampling_frequency,
            dtype=filtered.dtype,
            num_channels=filtered.get_num_channels(),
            channel_ids=filtered.channel_ids,
        )
        filtered.copy_metadata(written)
        return written


def _refs(sortings: Mapping[str, BaseSorting]) -> tuple[UnitRef, ...]:
    return tuple(UnitRef(name, unit) for name, sorting in sortings.items() for unit in sorting.unit_ids.tolist())


def _numbered(sortings: Mapping[str, BaseSorting]) -> dict[str, Spikes]:
    """Return the spikes of each sorting; the slots count the units of all."""
    counts = [sorting.get_num_units() for sorting in sortings.values()]
    firsts = np.cumsum([0, *counts[:-1]])
    return {name: Spikes.of(sorting, int(first)) for (name, sorting), first in zip(sortings.items(), firsts, strict=False)}


def _groups(units: int, bytes_per_unit: int, most: int) -> Iterator[slice]:
    """Yield ranges of units that together need at most so many bytes, or a single one."""
    size = max(1, most // bytes_per_unit)
    return (slice(first, min(first + size, units)) for first in range(0, units, size))


def _sum_type(dtype: np.dtype, counts: NDArray[np.int64]) -> np.dtype:
    """Return the type to add windows up in: 32-bit integers, which are fast and exact, where no sum can leave their range."""
    fits = dtype.kind in "iu" and dtype.itemsize <= 2 and counts.max(initial=0) < 1 << 15
    return np.dtype(np.int32 if fits else np.float64)


def _means(sums: NDArray[np.number], counts: NDArray[np.int64], source: BaseRecording) -> NDArray[np.float64]:
    """Return mean windows in uV."""
    gains, offsets = scaling(source)
    return sums.astype(np.float64) / np.maximum(counts, 1)[:, np.newaxis, np.newaxis] * gains + offsets
