"""Removes the units that fail a criterion of quality."""

from lussac import quality
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import Strict, WaveformExtraction
from lussac.quality import Criteria, Units
from lussac.sortings import keep, unit_ids
from lussac.units import Action, Decision, UnitRef


class Everything(Strict):
    """No parameters."""


class Params(ModuleParams, Criteria):
    """Criteria that every unit must meet."""

    wvf_extraction: WaveformExtraction = WaveformExtraction(
        ms_before=1.0, ms_after=1.0, max_spikes_per_unit=500, filter_band=(150.0, 9000.0)
    )
    """How the templates behind amplitude, SNR and sd_ratio are taken."""
    all: Everything | None = None
    """``{}`` removes every unit of the category."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Remove the units that fail at least one criterion."""
    units = Units(sortings, context.traces, params.wvf_extraction, context.seed)
    if params.all is None and not params.given():
        context.log.warning("No criterion is given: no unit is removed.")
    table = quality.measure(params, units)
    decisions = tuple(decision for ref in units.refs if (decision := _judge(ref, table[ref], params)))
    removed = {decision.unit for decision in decisions}
    kept = {
        name: keep(sorting, [unit for unit in unit_ids(sorting) if UnitRef(name, unit) not in removed])
        for name, sorting in sortings.items()
    }
    return Outcome(sortings=kept, decisions=decisions, arrays=quality.columns(table, params))


def _judge(ref: UnitRef, numbers: dict[str, float], params: Params) -> Decision | None:
    """Return the decision to remove a unit, or None."""
    failed = quality.failures(params, numbers)
    if params.all is None and not failed:
        return None
    reasons = [quality.explain(name, params.given()[name], numbers[name]) for name in failed] or ["all units are removed"]
    return Decision(ref, Action.REMOVED, "; ".join(reasons), {name: numbers[name] for name in failed})


MODULE = Module(Params, run)
