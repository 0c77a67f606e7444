"""What containers cost: ``containers.py FOLDER [REPEATS [SORTER...]]`` measures and writes a section of docs/benchmarks.md.

Every engine that answers here sorts the same recording (case `small`) with the same seeds, one run after the other and in turn,
so that a change of the machine's load meets all of them. Needs the folder `shared` beside the checkout.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import probeinterface
from spikeinterface.core import BinaryRecordingExtractor

from lussac import sorters
from lussac.engines import ENGINES
from lussac.errors import EngineError, LussacError
from lussac.params import SorterParams
from lussac.recording import write_binary
from lussac.sortings import SPIKES_FILE

REPOSITORY = Path(__file__).parents[1]
BENCH = REPOSITORY.parent / "shared" / "bench" / "bench.py"
PAGE = REPOSITORY / "docs" / "benchmarks.md"
BEGIN, END = "<!-- containers: written by benchmarks/containers.py -->", "<!-- end of containers -->"
SORTERS = ("simple", "tridesclous2", "mountainsort5")
GOALS = {"docker": 3.0, "singularity": 5.0}
SIDE_BY_SIDE = 0.65


@dataclass(frozen=True)
class Run:
    """One sorter on one engine: seconds in all, seconds inside of the sorter's process, and the hash of its spikes."""

    sorter: str
    engine: str
    seconds: float
    inside: float
    spikes: str
    rootfs: str


def main(folder: Path, repeats: int, names: Sequence[str]) -> int:
    """Measure, and write the section."""
    if not BENCH.exists():
        print(f"{BENCH} isn't there: the case `small` can't be made, nothing is measured.")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    recording = make_recording(folder)
    engines = [name for name, make in ENGINES.items() if make().unavailable() is None]
    runs = list(measure(folder, recording, engines, names, repeats))
    ratios = {name: side_by_side(folder, recording, name, repeats) for name in engines if any(run.engine == name for run in runs)}
    text = section(runs, ratios, repeats)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.partition(BEGIN)[0] + text + page.partition(END)[2], encoding="utf-8")
    print(text)
    return 0


def make_recording(folder: Path) -> Path:
    """Write the recording of case `small` as the orchestrator would."""
    case, binary = folder / "small", folder / "recording"
    if not (case / "info.json").exists():
        subprocess.run([sys.executable, BENCH, "generate", "small", case], check=True)
    if not binary.exists():
        info = json.loads((case / "info.json").read_text())
        raw = BinaryRecordingExtractor(
            file_paths=[case / "recording.dat"],
            sampling_frequency=info["fs"],
            num_channels=info["num_channels"],
            dtype="int16",
            gain_to_uV=info["gain"],
            offset_to_uV=0.0,
        )
        with_probe = raw.set_probegroup(probeinterface.read_probeinterface(case / "probe.json"))
        write_binary(raw if with_probe is None else with_probe, binary, {"n_jobs": 1})
    return binary


def prepare(folder: Path, recording: Path, sorter: str, engine: str, name: str) -> sorters.SorterJob:
    """Return a job as a run of Lussac would make it."""
    base = folder / "runs"
    base.mkdir(exist_ok=True)
    run = SorterParams(sorter_name=sorter, sorter_params={})
    return sorters.prepare(name, run, recording, "case small", engine=engine, base=base, pull=False)


def measure(folder: Path, recording: Path, engines: Sequence[str], names: Sequence[str], repeats: int) -> Iterator[Run]:
    """Yield the runs of each sorter on each engine, in turn; the first of each only warms the caches of the machine."""
    for repeat in range(repeats + 1):
        for sorter in names:
            for engine in engines:
                try:
                    job = prepare(folder, recording, sorter, engine, f"{sorter}-{engine}")
                    shutil.rmtree(job.folder, ignore_errors=True)
                    begin = time.monotonic()
                    finished = sorters.sort(job, lambda _line: None, threading.Event())
                except LussacError as error:
                    print(f"{sorter} on {engine}: {error}")
                    continue
                seconds = time.monotonic() - begin
                inside = json.loads((finished.folder / "result.json").read_text())["seconds"]
                spikes = next(o["sha256"] for o in finished.record["outputs"] if o["path"].endswith(SPIKES_FILE))
                print(f"{sorter} on {engine}: {seconds:.1f} s, of which {inside:.1f} s inside", flush=True)
                if repeat:
                    yield Run(sorter, engine, seconds, inside, spikes, job.image.rootfs)


def side_by_side(folder: Path, recording: Path, engine: str, repeats: int) -> float:
    """Return the time of two sorters side by side over that of one after the other, a core each: the median of the repeats."""
    try:
        jobs = [prepare(folder, recording, "simple", engine, f"twin-{number}-{engine}") for number in (1, 2)]
    except EngineError as error:
        print(f"side by side on {engine}: {error}")
        return float("nan")
    ratios = []
    for _ in range(repeats):
        seconds = {}
        for at_a_time in (1, 2):
            for job in jobs:
                shutil.rmtree(job.folder, ignore_errors=True)
            begin = time.monotonic()
            results = sorters.sort_all(jobs, at_a_time, None, lambda _name, _line: None, threading.Event())
            seconds[at_a_time] = time.monotonic() - begin
            if failed := [str(result) for result in results.values() if isinstance(result, LussacError)]:
                raise SystemExit("\n".join(failed))
        ratios.append(seconds[2] / seconds[1])
        print(f"side by side on {engine}: {ratios[-1]:.2f}", flush=True)
    return statistics.median(ratios)


def section(runs: list[Run], ratios: Mapping[str, float], repeats: int) -> str:
    """Return the section of the page."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), medians of {repeats}"
    lines = [
        BEGIN,
        f"Measured on {machine}; the load of the machine was {os.getloadavg()[2]:.1f} over the last 15 minutes.",
        "",
        "| sorter | engine | seconds | inside | overhead over local | goal | spikes |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    measured = [name for name in SORTERS if any(run.sorter == name for run in runs)]
    for sorter in measured:
        of_sorter = {
            name: found for name in ENGINES if (found := [run for run in runs if (run.sorter, run.engine) == (sorter, name)])
        }
        local = statistics.median([run.seconds for run in of_sorter["local"]]) if "local" in of_sorter else float("nan")
        for name, found in of_sorter.items():
            seconds = statistics.median([run.seconds for run in found])
            inside = statistics.median([run.inside for run in found])
            over = "" if name == "local" else f"{seconds - local:+.1f}"
            goal = f"{GOALS[name]:.0f}" if name in GOALS else ""
            lines.append(f"| {sorter} | {name} | {seconds:.1f} | {inside:.1f} | {over} | {goal} | {found[0].spikes[:12]} |")
    verdicts = [f"- {sorter}: {verdict([run for run in runs if run.sorter == sorter])}" for sorter in measured]
    lines += ["", *verdicts, "", "| engine | two side by side / one after the other |", "|---|---:|"]
    lines += [f"| {name} | {ratio:.2f} (goal below {SIDE_BY_SIDE}) |" for name, ratio in ratios.items()]
    return "\n".join([*lines, END])


def verdict(runs: list[Run]) -> str:
    """Say between which engines the spikes are equal, byte by byte."""
    by_engine = {name: {run.spikes for run in runs if run.engine == name} for name in ENGINES}
    images = {run.rootfs for run in runs if run.engine != "local"}
    pairs = []
    for one, other in combinations([name for name in by_engine if by_engine[name]], 2):
        same = len(by_engine[one] | by_engine[other]) == 1
        pairs.append(f"{one} and {other} {'the same' if same else 'other'} spikes")
    repeatable = all(len(spikes) <= 1 for spikes in by_engine.values())
    runs_agree = "every run of an engine gave the same" if repeatable else "runs of one engine differ"
    return f"{'; '.join(pairs)}; {runs_agree}; docker and singularity ran {len(images)} image{'s' if len(images) > 1 else ''}."


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3, sys.argv[3:] or SORTERS))
