"""Gives units a category by their attributes."""

from collections.abc import Mapping
from typing import Self

import numpy as np
from pydantic import ConfigDict, model_validator

from lussac import quality
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import WaveformExtraction
from lussac.quality import Criteria, Units
from lussac.sortings import CATEGORY, categories, keep, unit_ids
from lussac.units import EVERYTHING, NO_CATEGORY, REST, Action, Decision, UnitRef

CLEAR = "clear"


class Params(ModuleParams):
    """Any other key is a category; its value holds the criteria that its units meet."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Criteria]

    wvf_extraction: WaveformExtraction = WaveformExtraction(
        ms_before=1.0, ms_after=1.0, max_spikes_per_unit=500, filter_band=(150.0, 9000.0)
    )
    """How the templates behind amplitude, SNR and sd_ratio are taken."""

    @property
    def categories(self) -> Mapping[str, Criteria]:
        """The categories in the order of the file."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _usable_names(self) -> Self:
        for name in self.categories:
            if name in (EVERYTHING, REST) or not name.strip() or set(name) & set("+;"):
                raise ValueError(
                    f"{name!r} can't be the name of a category: 'all', 'rest', '+' and ';' have a meaning of their own"
                )
        if CLEAR in self.categories and self.categories[CLEAR].given():
            raise ValueError(f'{CLEAR!r} removes labels and takes no criteria: write "{CLEAR}": {{}}')
        return self


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Label each unit that has no category with the first one whose criteria it meets."""
    units = Units(sortings, context.traces, params.wvf_extraction, context.seed)
    before = {UnitRef(name, unit): label for name, sorting in sortings.items() for unit, label in categories(sorting).items()}
    labels = dict(before)
    numbers: dict[UnitRef, dict[str, float]] = {}
    for category, criteria in params.categories.items():
        if category == CLEAR:
            labels = dict.fromkeys(labels, NO_CATEGORY)
            continue
        table = quality.measure(criteria, units)
        fitting = [ref for ref in units.refs if not labels[ref] and not quality.failures(criteria, table[ref])]
        labels.update(dict.fromkeys(fitting, category))
        numbers.update((ref, table[ref]) for ref in fitting)
    decisions = tuple(
        Decision(ref, Action.CATEGORIZED, f"category {labels[ref] or 'none'}", numbers.get(ref, {}))
        for ref in units.refs
        if labels[ref] != before[ref]
    )
    return Outcome(sortings=_labelled(sortings, labels), decisions=decisions)


def _labelled(sortings: Sortings, labels: Mapping[UnitRef, str]) -> Sortings:
    labelled = {}
    for name, sorting in sortings.items():
        labelled[name] = keep(sorting, unit_ids(sorting))
        labelled[name].set_property(CATEGORY, np.array([labels[UnitRef(name, unit)] for unit in unit_ids(sorting)], dtype=str))
    return labelled


MODULE = Module(Params, run)
