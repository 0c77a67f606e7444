"""Time and memory of merging against length, analyses, neurons and channels, on imitated analyses.

    python benchmarks/scale.py WORK            WORK: a folder for recordings and results, which are reused
    python benchmarks/scale.py WORK --table    writes the tables into docs/benchmarks.md from the results in WORK

Each point is a recording of its own: one that repeats a shorter one would repeat its noise too, which no method expects. Times
depend on what else the machine does, so the work of all processors (cpu) is shown too.
"""

import json
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cases
import figures
import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray
from run import best_pipeline, machine, replace_block, run_lussac

SEED = 401
BEGIN, END = "<!-- scale: written by benchmarks/scale.py -->", "<!-- end of scale -->"


@dataclass(frozen=True, slots=True)
class Size:
    """One point of a curve: channels, neurons, recorded minutes, imitated analyses."""

    channels: int = 32
    neurons: int = 60
    minutes: int = 5
    analyses: int = 4


CURVES: Mapping[str, tuple[Size, ...]] = {
    "minutes": tuple(Size(minutes=minutes) for minutes in (5, 10, 20, 40)),
    "analyses": tuple(Size(analyses=analyses) for analyses in (2, 4, 8, 12)),
    "neurons": tuple(Size(channels=128, neurons=neurons, minutes=1) for neurons in (50, 200, 800)),
    "channels": tuple(Size(channels=channels, neurons=100, minutes=1) for channels in (32, 128, 384)),
}
PIPELINES: Mapping[str, Mapping[str, object]] = {"best": best_pipeline()}


def imitate(trains: list[NDArray[np.int64]], duration: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the units of an analysis that misses a fifth of the neurons and a few spikes, and halves or mixes some neurons."""
    rng = np.random.default_rng([SEED, seed])
    others = list(rng.permutation(len(trains)))
    for number, train in enumerate(trains):
        fate = rng.random()
        if fate < 0.2:
            continue
        kept = train[rng.random(len(train)) > rng.choice([0.01, 0.05, 0.15, 0.4])]
        moved = np.clip(kept + rng.integers(-1, 2, len(kept)), 0, duration - 1)
        if fate < 0.3:
            half = rng.random(len(moved)) < rng.uniform(0.2, 0.8)
            yield np.unique(moved[half])
            yield np.unique(moved[~half])
        elif fate < 0.38:
            yield np.unique(np.concatenate([moved, trains[others[number]]]))
        else:
            yield np.unique(moved)


def prepare(size: Size, folder: Path) -> list[str]:
    """Make a recording of this size with its analyses, where it isn't there yet; return the names of these."""
    names = [f"imitated{number}" for number in range(size.analyses)]
    if not (folder / "info.json").exists():
        cases.generate(cases.Case(size.channels, size.neurons, 60.0 * size.minutes, SEED, wobble=0.05), folder)
    truth = si.load(folder / "sortings" / "gt.json")
    trains = [truth.get_unit_spike_train(unit) for unit in truth.unit_ids]
    duration = round(60 * size.minutes * cases.RATE)
    for seed, name in enumerate(names):
        units = list(imitate(trains, duration, seed))
        cases.write_sorting(folder, name, np.concatenate(units), np.repeat(np.arange(len(units)), [len(unit) for unit in units]))
    return names


def folder_of(size: Size, work: Path) -> Path:
    """Where the recording of a point lies; points that differ in the analyses alone share it."""
    return (work / f"{size.channels}-{size.neurons}-{size.minutes}").absolute()


def measure(size: Size, work: Path) -> dict[str, dict[str, float]]:
    """Run each pipeline on a recording of this size."""
    folder = folder_of(size, work)
    names = prepare(size, folder)
    units = sum(si.load(folder / "sortings" / f"{name}.json").get_num_units() for name in names)
    found = {"units": units}
    for name, pipeline in PIPELINES.items():
        merged, used = run_lussac(folder, folder / name, names, pipeline)
        found[name] = {"merged": merged.get_num_units(), **used}
        shutil.rmtree(folder / name)
    return found


def key(size: Size) -> str:
    """Name of a point in the results."""
    return f"{size.channels} channels, {size.neurons} neurons, {size.minutes} min, {size.analyses} analyses"


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the curves as markdown; exponents say how fast the work grows from one row to the next."""
    lines = [f"Measured on {machine()}."]
    for axis, sizes in CURVES.items():
        done = [size for size in sizes if key(size) in results]
        if not done:
            continue
        lines += [
            "",
            f"| {axis} | units | pipeline | seconds | cpu | peak MB | growth of cpu |",
            "|---:|---:|---|---:|---:|---:|---:|",
        ]
        for pipeline in PIPELINES:
            rows = [(getattr(size, axis), results[key(size)]["units"], results[key(size)][pipeline]) for size in done]
            growths = ["", *(growth(before, after) for before, after in pairwise(rows))]
            lines += [
                f"| {value} | {units} | {pipeline} | {used['seconds']} | {used['cpu']} | {used['peak_mb']} | {grown} |"
                for (value, units, used), grown in zip(rows, growths, strict=True)
            ]
    return "\n".join(lines)


def points(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, list[tuple[float, float, float]]]:
    """Return for each axis with several points what was measured: value, work and peak memory of the best pipeline."""
    return {
        axis: [
            (getattr(size, axis), results[key(size)]["best"]["cpu"], results[key(size)]["best"]["peak_mb"])
            for size in sizes
            if key(size) in results
        ]
        for axis, sizes in CURVES.items()
        if sum(key(size) in results for size in sizes) > 1
    }


def growth(before: tuple[int, int, Mapping[str, float]], after: tuple[int, int, Mapping[str, float]]) -> str:
    """Return the exponent of the work between two rows: 1 where it grows like the axis."""
    return f"{np.log(after[2]['cpu'] / before[2]['cpu']) / np.log(after[0] / before[0]):.2f}"


def main(work: Path) -> None:
    """Measure every point that has no result yet, the small ones first; a recording is removed when its last point is done."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "scale.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    sizes = {size for sizes in CURVES.values() for size in sizes if key(size) not in results}
    waiting = sorted(sizes, key=lambda size: (size.minutes * size.channels, size.neurons, size.analyses))
    for place, size in enumerate(waiting):
        results[key(size)] = measure(size, work)
        print(key(size), json.dumps(results[key(size)]), flush=True)
        file.write_text(json.dumps(results, indent=1))
        if all(folder_of(other, work) != folder_of(size, work) for other in waiting[place + 1 :]):
            shutil.rmtree(folder_of(size, work))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    match sys.argv[1:]:
        case [folder, "--table"]:
            measured = json.loads((Path(folder) / "scale.json").read_text())
            replace_block(BEGIN, END, table(measured))
            figures.write("scale.svg", figures.curves(points(measured)))
        case [folder]:
            main(Path(folder))
        case _:
            sys.exit(__doc__)
