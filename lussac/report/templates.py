"""What the report shows of the traces, written at the end of a run: mean waveforms, amplitudes over time, channels."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseRecording, BaseSorting
from spikeinterface.core.base import BaseExtractor
from spikeinterface.preprocessing.interpolate_bad_channels import InterpolateBadChannelsRecording

from lussac import sortings as srt
from lussac.params import WaveformExtraction
from lussac.report.stored import Stored
from lussac.spikes import by_unit
from lussac.store import content_key, explained
from lussac.traces import Templates, Traces
from lussac.units import UnitRef

FILE, VERSION = "templates.npz", 2
EXTRACTION = WaveformExtraction(ms_before=1.0, ms_after=2.0, max_spikes_per_unit=400, filter_band=(300.0, 6000.0))
"""How they are taken: the same spikes make the template and show the amplitude over time."""
NEAR = 12
"""Channels around the largest one on which the waveform of a unit is kept."""

Sortings = Mapping[str, BaseSorting]


class BadChannel(NamedTuple):
    """A channel of the recording that was not sorted as it is: its name, place (um), and why."""

    channel: str
    x: float
    y: float
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What the report shows of units on the probe.

    Parameters
    ----------
    places
        For each unit its row.
    sizes
        Units x channels, from the lowest to the highest value of the template, in uV.
    near
        Units x few, the channel with the largest template and those around it, the nearest first.
    waveforms
        Units x few x samples, the template on these channels, in uV.
    before
        Samples before the spike.
    samples, amplitudes
        For each unit some of its spikes: segment x sample, and the band-passed traces on the largest channel, at the largest
        peak of the template, in uV.
    noise
        Of each channel, in uV.
    positions
        Channels x 2, in um.
    channels
        Their ids.
    bad_channels
        Channels of the recording that are not among them, or were interpolated.
    """

    places: Mapping[UnitRef, int]
    sizes: NDArray[np.float32]
    near: NDArray[np.int64]
    waveforms: NDArray[np.float32]
    before: int
    samples: Sequence[NDArray[np.int64]]
    amplitudes: Sequence[NDArray[np.float32]]
    noise: NDArray[np.float32]
    positions: NDArray[np.float64]
    channels: tuple[str, ...]
    bad_channels: tuple[BadChannel, ...]


def bad_channels(loaded: BaseRecording, recording: BaseRecording, why: Mapping[str, str]) -> list[BadChannel]:
    """Return the channels that a recording has lost by its preprocessing, and those that were interpolated.

    Parameters
    ----------
    loaded, recording
        Before and after.
    why
        Labels of the channels that were found to be bad, by name.
    """
    kept, names = {str(channel) for channel in recording.channel_ids}, [str(channel) for channel in loaded.channel_ids]
    filled = _interpolated(recording)
    places = loaded.get_channel_locations(axes="xy").tolist()
    return [
        BadChannel(name, x, y, "interpolated" if name in kept else why.get(name, "left out by the preprocessing"))
        for name, (x, y) in zip(names, places, strict=True)
        if name not in kept or name in filled
    ]


def _interpolated(recording: BaseRecording) -> set[str]:
    """Return the channels that any step of a chain of preprocessing has made from others."""
    filled: set[str] = set()
    step: BaseExtractor | None = recording
    while step is not None:
        if isinstance(step, InterpolateBadChannelsRecording):
            filled |= {str(channel) for channel in step._kwargs["bad_channel_ids"]}  # noqa: SLF001 - kept nowhere else
        step = step.get_parent()
    return filled


def write_templates(
    logs: Path, sortings: Sortings, recording_hash: str, traces: Callable[[], Traces], bad: Sequence[BadChannel] = ()
) -> None:
    """Write what is shown of all units, unless that of the same units and recording is there.

    Parameters
    ----------
    logs
        The logs folder.
    sortings
        At the end of the run.
    recording_hash
        Of the recording that the traces are of.
    traces
        Called only if something has to be written.
    bad
        From `bad_channels`.
    """
    key = _key(sortings, recording_hash)
    if _read(logs / FILE, "key") == key or not any(sorting.get_num_units() for sorting in sortings.values()):
        return
    source, named = traces(), dict(sorted(sortings.items()))
    shown = {name: _drawn(name, sorting, source) for name, sorting in named.items()}
    templates = source.templates(shown, EXTRACTION, seed=0)
    sizes, positions = np.ptp(templates.means, axis=1), source.recording.get_channel_locations(axes="xy")
    main = sizes.argmax(axis=1)
    near = _nearest(positions, main)
    spikes, amplitudes = _amplitudes(source, shown, templates, main)
    beside = logs / f".{os.getpid()}.{FILE}"
    with explained(logs):
        np.savez(
            beside,
            key=key,
            of=_of(sortings, recording_hash),
            sizes=sizes,
            near=near,
            waveforms=np.take_along_axis(templates.means, near[:, None, :], axis=2).swapaxes(1, 2),
            before=templates.before,
            counts=[len(values) for values in amplitudes],
            samples=np.concatenate(spikes),
            amplitudes=np.concatenate(amplitudes),
            noise=templates.noise,
            positions=positions,
            channels=np.array(source.recording.channel_ids, dtype=str),
            bad_channels=np.array([tuple(map(str, channel)) for channel in bad], dtype=str).reshape(-1, len(BadChannel._fields)),
        )
        beside.replace(logs / FILE)


def read_templates(logs: Path, run: Stored) -> Pictures | None:
    """Return what `write_templates` wrote; None where that is missing or of other units."""
    sortings, recording = run.sortings, run.record.get("recording", {})
    if _read(logs / FILE, "of") != _of(sortings, recording.get("hash", "")):
        return None
    with np.load(logs / FILE, allow_pickle=False) as stored:
        refs = (UnitRef(name, unit) for name, sorting in sorted(sortings.items()) for unit in srt.unit_ids(sorting))
        borders = np.cumsum(stored["counts"])[:-1]
        return Pictures(
            places={ref: place for place, ref in enumerate(refs)},
            sizes=stored["sizes"],
            near=stored["near"],
            waveforms=stored["waveforms"],
            before=int(stored["before"]),
            samples=np.split(stored["samples"], borders),
            amplitudes=np.split(stored["amplitudes"], borders),
            noise=stored["noise"],
            positions=stored["positions"],
            channels=tuple(stored["channels"].tolist()),
            bad_channels=tuple(BadChannel(name, float(x), float(y), why) for name, x, y, why in stored["bad_channels"].tolist()),
        )


def _drawn(name: str, sorting: BaseSorting, source: Traces) -> BaseSorting:
    """Return a sorting with the spikes alone that are looked at."""
    chosen = sorting.to_spike_vector()[source.random_spikes(name, sorting, EXTRACTION, 0)]
    return srt.build(chosen, srt.unit_ids(sorting), sorting.sampling_frequency, sorting.get_num_segments())


def _nearest(positions: NDArray[np.float64], main: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of some channels itself and those around it, the nearest first."""
    distances = np.linalg.norm(positions[main][:, None] - positions, axis=2)
    distances[np.arange(len(main)), main] = -1.0  # itself first, also where several channels are at one place
    return np.argsort(distances, axis=1, kind="stable")[:, :NEAR]


def _amplitudes(
    source: Traces, sortings: Sortings, templates: Templates, main: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]]]:
    """Return for each unit segment and sample of its spikes, spikes x 2, and the traces at its largest peak there."""
    on_main = np.take_along_axis(templates.means, main[:, None, None], axis=2)[:, :, 0]
    shifts = np.abs(on_main).argmax(axis=1) - templates.before
    values = source.values(sortings, EXTRACTION.filter_band, main, shifts)
    samples: list[NDArray[np.int64]] = []
    amplitudes: list[NDArray[np.float32]] = []
    for name, sorting in sortings.items():
        spikes, units = sorting.to_spike_vector(), sorting.get_num_units()
        places = np.column_stack([spikes["segment_index"], spikes["sample_index"]])
        samples += by_unit(places, spikes["unit_index"], units)
        amplitudes += by_unit(values[name], spikes["unit_index"], units)
    return samples, amplitudes


def _key(sortings: Sortings, recording_hash: str) -> str:
    """Return what decides on all that is written."""
    return content_key(
        {"of": _of(sortings, recording_hash), "extraction": EXTRACTION.model_dump(mode="json"), "version": VERSION}
    )


def _of(sortings: Sortings, recording_hash: str) -> str:
    """Return what it must belong to, to be shown: another version may have taken templates in another way."""
    hashes = {name: srt.content_hash(sorting) for name, sorting in sortings.items()}
    return content_key({"sortings": hashes, "recording": recording_hash})


def _read(file: Path, name: str) -> str:
    """Return one of the two keys; nothing where there is no file, or one of before there was such a key."""
    if not file.is_file():
        return ""
    with np.load(file, allow_pickle=False) as stored:
        return str(stored[name]) if name in stored.files else ""
