"""Writes a folder that Phy opens."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from spikeinterface.core import BaseSorting, SortingAnalyzer, concatenate_recordings

from lussac.algorithms.contamination import contamination
from lussac.bandpass import read, stretches
from lussac.modules import _export as export
from lussac.modules._export import ExportExtraction, Measured, Sparsity
from lussac.modules._published import published
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import AbsolutePath, Periods, Strict
from lussac.recording import timeline
from lussac.sortings import build, categories, properties, trains, unit_ids
from lussac.units import Selector

CONTAMINATION, UNIT = "lussac_contamination", "lussac_unit"
COLUMN_PREFIX = "lussac_"


class ExportParams(Strict):
    """As those of `spikeinterface.exporters.export_to_phy`."""

    compute_amplitudes: bool = False
    """Write the amplitude of each spike."""
    compute_pc_features: bool = False
    """Write principal components of each spike's waveform; takes long."""
    add_waveforms: bool = False
    """Write some waveforms of each unit, for Phy without the recording."""
    copy_binary: bool = False
    """Copy the recording into the folder."""
    template_mode: Literal["average", "median"] = "average"
    """How templates are made of waveforms."""
    additional_properties: tuple[str, ...] = ()
    """Properties of units that get a column, besides those that start with ``lussac_``."""
    dtype: str | None = None
    """Type that a copied recording is written in."""
    verbose: bool = False
    """Accepted as in older files."""
    sparsity: Sparsity | None = None
    """Channels that are written for each unit; by default those of `wvf_extraction`."""


class Params(ModuleParams):
    """What is written where."""

    path: AbsolutePath
    """The folder; a subfolder per analysis where there are several."""
    wvf_extraction: ExportExtraction = ExportExtraction(ms_before=1.0, ms_after=3.0, max_spikes_per_unit=1000, filter_band=None)
    """How templates are taken."""
    export_params: ExportParams = ExportParams()
    """What is written."""
    estimate_contamination: Mapping[str, Periods] = Field(default_factory=dict)
    """Category to censored and refractory period (ms): writes a column for its units."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Write each analysis; the sortings stay as they are."""
    if not export.places(sortings, params.path, context):
        return Outcome(sortings=sortings)
    with published(params.path, context) as folder:
        for name, place in export.places(sortings, folder, context).items():
            _write(sortings[name], place, params, context)
    return Outcome(sortings=sortings, exports=(params.path,))


def _write(sorting: BaseSorting, folder: Path, params: Params, context: Context) -> None:
    from spikeinterface.exporters import export_to_phy  # noqa: PLC0415 - takes 0.3 s to import

    options, extraction = params.export_params, params.wvf_extraction
    if options.sparsity is not None:
        extraction = extraction.model_copy(update={"sparsity": options.sparsity})
    exported = export.without_empty(sorting)
    exported.set_property(UNIT, exported.unit_ids)
    exported = _with_contamination(exported, params.estimate_contamination, context)
    units = export.measured(exported, extraction, context)
    target = _analyzer(units, options, context)
    if options.compute_amplitudes:
        export.attach_amplitudes(target, units, context)
    columns = [key for key in properties(exported) if key.startswith(COLUMN_PREFIX) or key in options.additional_properties]
    choices = options.model_dump(exclude={"sparsity", "additional_properties", "copy_binary", "dtype"})
    export_to_phy(target, folder, copy_binary=False, additional_properties=columns, **choices, **export.jobs(context))
    if exported.unit_ids.dtype.kind == "U":  # read_phy takes ids of units to be numbers
        (folder / "cluster_si_unit_ids.tsv").unlink()
    (folder / "params.py").write_text(_phy_params(folder, options, context), encoding="utf-8")


def _phy_params(folder: Path, options: ExportParams, context: Context) -> str:
    """Return what Phy reads first: where the traces are, in which form. A copy of the recording is written if it is wanted."""
    recording, files, offset = context.recording, [], 0
    dtype = np.dtype(options.dtype or recording.dtype)
    if options.copy_binary:
        files = ["recording.dat"]
        with (folder / files[0]).open("wb") as stream:
            for segment, start, stop in stretches(recording):
                stream.write(read(recording, segment, start, stop).astype(dtype, copy=False).tobytes())
    elif context.source.binary_compatible_with(time_axis=0):  # else there is no file, or one that is removed at the end
        found = context.source.get_binary_description()
        files, offset, dtype = [str(file) for file in found["file_paths"]], found["file_offset"], np.dtype(found["dtype"])
    facts = {
        "dat_path": files,
        "n_channels_dat": recording.get_num_channels(),
        "dtype": dtype.name,
        "offset": offset,
        "sample_rate": recording.sampling_frequency,
        "hp_filtered": recording.is_filtered(),
    }
    return "".join(f"{name} = {value!r}\n" for name, value in facts.items())


def _analyzer(units: Measured, options: ExportParams, context: Context) -> SortingAnalyzer:
    """Return an analyzer with templates and their similarity, of one segment as Phy wants it."""
    from_waveforms = options.compute_pc_features or options.add_waveforms or options.template_mode != "average"
    recording = units.recording if from_waveforms else context.recording
    target = export.analyzer(_single_segment(replace(units, recording=recording)), context)
    if from_waveforms:
        extraction = units.extraction
        target.compute("random_spikes", max_spikes_per_unit=extraction.max_spikes_per_unit, seed=context.seed)
        target.compute("waveforms", ms_before=extraction.ms_before, ms_after=extraction.ms_after, **export.jobs(context))
        target.compute("templates", operators=[options.template_mode])
    else:
        export.attach_templates(target, units)
    export.attach_similarity(target, units)
    return target


def _single_segment(units: Measured) -> Measured:
    """Put the segments one after the other."""
    segments = replace(timeline(units.recording), gap=0)
    if len(segments.durations) == 1:
        return units
    spikes = units.sorting.to_spike_vector().copy()
    spikes["sample_index"] = segments.flatten(spikes["segment_index"], spikes["sample_index"])
    spikes["segment_index"] = 0
    sorting = build(spikes, unit_ids(units.sorting), units.sorting.sampling_frequency, 1, properties(units.sorting))
    return replace(units, sorting=sorting, recording=concatenate_recordings([units.recording]))


def _with_contamination(sorting: BaseSorting, periods: Mapping[str, Periods], context: Context) -> BaseSorting:
    """Return a sorting with the estimated contamination of the units whose category is asked for, NaN for the others."""
    if not periods:
        return sorting
    labels, units = categories(sorting), trains(sorting, timeline(context.recording))
    estimates = dict.fromkeys(units, np.nan)
    for category, (censored, refractory) in periods.items():
        first, last = context.samples(censored), max(context.samples(refractory), context.samples(censored) + 1)
        for unit in (unit for unit, label in labels.items() if Selector.parse(category).matches(label)):
            estimates[unit] = contamination(units[unit], first, last, timeline(context.recording).total)
    columns = properties(sorting) | {CONTAMINATION: np.array(list(estimates.values()))}
    return build(sorting.to_spike_vector(), unit_ids(sorting), sorting.sampling_frequency, sorting.get_num_segments(), columns)


MODULE = Module(Params, run, exports=("path",))
