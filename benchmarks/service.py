"""What the service image costs: size, build, start-up, time to the first sorter, and a whole run, against no container.

    python benchmarks/service.py WORK             WORK: a folder for case A and results, as of run.py
    python benchmarks/service.py WORK --build     how long the image takes to build from scratch, too
    python benchmarks/service.py WORK --table     writes the table into docs/benchmarks.md from the results in WORK

Needs the image `lussac` and that of the sorter simple, and lussac.sif (make image image-simple sif); what isn't there is left
out. Ways take turns, so that a busy minute hits all of them, and medians are shown.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from run import ROOT, best_pipeline, machine, prepare, replace_block, write_params

REPEATS, STARTS = 3, 7
SORTER = "simple"
BEGIN, END = "<!-- service: written by benchmarks/service.py -->", "<!-- end of service -->"
SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
SIF = Path(os.environ.get("LUSSAC_SERVICE_SIF", ROOT / "lussac.sif"))
APPTAINER = shutil.which("apptainer") or shutil.which("singularity")


def ways(work: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return the ways to run Lussac: the command before its arguments, and one that starts the same container for nothing."""
    found: dict[str, tuple[list[str], list[str]]] = {"no container": ([sys.executable, "-m", "lussac"], ["true"])}
    if succeeds(["docker", "image", "inspect", "lussac"]):
        docker, mount = ["docker", "run", "--rm"], ["-v", f"{work}:{work}"]
        nothing = [*docker, *mount, "--entrypoint", "true", "lussac"]
        found["docker, sorter beside it"] = ([*docker, *mount, "-v", f"{SOCKET}:/var/run/docker.sock", "lussac"], nothing)
        found["docker, sorter inside"] = ([*docker, *mount, "lussac"], nothing)
        with_nothing_compiled = ["-v", f"{empty_folder(work)}:/opt/lussac/kernels/numba:ro"]
        found["docker, sorter inside, kernels not compiled"] = ([*docker, *mount, *with_nothing_compiled, "lussac"], nothing)
    if APPTAINER and SIF.is_file():
        start = [APPTAINER, "exec", "--bind", str(work), str(SIF)]
        found["apptainer, sorter inside"] = ([*start, "lussac"], [*start, "true"])
    return found


def empty_folder(work: Path) -> Path:
    """Return an empty folder."""
    folder = work / "empty"
    folder.mkdir(exist_ok=True)
    return folder


def succeeds(command: Sequence[str]) -> bool:
    """Tell whether a command ends well."""
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def seconds_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Return how long a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def start_up(found: Mapping[str, tuple[list[str], list[str]]]) -> dict[str, dict[str, float]]:
    """Return the medians of starting a container for nothing, and for `lussac --help`."""
    times: dict[str, dict[str, list[float]]] = {way: {"empty": [], "help": []} for way in found}
    for _ in range(STARTS):
        for way, (command, nothing) in found.items():
            times[way]["empty"].append(seconds_of(nothing))
            times[way]["help"].append(seconds_of([*command, "--help"]))
    return {way: {name: statistics.median(values) for name, values in both.items()} for way, both in times.items()}


def whole_run(command: Sequence[str], params: Path) -> dict[str, float]:
    """Run a params.json; return the seconds until the first sorter starts and until the end."""
    start = time.perf_counter()
    first = 0.0
    with subprocess.Popen([*command, str(params)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if not first and line.startswith(f"{SORTER}: running"):
                first = time.perf_counter() - start
    if process.returncode or not first:
        raise RuntimeError(f"{' '.join(command)} failed:\n{''.join(lines)}")
    return {"first": first, "whole": time.perf_counter() - start}


def case_params(work: Path) -> Path:
    """Write a params.json that sorts case A and merges the result with its analyses."""
    case = work / "A"
    names = prepare("A", case)
    file = write_params(case, work / "service", names, best_pipeline())
    content = json.loads(file.read_text())
    content["spike_sorting"] = {SORTER: {"sorter_name": SORTER}}
    file.write_text(json.dumps(content, indent=2))
    return file


def measure(work: Path, *, build: bool) -> dict[str, object]:
    """Return all numbers."""
    found = ways(work)
    results: dict[str, object] = {"start": start_up(found)}
    if "docker, sorter inside" in found:
        size = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Size}}", "lussac"], capture_output=True, text=True, check=True
        ).stdout
        results["image_mb"] = round(int(size) / 1e6)
    if SIF.is_file():
        results["sif_mb"] = round(SIF.stat().st_size / 1e6)
    if build:
        environment = {**os.environ, "TAG": "lussac-benchmark"}
        results["build"] = seconds_of([str(ROOT / "containers/build-service.sh"), "--no-cache", "--quiet"], environment)
        subprocess.run(["docker", "rmi", "lussac-benchmark"], check=True, stdout=subprocess.DEVNULL)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in found}
    for _ in range(REPEATS):
        for way, (command, _nothing) in found.items():
            runs[way].append(whole_run(command, case_params(work)))
            print(way, runs[way][-1], flush=True)
    results["runs"] = {
        way: {name: statistics.median(one[name] for one in several) for name in ("first", "whole")}
        for way, several in runs.items()
    }
    return results


def table(results: Mapping[str, dict]) -> str:
    """Return the results as markdown."""
    without = results["runs"]["no container"]["whole"]
    lines = [f"Measured on {machine()}; medians of {STARTS} starts and {REPEATS} runs.", ""]
    facts = {"image_mb": "image {} MB unpacked", "sif_mb": "as a SIF {} MB", "build": "built from scratch in {:.0f} s"}
    lines += [", ".join(text.format(results[key]) for key, text in facts.items() if key in results).capitalize() + ".", ""]
    lines += [
        "| way | empty container | `--help` | to the first sorter | whole run | to the run without |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for way, run in results["runs"].items():
        start = results["start"][way]
        times = f"{start['empty']:.2f} s | {start['help']:.2f} s | {run['first']:.1f} s | {run['whole']:.1f} s"
        lines.append(f"| {way} | {times} | {100 * (run['whole'] / without - 1):+.1f} % |")
    return "\n".join(lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    match sys.argv[1:]:
        case [folder, "--table"]:
            replace_block(BEGIN, END, table(json.loads((Path(folder) / "service.json").read_text())))
        case [folder, *options] if set(options) <= {"--build"}:
            place = Path(folder).absolute()
            place.mkdir(parents=True, exist_ok=True)
            (place / "service.json").write_text(json.dumps(measure(place, build="--build" in options), indent=1))
        case _:
            sys.exit(__doc__)
