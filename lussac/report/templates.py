"""Mean waveforms of the units at the end of a run: all that the report needs the recording for, written while it is at hand."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting

from lussac import sortings as srt
from lussac.params import WaveformExtraction
from lussac.report.stored import Stored
from lussac.store import content_key, explained
from lussac.traces import Traces
from lussac.units import UnitRef

FILE = "templates.npz"
EXTRACTION = WaveformExtraction(ms_before=1.0, ms_after=2.0, max_spikes_per_unit=300, filter_band=(200.0, 6000.0))
BEST = 4
"""Channels on which the waveform of a unit is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What the report shows of units on the probe.

    Parameters
    ----------
    places
        For each unit its row.
    sizes
        Units x channels, from the lowest to the highest value of the template, in uV.
    best
        Units x few, channels with the largest template, the largest first.
    waveforms
        Units x few x samples, the template on these channels, in uV.
    before
        Samples before the spike.
    noise
        Of each channel, in uV.
    positions
        Channels x 2, in um.
    channels
        Their ids.
    """

    places: Mapping[UnitRef, int]
    sizes: NDArray[np.float32]
    best: NDArray[np.int64]
    waveforms: NDArray[np.float32]
    before: int
    noise: NDArray[np.float32]
    positions: NDArray[np.float64]
    channels: tuple[str, ...]


def write_templates(logs: Path, sortings: Mapping[str, BaseSorting], recording_hash: str, traces: Callable[[], Traces]) -> None:
    """Write the templates of all units, unless those of the same units and recording are there.

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
    """
    key = _key(sortings, recording_hash)
    if _read_key(logs / FILE) == key or not any(sorting.get_num_units() for sorting in sortings.values()):
        return
    source = traces()
    templates = source.templates(dict(sorted(sortings.items())), EXTRACTION, seed=0)
    sizes = np.ptp(templates.means, axis=1)
    best = np.argsort(-sizes, axis=1, kind="stable")[:, :BEST]
    beside = logs / f".{os.getpid()}.{FILE}"
    with explained(logs):
        np.savez(
            beside,
            key=key,
            sizes=sizes,
            best=best,
            waveforms=np.take_along_axis(templates.means, best[:, None, :], axis=2).swapaxes(1, 2),
            before=templates.before,
            noise=templates.noise,
            positions=source.recording.get_channel_locations(axes="xy"),
            channels=np.array(source.recording.channel_ids, dtype=str),
        )
        beside.replace(logs / FILE)


def read_templates(logs: Path, run: Stored) -> Pictures | None:
    """Return what `write_templates` wrote; None where that is missing or of other units."""
    sortings, recording = run.sortings, run.record.get("recording", {})
    if _read_key(logs / FILE) != _key(sortings, recording.get("hash", "")):
        return None
    with np.load(logs / FILE, allow_pickle=False) as stored:
        refs = (UnitRef(name, unit) for name, sorting in sorted(sortings.items()) for unit in srt.unit_ids(sorting))
        return Pictures(
            places={ref: place for place, ref in enumerate(refs)},
            sizes=stored["sizes"],
            best=stored["best"],
            waveforms=stored["waveforms"],
            before=int(stored["before"]),
            noise=stored["noise"],
            positions=stored["positions"],
            channels=tuple(stored["channels"].tolist()),
        )


def _key(sortings: Mapping[str, BaseSorting], recording_hash: str) -> str:
    hashes = {name: srt.content_hash(sorting) for name, sorting in sortings.items()}
    return content_key({"sortings": hashes, "recording": recording_hash, "extraction": EXTRACTION.model_dump(mode="json")})


def _read_key(file: Path) -> str:
    if not file.is_file():
        return ""
    with np.load(file, allow_pickle=False) as stored:
        return str(stored["key"])
