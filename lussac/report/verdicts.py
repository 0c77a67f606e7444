"""What was decided about units, and what each analysis brought in: rows of plain values."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lussac.report.stored import Stored
from lussac.report.tables import Row
from lussac.units import Action


def decisions(stored: Stored) -> list[Row]:
    """Return a row for each decision of each module, with the numbers that decided as columns."""
    return [
        {
            "step": step.label,
            "sorting": decision["unit"][0],
            "unit": decision["unit"][1],
            "action": decision["action"],
            "reason": decision["reason"],
        }
        | {f"value_{name}": value for name, value in decision["numbers"].items()}
        for step in stored.steps
        for decision in step.decisions
    ]


def removed(stored: Stored) -> list[Row]:
    """Return a row for each removed unit: the criterion that it failed, its value and the limit, where there are such."""
    return [
        {"step": step.label, "sorting": decision["unit"][0], "unit": decision["unit"][1]}
        | _verdict(decision, step.facts["params"])
        | {"reason": decision["reason"]}
        for step in stored.steps
        for decision in step.decisions
        if decision["action"] == Action.REMOVED
    ]


def _verdict(decision: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return criteria, values and limits; several are joined by semicolons."""
    numbers = {name: value for name, value in decision["numbers"].items() if name != "unit"}
    limits = {name: _limit(params.get(name)) for name in numbers}
    alone = next(iter(numbers.values())) if len(numbers) == 1 else None
    return {
        "criterion": "; ".join(numbers),
        "value": alone if alone is not None else "; ".join(f"{value:.4g}" for value in numbers.values()),
        "limit": "; ".join(filter(None, limits.values())),
    }


def _limit(bounds: object) -> str:
    """Return what the parameters of a module accept of a value, as text; nothing where they don't say."""
    if not isinstance(bounds, Mapping):
        return ""
    signs = {"min": "\u2265", "max": "\u2264"}
    return ", ".join(f"{sign} {bounds[name]:g}" for name, sign in signs.items() if isinstance(bounds.get(name), int | float))


def contributions(stored: Stored, units: Sequence[Row]) -> list[Row]:
    """Return what each analysis brought into the fused units, in the order of the names.

    `given` counts its units before the first step that fuses, `removed` those that any step removed, `found` the units at the
    end that have one of its units as a member, and `alone` those of them that no other analysis found.
    """
    made = [row for row in units if "members" in row]
    if not made:
        return []
    names = sorted({name for step in stored.steps if step.fuses for name in step.facts["inputs"]})
    gone = Counter(row["sorting"] for row in removed(stored))
    first = {name: step.facts["inputs"][name]["units"] for step in reversed(stored.steps) for name in step.facts["inputs"]}
    sources = [{member["sorting"] for member in row["members"]} for row in made]
    return [
        {
            "analysis": name,
            "given": first[name],
            "removed": gone[name],
            "found": sum(name in source for source in sources),
            "alone": sum(source == {name} for source in sources),
            "mean_agreement": _mean(_best(row, name) for row in made),
        }
        for name in names
    ]


def _best(row: Row, name: str) -> float:
    """Return the agreement of a unit with the best unit of an analysis; NaN where it has none."""
    return max((member["agreement"] for member in row["members"] if member["sorting"] == name), default=math.nan)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
