"""A run as one HTML page, from what its steps have stored; nothing is computed again."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting

from lussac import sortings as srt
from lussac.store import explained, write_atomically

Step = Mapping[str, Any]
OWN = "lussac_"
ROW, HEAD = 28, 120
"""Heights in pixels."""


def write_report(record: Mapping[str, Any], file: Path) -> None:
    """Write a page with plots and tables that needs no other file.

    Parameters
    ----------
    record
        Of a run (provenance.json).
    file
        The HTML file.
    """
    steps = record["steps"]
    figures = [units_per_step(steps), decisions_per_step(steps), *unit_tables(steps)]
    parts = [figure.to_html(full_html=False, include_plotlyjs=index == 0) for index, figure in enumerate(figures)]
    title = f"Lussac {record['software']['lussac']}, {record['started']}"
    head = f"<!doctype html><meta charset='utf-8'><title>{escape(title)}</title><h1>{escape(title)}</h1>"
    page = "\n".join([head, _facts(record), *parts, ""])
    with explained(file.parent):
        write_atomically(file, page)


def _facts(record: Mapping[str, Any]) -> str:
    recording = record["recording"]
    seconds = sum(recording["samples"]) / recording["sampling_frequency"]
    facts = {
        "params": record["params"]["file"],
        "recording": f"{recording['channels']} channels, {seconds:.1f} s at {recording['sampling_frequency']:g} Hz",
        "exports": ", ".join(path for step in record["steps"] for path in step.get("exports", ())) or "none",
        "libraries": ", ".join(f"{name} {version}" for name, version in record["software"]["libraries"].items()),
    }
    rows = "".join(f"<tr><th align=left>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items())
    return f"<table>{rows}</table>"


def units_per_step(steps: Iterable[Step]) -> go.Figure:
    """Return the units of each analysis after each pass."""
    counts: dict[str, dict[str, int]] = {}
    for step in steps:
        for name, sorting in step["results"].items():
            counts.setdefault(name, {})[step["label"]] = sorting["units"]
    bars = [go.Bar(name=name, x=list(units), y=list(units.values())) for name, units in counts.items()]
    return go.Figure(bars, go.Layout(title="Units after each step", yaxis_title="units", barmode="group"))


def decisions_per_step(steps: Iterable[Step]) -> go.Figure:
    """Return how many units each pass kept, removed, changed or merged."""
    counts: dict[str, dict[str, int]] = {}
    for step in steps:
        for action, count in Counter(decision["action"] for decision in _decisions(step)).items():
            counts.setdefault(action, {})[step["label"]] = count
    bars = [go.Bar(name=action, x=list(units), y=list(units.values())) for action, units in sorted(counts.items())]
    return go.Figure(bars, go.Layout(title="Decisions about units", yaxis_title="units", barmode="stack"))


def _decisions(step: Step) -> list[dict[str, Any]]:
    file = Path(step["folder"]) / "decisions.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def unit_tables(steps: Iterable[Step]) -> list[go.Figure]:
    """Return a table of the units of each sorting as the last pass on it left them."""
    latest = {name: Path(step["folder"]) / "sortings" / name for step in steps for name in step["results"]}
    return [_unit_table(name, srt.load(folder)) for name, folder in latest.items() if folder.is_dir()]


def _unit_table(name: str, sorting: BaseSorting) -> go.Figure:
    spikes = np.bincount(sorting.to_spike_vector()["unit_index"], minlength=sorting.get_num_units())
    columns = {"unit": srt.unit_ids(sorting), "spikes": spikes.tolist()}
    columns |= {key.removeprefix(OWN): _texts(values) for key, values in srt.properties(sorting).items() if key.startswith(OWN)}
    table = go.Table(header={"values": list(columns)}, cells={"values": list(columns.values())})
    return go.Figure(table, go.Layout(title=f"Units of {escape(name)}", height=HEAD + ROW * min(sorting.get_num_units() + 1, 25)))


def _texts(values: NDArray[Any]) -> list[str]:
    return [f"{value:.4g}" if isinstance(value, float) else escape(str(value)) for value in values.tolist()]
