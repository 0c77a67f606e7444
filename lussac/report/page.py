"""The page: one HTML file that holds the run as JSON, what shows it, and the plot library; it asks for nothing else."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussac import sortings as srt
from lussac.modules import MERGED
from lussac.modules.find_purkinje_cells import PURKINJE
from lussac.report import curves
from lussac.report.stored import Facts, Stored, StoredStep
from lussac.report.tables import Row, refractory_period
from lussac.report.templates import Pictures

MOST_CURVES, MOST_DECISIONS = 4000, 20_000
"""Units that are drawn, and decisions that are listed, before the page gets too large; the tables beside it hold all."""


def render(stored: Stored, pictures: Pictures | None, units: Sequence[Row], decisions: Sequence[Row]) -> str:
    """Return the page.

    Parameters
    ----------
    stored
        The run.
    pictures
        Templates of its units, if there are any.
    units, decisions
        From `tables`.
    """
    pieces = {
        "title": escape(f"Lussac {stored.record['software']['lussac']}: {stored.record['params']['file']}"),
        "style": _resource("page.css"),
        "data": _embedded(_content(stored, units, decisions) | {"probe": _probe(stored, pictures)}),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": _resource("page.js"),
    }
    head, *rest = _resource("page.html").split("<!--=")
    parts = (part.split("=-->", 1) for part in rest)
    return head + "".join(pieces[name] + tail for name, tail in parts)


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _embedded(content: object) -> str:
    """Return JSON that no HTML parser can take for the end of the script."""
    text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _finite(value: Any) -> Any:  # noqa: ANN401
    """Return a value with null for each number that JSON can't hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _content(stored: Stored, units: Sequence[Row], decisions: Sequence[Row]) -> dict[str, Any]:
    record = stored.record
    recording = record.get("recording")
    seconds = sum(recording["samples"]) / recording["sampling_frequency"] if recording else math.nan
    return {
        "record": {key: record.get(key) for key in ("status", "started", "ended", "message", "params", "recording", "command")},
        "software": {"software": record["software"], "host": record["host"], "sorters": [*map(_sorter, record["sorters"])]},
        "seconds": seconds,
        "missing": stored.missing,
        "steps": [_step(step) for step in stored.steps],
        "flow": list(_flow(stored)),
        "merged": MERGED,
        "analyses": sorted({member["sorting"] for row in units for member in row.get("members", ())}),
        "units": units,
        "refractory": refractory_period(stored),
        "curves": _curves(stored) if stored.sortings else {},
        "pairs": list(_pairs(stored)) if stored.sortings else [],
        "decisions": decisions[:MOST_DECISIONS],
        "decided": len(decisions),
    }


def _probe(stored: Stored, pictures: Pictures | None) -> dict[str, Any] | None:
    """Return the channels, and the template of each unit in the order of the table of units."""
    if pictures is None:
        return None
    places = [pictures.places[ref] for ref in stored.trains][:MOST_CURVES]
    return {
        "positions": pictures.positions.tolist(),
        "channels": pictures.channels,
        "noise": _rounded(pictures.noise),
        "before": pictures.before,
        "ms": 1e3 / stored.rate,
        "sizes": [_rounded(pictures.sizes[place]) for place in places],
        "best": [pictures.best[place].tolist() for place in places],
        "waveforms": [[_rounded(wave) for wave in pictures.waveforms[place]] for place in places],
    }


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(value, 1) for value in values.tolist()]


def _sorter(run: Facts) -> dict[str, Any]:
    names = ("name", "sorter", "outcome", "seconds", "units", "engine", "image", "versions", "parameters", "message")
    return {name: run.get(name) for name in names}


def _step(step: StoredStep) -> dict[str, Any]:
    return {
        "label": step.label,
        "outcome": step.facts["outcome"],
        "seconds": step.facts.get("seconds"),
        "before": sum(facts["units"] for facts in step.facts["inputs"].values()),
        "after": sum(facts["units"] for facts in step.facts["results"].values()),
        "removed": sum(decision["action"] == "removed" for decision in step.decisions),
        "params": step.facts["params"],
    }


def _flow(stored: Stored) -> Iterator[dict[str, Any]]:
    """Yield what the units of each analysis became in each pass that changed their number: from where, to where, how many."""
    latest: dict[str, str] = {}
    for step in stored.steps:
        inputs, results = step.facts["inputs"], step.facts["results"]
        if not (step.fuses or any(inputs[name]["units"] != facts["units"] for name, facts in results.items())):
            continue
        for name, facts in inputs.items():
            source, own = latest.get(name, name), f"{name}, {step.label}"
            gone = _gone(step, name)
            for target, units in {**gone, own: facts["units"] - sum(gone.values())}.items():
                yield {"name": name, "source": source, "target": target, "units": units}
            latest[name] = own
        latest |= {name: f"{name}, {step.label}" for name in results}


def _gone(step: StoredStep, name: str) -> dict[str, int]:
    """Return where the units of an analysis went that a pass has not left in it, and how many."""
    before, removed = step.facts["inputs"][name]["units"], f"removed, {step.label}"
    if not step.fuses:
        return {removed: before - step.facts["results"][name]["units"]}
    fused = f"{next(iter(step.facts['results']))}, {step.label}"
    if not step.decisions:  # they are stored from logs_level 2 on
        return {fused: before}
    actions = Counter(decision["action"] for decision in step.decisions if decision["unit"][0] == name)
    return {fused: actions["merged"], removed: actions["removed"]}


def _curves(stored: Stored) -> dict[str, Any]:
    """Return what is drawn of each unit, in the order of the table of units."""
    chosen = list(stored.trains.values())[:MOST_CURVES]
    return {
        "bin": curves.bin_width(stored.rate),
        "isi_bin": curves.ISI_BIN,
        "auto": [curves.auto(train, stored.rate) for train in chosen],
        "intervals": [curves.intervals(train, stored.rate) for train in chosen],
        "rates": [curves.rates(train, stored.timeline, stored.rate) for train in chosen],
    }


def _pairs(stored: Stored) -> Iterator[Mapping[str, Any]]:
    """Yield the Purkinje cells among the units at the end, with the correlogram of simple spikes around complex spikes."""
    for name, sorting in stored.sortings.items():
        labels = sorting.get_property(PURKINJE)
        if labels is None:
            continue
        wanted = {pair for label in labels.tolist() for pair in str(label).split(" ; ") if pair}
        ids = [unit for unit, label in zip(srt.unit_ids(sorting), labels.tolist(), strict=True) if label]
        trains = srt.trains(srt.keep(sorting, ids), stored.timeline)
        for simple in ids:
            for complex_ in ids:
                if f"{simple}-{complex_}" in wanted:
                    counts = curves.cross(trains[complex_], trains[simple], stored.rate)
                    yield {"sorting": name, "simple": simple, "complex": complex_, "counts": counts}
