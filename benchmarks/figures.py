"""Draws the figures of docs/benchmarks.md: small SVG files, the same bytes for the same results. Used by run.py and scale.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parents[1] / "docs" / "figures"
COLOURS = ("#9aa0a6", "#e0a030", "#1f77b4", "#444444")
METHODS = ("best sorter", "peer", "lussac best", "oracle")
SORTERS = ("tdc2", "sc2", "lupin", "ms5", *(f"imitated{number}" for number in range(12)))
RIGHT = 0.8
EDGES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FEWEST = 5
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 300, 200, 46, 26, 40

Results = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Panel:
    """A pair of axes: where it stands in the figure, what it shows, and its largest values."""

    column: int
    title: str
    across: str
    up: str
    most: tuple[float, float]

    @property
    def left(self) -> float:
        """Where its axis starts."""
        return self.column * (WIDTH + LEFT) + LEFT

    def at(self, x: float, y: float) -> str:
        """Return a point as SVG writes it."""
        return f"{self.left + x / self.most[0] * (WIDTH - 20):.1f},{TOP + (1 - y / self.most[1]) * (HEIGHT - TOP):.1f}"

    def frame(self, xs: Sequence[float], ys: Sequence[float]) -> list[str]:
        """Return axes with ticks and titles."""
        x0, y0 = (float(value) for value in self.at(0, 0).split(","))
        x1, y1 = (float(value) for value in self.at(*self.most).split(","))
        parts = [
            f'<path d="M{x0},{y1}V{y0}H{x1}" fill="none" stroke="#888"/>',
            text(x0, TOP - 10, self.title, "start", "font-weight='bold'"),
            text((x0 + x1) / 2, y0 + 32, self.across, "middle"),
            text(x0, TOP + 4, self.up, "start", "fill='#666'"),
        ]
        parts += [text(float(self.at(x, 0).split(",")[0]), y0 + 15, f"{x:g}", "middle") for x in xs]
        for y in ys:
            height = float(self.at(0, y).split(",")[1])
            parts += [f'<path d="M{x0},{height}H{x1}" stroke="#ddd"/>', text(x0 - 5, height + 4, f"{y:g}", "end")]
        return parts


def text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    """Return words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def figure(columns: int, label: str, parts: Sequence[str]) -> str:
    """Return a whole file; white behind, so that it can be read on a dark page too."""
    width, height = columns * (WIDTH + LEFT) + 10, HEIGHT + BOTTOM
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'role="img" font-family="sans-serif" font-size="11"'
    body = "\n".join(parts)
    return f'{head} {style} aria-label="{escape(label)}">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'


def ticks(most: float) -> list[float]:
    """Return a few round values up to the largest."""
    step = 10 ** np.floor(np.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1.0, 2.0) if most / (step * part) <= 6)
    return [float(value) for value in np.arange(0, most * 1.001, step)]


def found(results: Results) -> str:
    """Draw how many neurons each method finds in each case."""
    rows = {}
    for case, methods in results.items():
        best = max((methods[name]["found_80"] for name in SORTERS if name in methods), default=0)
        rows[case] = [best, *(methods[name]["found_80"] if name in methods else 0 for name in METHODS[1:])]
    most = max(max(row) for row in rows.values())
    panel = Panel(0, "Neurons found (accuracy at least 0.8)", "", "", (len(rows), 1.05 * most))
    parts = panel.frame([], ticks(most))
    for place, (case, row) in enumerate(rows.items()):
        for number, count in enumerate(row):
            x, y = panel.at(place + 0.12 + 0.19 * number, count).split(",")
            foot = float(panel.at(0, 0).split(",")[1])
            size = f'width="{0.17 * (WIDTH - 20) / len(rows):.1f}" height="{foot - float(y):.1f}"'
            title = f"<title>{escape(case)}, {METHODS[number]}: {count:g}</title>"
            parts.append(f'<rect x="{x}" y="{y}" {size} fill="{COLOURS[number]}">{title}</rect>')
        parts.append(text(float(panel.at(place + 0.5, 0).split(",")[0]), HEIGHT + 15, case, "middle", "font-size='9'"))
    for number, method in enumerate(METHODS):
        parts.append(f'<rect x="{LEFT + 82 * number}" y="{HEIGHT + 24}" width="9" height="9" fill="{COLOURS[number]}"/>')
        parts.append(text(LEFT + 82 * number + 12, HEIGHT + 32, method, "start"))
    return figure(1, "Neurons found in each case by the best sorter, the peer, lussac and the oracle", parts)


def reliability(results: Results) -> str | None:
    """Draw which share of the units with a confidence is right; None where no result has any."""
    tables = [methods.get("lussac best", {}).get("confidences", []) for methods in results.values()]
    pairs = np.array([pair for table in tables for pair in table], float).reshape(-1, 2)
    if not len(pairs):
        return None
    panel = Panel(0, f"Is the confidence right? ({len(pairs)} units)", "confidence", "share of units that are right", (1.0, 1.05))
    parts = panel.frame([0, 0.2, 0.4, 0.6, 0.8, 1], [0, 0.2, 0.4, 0.6, 0.8, 1])
    parts.append(f'<path d="M{panel.at(0, 0)}L{panel.at(1, 1)}" stroke="#888" stroke-dasharray="4"/>')
    for low, high in pairwise(EDGES):
        own = pairs[(pairs[:, 0] >= low) & (pairs[:, 0] < high + (high == 1))]
        if len(own) < FEWEST:
            continue
        share, mean = float((own[:, 1] >= RIGHT).mean()), float(own[:, 0].mean())
        less, more = wilson(share, len(own))
        (x, y), title = panel.at(mean, share).split(","), f"<title>{len(own)} units</title>"
        parts.append(f'<path d="M{panel.at(mean, less)}L{panel.at(mean, more)}" stroke="{COLOURS[2]}"/>')
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS[2]}">{title}</circle>')
    return figure(1, "Share of right units against confidence; lines are 95 % intervals", parts)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle, half = share + z**2 / (2 * count), z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float((middle - half) / (1 + z**2 / count)), float((middle + half) / (1 + z**2 / count))


def curves(axes: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """Draw work and memory against each axis: rows of value, seconds of all processors, and peak in MB."""
    parts = []
    for column, (axis, rows) in enumerate(axes.items()):
        values, work, memory = zip(*rows, strict=True)
        panel = Panel(column, f"against {axis}", "", "", (max(values), 1.05))
        parts += panel.frame(values, [])
        for number, (name, unit, heights) in enumerate((("work", "s", work), ("peak memory", "MB", memory))):
            colour, most = COLOURS[1 + number], max(heights)
            points = [panel.at(x, y / most) for x, y in zip(values, heights, strict=True)]
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
            for point, height in zip(points, heights, strict=True):
                x, y = point.split(",")
                parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"><title>{height:g} {unit}</title></circle>')
            words = f"{name}, up to {most:g} {unit}"
            parts.append(text(panel.left + 120 * number, HEIGHT + 32, words, "start", f"fill='{colour}'"))
    return figure(len(axes), "Work and peak memory against length, analyses, neurons and channels", parts)


def write(name: str, content: str | None) -> None:
    """Write a figure of the documentation."""
    if content is not None:
        DOCS.mkdir(exist_ok=True)
        (DOCS / name).write_text(content)
