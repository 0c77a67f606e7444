"""What the exports share: analyzers that are filled from templates that are known already."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from probeinterface import Probe
from spikeinterface.core import (
    BaseRecording,
    BaseSorting,
    ChannelSparsity,
    SortingAnalyzer,
    compute_sparsity,
    create_sorting_analyzer,
)
from spikeinterface.core import Templates as DenseTemplates
from spikeinterface.core.sortinganalyzer import get_extension_class
from spikeinterface.preprocessing import gaussian_filter

from lussac import quality
from lussac.algorithms.templates import PeakSign
from lussac.bandpass import cutoffs
from lussac.modules.base import Context, Sortings
from lussac.params import Count, Micrometers, Strict, WaveformExtraction
from lussac.sortings import keep, unit_ids
from lussac.spikes import Spikes
from lussac.traces import Templates
from lussac.waveforms import save_waveforms


class Sparsity(Strict):
    """Which channels belong to a unit, as in `spikeinterface.compute_sparsity`."""

    method: Literal["radius", "best_channels", "closest_channels", "snr", "amplitude"] = "radius"
    """By distance from the main channel, by count, or by size of the template."""
    radius_um: Micrometers = 75.0
    """For `radius` (um)."""
    num_channels: Count = 5
    """For `best_channels` and `closest_channels`."""
    threshold: float = 5.0
    """For `snr` (multiples of the noise) and `amplitude` (uV)."""
    peak_sign: PeakSign = "both"
    """Which peaks tell the main channel."""


class ExportExtraction(WaveformExtraction):
    """How waveforms are taken for an export."""

    sparse: bool = True
    """Keep only the channels near each unit."""
    sparsity: Sparsity = Sparsity()
    """Which channels these are."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Units to export, with what an analyzer would compute of them.

    Parameters
    ----------
    sorting
        Without empty units.
    recording
        Band-passed as the waveforms shall be.
    templates
        Its mean waveforms, zero on the channels that don't belong to the unit.
    sparsity
        Channels of each unit; all where the export is dense.
    main_channels, shifts
        For each unit the channel of its highest peak, and how many samples after the spike that lies.
    """

    sorting: BaseSorting
    recording: BaseRecording
    extraction: ExportExtraction
    templates: Templates
    sparsity: ChannelSparsity
    main_channels: NDArray[np.int64]
    shifts: NDArray[np.int64]


def places(sortings: Sortings, folder: Path, context: Context) -> dict[str, Path]:
    """Return where each analysis goes: into the folder, or one below it where there are several; none without spikes."""
    spiking = [name for name, sorting in sortings.items() if len(sorting.to_spike_vector())]
    for name in sorted(set(sortings) - set(spiking)):
        context.log.warning("%s has no spikes: nothing is exported.", name)
    return {name: folder / name if len(sortings) > 1 else folder for name in spiking}


def without_empty(sorting: BaseSorting) -> BaseSorting:
    """Return a sorting of the units that have spikes."""
    return _with_some(sorting, np.ones(len(sorting.to_spike_vector()), dtype=bool))


def with_waveforms(name: str, sorting: BaseSorting, extraction: WaveformExtraction, context: Context) -> BaseSorting:
    """Return a sorting of the units that have a spike whose whole waveform lies in the recording."""
    found = _with_some(sorting, context.traces.random_spikes("", sorting, extraction, context.seed))
    lost = [unit for unit in unit_ids(without_empty(sorting)) if unit not in unit_ids(found)]
    if lost:
        context.log.warning("%s: units %s are left out: no spike is far enough from the ends of the recording.", name, lost)
    return found


def _with_some(sorting: BaseSorting, spikes: NDArray[np.bool_]) -> BaseSorting:
    counts = np.bincount(sorting.to_spike_vector()["unit_index"][spikes], minlength=sorting.get_num_units())
    return keep(sorting, [unit for unit, some in zip(unit_ids(sorting), counts.tolist(), strict=True) if some])


def measured(sorting: BaseSorting, extraction: ExportExtraction, context: Context) -> Measured:
    """Measure the units of a sorting for an export."""
    recording = context.traces.band(extraction.filter_band)
    templates = context.traces.templates({"": sorting}, extraction, context.seed)
    sparsity = _sparsity(sorting, recording, templates, extraction)
    main_channels, moments = quality.main_peaks(templates, extraction.sparsity.peak_sign)
    masked = Templates(
        templates.refs, templates.means * sparsity.mask[:, np.newaxis], templates.counts, templates.before, templates.noise
    )
    return Measured(sorting, recording, extraction, masked, sparsity, main_channels, moments - templates.before)


def _sparsity(
    sorting: BaseSorting, recording: BaseRecording, templates: Templates, extraction: ExportExtraction
) -> ChannelSparsity:
    if not extraction.sparse:
        everything = np.ones((sorting.get_num_units(), recording.get_num_channels()), dtype=bool)
        return ChannelSparsity(everything, sorting.unit_ids, recording.channel_ids)
    geometry = Probe(ndim=2)  # a recording may have several probes, templates have one
    geometry.set_contacts(recording.get_channel_locations())
    dense = DenseTemplates(
        templates.means,
        recording.sampling_frequency,
        templates.before,
        channel_ids=recording.channel_ids,
        unit_ids=sorting.unit_ids,
        probe=geometry,
    )
    arguments = extraction.sparsity.model_dump()
    found = compute_sparsity(dense, noise_levels=templates.noise, amplitude_mode="extremum", **arguments)
    main = quality.main_peaks(templates, extraction.sparsity.peak_sign)[0]
    found.mask[np.arange(len(main)), main] = True
    return ChannelSparsity(found.mask, sorting.unit_ids, recording.channel_ids)


def jobs(context: Context) -> dict[str, object]:
    """Return SpikeInterface's job kwargs; threads, unless the user wants processes: these take seconds to start."""
    return {"pool_engine": "thread", **context.jobs}


def analyzer(units: Measured, context: Context, folder: Path | None = None) -> SortingAnalyzer:
    """Return an analyzer of the units, in a folder that doesn't exist yet or in memory; the recording is not read for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The (extractor|Recording) is not serializable")  # it holds all of them that counts
        return create_sorting_analyzer(
            units.sorting,
            units.recording,
            sparse=units.extraction.sparse,
            sparsity=units.sparsity if units.extraction.sparse else None,
            main_channel_indices=units.main_channels,
            peak_sign=units.extraction.sparsity.peak_sign,
            format="binary_folder" if folder else "memory",
            folder=folder,
            job_kwargs=jobs(context),
        )


def attach_waveforms(target: SortingAnalyzer, units: Measured, context: Context) -> None:
    """Give an analyzer in a folder the random spikes that made the templates, and their waveforms."""
    taken = context.traces.random_spikes("", units.sorting, units.extraction, context.seed)
    chosen = {"max_spikes_per_unit": units.extraction.max_spikes_per_unit, "seed": context.seed}
    attach(target, "random_spikes", chosen, random_spikes_indices=np.flatnonzero(taken))
    attach(target, "waveforms", _milliseconds(units))
    file = target.folder / "extensions" / "waveforms" / "waveforms.npy"
    window = context.traces.window(units.extraction)
    save_waveforms(file, units.recording, Spikes.of(units.sorting).taken(taken), window, _channel_table(units.sparsity))
    target.extensions["waveforms"].data["waveforms"] = np.load(file, mmap_mode="r")


def attach_templates(target: SortingAnalyzer, units: Measured) -> None:
    """Give an analyzer the mean waveforms."""
    attach(target, "templates", {"operators": ["average"], **_milliseconds(units)}, average=units.templates.means)


def attach_similarity(target: SortingAnalyzer, units: Measured) -> None:
    """Give an analyzer the cosines between its templates, zero where a template is zero."""
    flat = units.templates.means.reshape(len(units.templates.means), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    directions = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    attach(target, "template_similarity", {}, similarity=np.clip(directions @ directions.T, -1, 1).astype(np.float32))


def attach_amplitudes(target: SortingAnalyzer, units: Measured, context: Context) -> None:
    """Give an analyzer the traces at each spike, at the peak of the unit's template (uV)."""
    band = units.extraction.filter_band
    values = context.traces.values({"": units.sorting}, band, units.main_channels, units.shifts)
    attach(target, "spike_amplitudes", {}, amplitudes=values[""])


def attach(target: SortingAnalyzer, name: str, params: Mapping[str, object], **data: NDArray[Any]) -> None:
    """Give an analyzer the data of an extension, as if it had computed them."""
    extension = get_extension_class(name)(target)
    extension.set_params(**params)
    extension.data.update(data)
    extension.run_info = {"run_completed": True, "runtime_s": 0.0}
    extension.save()
    target.extensions[name] = extension


def _milliseconds(units: Measured) -> dict[str, float]:
    """Return the window of the templates so that SpikeInterface, which truncates to samples, comes to the same one."""
    rate, before = units.recording.sampling_frequency, units.templates.before
    after = units.templates.means.shape[1] - before
    return {"ms_before": (before + 1e-3) / rate * 1e3, "ms_after": (after + 1e-3) / rate * 1e3}


def _channel_table(sparsity: ChannelSparsity) -> NDArray[np.int64]:
    """Return the channels of each unit, units x the most that one has, filled up with -1."""
    table = np.full((len(sparsity.mask), int(sparsity.mask.sum(axis=1).max(initial=0))), -1, dtype=np.int64)
    for row, mask in zip(table, sparsity.mask, strict=True):
        row[: mask.sum()] = np.flatnonzero(mask)
    return table


def tidy(folder: Path, units: Measured, context: Context) -> None:
    """Leave out of an analyzer's folder what differs between equal exports; name a recording that will still be there."""
    for file in sorted(folder.glob("extensions/*/run_info.json")):
        file.write_text(json.dumps({"run_completed": True, "runtime_s": 0.0}), encoding="utf-8")
    if not is_temporary(units.recording, context):
        return
    (folder / "recording.json").unlink()
    low, high = cutoffs(units.extraction.filter_band)
    lasting = gaussian_filter(context.source, freq_min=low, freq_max=high) if low or high else context.source
    if lasting.check_serializability("json") and not is_temporary(context.source, context):
        lasting.dump(folder / "recording.json", relative_to=folder)


def is_temporary(recording: BaseRecording, context: Context) -> bool:
    """Tell whether a recording lies in the scratch folder of the run, where it won't be found afterwards."""
    files = recording.get_binary_description()["file_paths"] if recording.is_binary_compatible() else ()
    return any(Path(file).is_relative_to(context.folder.parent) for file in files)
