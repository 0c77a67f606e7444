"""Writes a folder that spikeinterface-gui and `spikeinterface.load_sorting_analyzer` open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue
from spikeinterface.core import BaseSorting

from lussac.modules import _export as export
from lussac.modules._export import ExportExtraction
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import AbsolutePath


class Extraction(ExportExtraction):
    """How waveforms are taken."""

    return_in_uV: Literal[True] = True  # noqa: N815 - SpikeInterface's name
    """Accepted as in older files: all is in uV."""


class Params(ModuleParams):
    """What is written where."""

    path: AbsolutePath
    """The folder; a subfolder per analysis where there are several."""
    wvf_extraction: Extraction = Extraction(ms_before=1.0, ms_after=3.0, max_spikes_per_unit=1000, filter_band=None)
    """How waveforms are taken."""
    spike_amplitudes: Mapping[str, JsonValue] | Literal[False] = Field(default_factory=dict)
    """The amplitude of each spike; false for none."""
    principal_components: Mapping[str, JsonValue] | Literal[False] = False
    """Parameters of SpikeInterface's `principal_components`; false for none."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Write each analysis; the sortings stay as they are."""
    if not export.places(sortings, params.path, context):
        return Outcome(sortings=sortings)
    with export.published(params.path) as folder:
        for name, place in export.places(sortings, folder, context).items():
            _write(sortings[name], place, params, context)
    return Outcome(sortings=sortings, exports=(params.path,))


def _write(sorting: BaseSorting, folder: Path, params: Params, context: Context) -> None:
    units = export.measured(export.without_empty(sorting), params.wvf_extraction, context)
    target = export.analyzer(units, context, folder)
    export.attach_waveforms(target, units, context)
    export.attach_templates(target, units)
    export.attach_similarity(target, units)
    seed = {"random_slices_kwargs": {"seed": context.seed}}
    export.attach(target, "noise_levels", seed, noise_levels=units.templates.noise)
    target.compute("unit_locations")
    target.compute("correlograms")
    if params.spike_amplitudes is not False:
        export.attach_amplitudes(target, units, context)
    if params.principal_components is not False:
        target.compute("principal_components", **params.principal_components, **export.jobs(context))
    export.tidy(folder, units, context)


MODULE = Module(Params, run, exports=("path",))
