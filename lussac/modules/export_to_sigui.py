"""Writes a folder that spikeinterface-gui and `spikeinterface.load_sorting_analyzer` open."""

from pathlib import Path
from typing import Literal

from spikeinterface.core import BaseSorting

from lussac.modules import _export as export
from lussac.modules._export import ExportExtraction
from lussac.modules._published import published
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import AbsolutePath, Count, Strict

MANY_SPIKES = 1_000_000
"""From here on correlograms are counted by compiled code: compiling it takes seconds."""


class Extraction(ExportExtraction):
    """How waveforms are taken."""

    return_in_uV: Literal[True] = True  # noqa: N815 - SpikeInterface's name
    """Accepted as in older files: all is in uV."""


class SpikeAmplitudes(Strict):
    """No parameters."""


class PrincipalComponents(Strict):
    """As those of SpikeInterface's `principal_components`."""

    n_components: Count = 5
    """How many per channel, or in all."""
    mode: Literal["by_channel_local", "by_channel_global", "concatenated"] = "by_channel_local"
    """Of each channel by itself, of all channels alike, or of all channels joined."""
    whiten: bool = True
    """Scale components to a variance of 1."""


class Params(ModuleParams):
    """What is written where."""

    path: AbsolutePath
    """The folder; a subfolder per analysis where there are several."""
    wvf_extraction: Extraction = Extraction(ms_before=1.0, ms_after=3.0, max_spikes_per_unit=1000, filter_band=None)
    """How waveforms are taken."""
    spike_amplitudes: SpikeAmplitudes | Literal[False] = SpikeAmplitudes()
    """The amplitude of each spike; false for none."""
    principal_components: PrincipalComponents | Literal[False] = False
    """Principal components of the waveforms; false for none."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Write each analysis; the sortings stay as they are."""
    extraction = params.wvf_extraction
    shown = {name: export.with_waveforms(name, sorting, extraction, context) for name, sorting in sortings.items()}
    if not export.places(shown, params.path, context):
        return Outcome(sortings=sortings)
    with published(params.path, context) as folder:
        for name, place in export.places(shown, folder, context).items():
            _write(shown[name], place, params, context)
    return Outcome(sortings=sortings, exports=(params.path,))


def _write(sorting: BaseSorting, folder: Path, params: Params, context: Context) -> None:
    units = export.measured(sorting, params.wvf_extraction, context)
    target = export.analyzer(units, context, folder)
    export.attach_waveforms(target, units, context)
    export.attach_templates(target, units)
    export.attach_similarity(target, units)
    seed = {"random_slices_kwargs": {"seed": context.seed}}
    export.attach(target, "noise_levels", seed, noise_levels=units.templates.noise)
    target.compute("unit_locations")
    target.compute("correlograms", method="numpy" if len(units.sorting.to_spike_vector()) < MANY_SPIKES else "numba")
    if params.spike_amplitudes:
        export.attach_amplitudes(target, units, context)
    if params.principal_components:
        target.compute("principal_components", **params.principal_components.model_dump(), **export.jobs(context))
    export.tidy(folder, units, context)


MODULE = Module(Params, run, exports=("path",))
