"""Runs Lussac, the earlier program, SpikeInterface's consensus and each sorter alone on generated cases, and scores all.

    python benchmarks/run.py WORK CASE...          WORK: a folder for cases and results, which are reused
    python benchmarks/run.py WORK --table          writes the table into docs/benchmarks.md from all results in WORK

A case is one of cases.py, or one of ../shared/bench (A, B, small). Sorters run once per case; `WORK/CASE/sortings` keeps them.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import cases
import figures
import spikeinterface.comparison as sc
import spikeinterface.core as si
from score import oracle, score, unit_accuracies

from lussac import jsonc
from lussac.sortings import load

ROOT = Path(__file__).parents[1]
BENCH = ROOT.parent / "shared" / "bench" / "bench.py"
BEST = ROOT / "lussac" / "params_examples" / "params_best.json"
PEER = "lussac==2.0.0rc6"
SORTERS = ("tdc2", "sc2", "lupin", "ms5")
IMITATED, IMITATED_CASES = 6, ("small", "long")
EXAMPLE = {  # the earlier program's own example for synthetic data
    "remove_duplicated_spikes": {"all": {"censored_period": 0.4}},
    "align_units": {"all": {"wvf_extraction": {"ms_before": 3.5, "ms_after": 3.5}}},
    "remove_bad_units": {
        "all": {
            "wvf_extraction": {"ms_before": 0.5, "ms_after": 1.0, "max_spikes_per_unit": 1000, "filter_band": [300, 6000]},
            "firing_rate": {"min": 0.4},
            "SNR": {"min": 1.5},
            "contamination": {"refractory_period": [0.4, 1.9], "max": 0.35},
            "sd_ratio": {"max": 2.0},
        }
    },
    "remove_redundant_units": {"all": {"arguments": {"align": False}}},
    "merge_sortings": {"all": {"refractory_period": [0.4, 1.9], "similarity": {"min_similarity": 0.3, "window": 0.3}}},
    "remove_bad_units_2": {"all": {"contamination": {"refractory_period": [0.4, 1.9], "max": 0.2}}},
    "export_to_phy": {
        "all": {
            "path": "$PARAMS_FOLDER/final_output_phy",
            "wvf_extraction": {"ms_before": 1.0, "ms_after": 3.0, "max_spikes_per_unit": 1000},
            "export_params": {"compute_pc_features": False, "compute_amplitudes": True, "template_mode": "average"},
        }
    },
    "export_to_sigui": {
        "all": {
            "path": "$PARAMS_FOLDER/final_output_sigui",
            "wvf_extraction": {"ms_before": 1.0, "ms_after": 3.0, "max_spikes_per_unit": 1000},
        }
    },
}


def prepare(name: str, folder: Path) -> list[str]:
    """Make a case with its analyses, where it isn't there yet; return the names of these."""
    if name in cases.CASES:
        wanted = list(SORTERS)
        if not (folder / "sortings" / "gt.json").exists():
            cases.generate(cases.CASES[name], folder)
        cases.sort(folder, [sorter for sorter in wanted if not (folder / "sortings" / f"{sorter}.json").exists()])
        return wanted
    imitated = name in IMITATED_CASES
    if not (folder / "sortings" / "gt.json").exists():
        more = ["perturb", str(folder), str(IMITATED)] if imitated else ["unpack", name, str(folder)]
        for command in (["generate", name, str(folder)], more):
            subprocess.run([sys.executable, str(BENCH), *command], check=True)
    return [f"imitated{number}" for number in range(IMITATED)] if imitated else list(SORTERS)


def write_params(case: Path, out: Path, names: Sequence[str], pipeline: Mapping[str, object]) -> Path:
    """Write a params.json that merges these analyses."""
    info = json.loads((case / "info.json").read_text())
    recording = {
        "recording_extractor": "binary",
        "extractor_params": {
            "file_paths": str(case / "recording.dat"),
            "num_channels": info["num_channels"],
            "sampling_frequency": info["fs"],
            "dtype": "int16",
            "gain_to_uV": info["gain"],
            "offset_to_uV": 0.0,
        },
        "probe_file": str(case / "probe.json"),
    }
    section = {
        "logs_folder": "$PARAMS_FOLDER/logs",
        "tmp_folder": "$PARAMS_FOLDER/tmp",
        "logs_level": 1,
        "overwrite_logs": False,
        "si_global_job_kwargs": {"n_jobs": 2, "chunk_duration": "1s", "progress_bar": False},
        "pipeline": pipeline,
    }
    analyses = {name: str(case / "sortings" / f"{name}.json") for name in names}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    file = out / "params.json"
    file.write_text(json.dumps({"recording": recording, "analyses": analyses, "lussac": section}, indent=2))
    return file


STARTER = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss], file)
sys.exit(code)
"""


def measure(command: Sequence[str], log: Path) -> dict[str, float]:
    """Run a command; return its seconds, those of all its processors, and the largest memory of one process, in MB.

    A process of its own starts it, since Linux counts what the process that starts a program holds to that program's memory.
    """
    start = time.perf_counter()
    with log.open("w") as stream:
        starter = [sys.executable, "-c", STARTER, log.with_suffix(".used")]
        process = subprocess.run([*starter, *command], check=False, stdout=stream, stderr=stream)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed, see {log}")
    seconds, (cpu, kilobytes) = time.perf_counter() - start, json.loads(log.with_suffix(".used").read_text())
    return {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(kilobytes / 1024)}


def run_lussac(case: Path, out: Path, names: Sequence[str], pipeline: Mapping[str, object]) -> tuple[si.BaseSorting, dict]:
    """Run this program, as a user would."""
    params = write_params(case, out, names, pipeline)
    used = measure([sys.executable, "-m", "lussac", str(params)], out / "output.txt")
    merged = sorted((out / "logs" / "steps").glob("*/sortings/merged_sorting"))
    return load(merged[-1]), used


def run_peer(case: Path, out: Path, names: Sequence[str], environment: Path) -> tuple[si.BaseSorting, dict]:
    """Run the earlier program in an environment of its own."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER], check=True)
    params = write_params(case, out, names, EXAMPLE)
    used = measure([str(python), str(ROOT / "benchmarks" / "peer.py"), str(params), str(out / "merged.npz")], out / "output.txt")
    return si.NpzSortingExtractor(out / "merged.npz"), used


def consensus(analyses: Mapping[str, si.BaseSorting]) -> tuple[si.BaseSorting, dict]:
    """Return the units on which two sorters agree, as SpikeInterface compares them."""
    start = time.perf_counter()
    comparison = sc.compare_multiple_sorters(list(analyses.values()), name_list=list(analyses))
    agreed = comparison.get_agreement_sorting(minimum_agreement_count=2)
    return agreed, {"seconds": round(time.perf_counter() - start, 1)}


def best_pipeline() -> Mapping[str, object]:
    """Return the pipeline of the example that users should start from, without its exports."""
    pipeline = jsonc.parse(BEST.read_text(), str(BEST)).data["lussac"]["pipeline"]
    return {key: step for key, step in pipeline.items() if not key.startswith("export")}


def run_case(name: str, work: Path) -> None:
    """Run everything on a case that has no result yet; write `results.json` beside it after each method."""
    case = (work / name).absolute()
    names = prepare(name, case)
    analyses = {analysis: si.load(case / "sortings" / f"{analysis}.json") for analysis in names}
    file = case / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {"oracle": dict(oracle(case, analyses.values()))}
    methods = {
        **{analysis: lambda sorting=sorting: (sorting, {}) for analysis, sorting in analyses.items()},
        "consensus": lambda: consensus(analyses),
        "peer": lambda: run_peer(case, case / "peer", names, work / "peer_environment"),
        "lussac": lambda: run_lussac(case, case / "lussac", names, EXAMPLE),
        **({"lussac best": lambda: run_lussac(case, case / "best", names, best_pipeline())} if BEST.exists() else {}),
    }
    for method, start in methods.items():
        if method not in results:
            sorting, used = start()
            results[method] = asdict(score(case, sorting)) | used | confidences(case, sorting)
            print(name, method, json.dumps(results[method]), flush=True)
            file.write_text(json.dumps(results, indent=1))


def confidences(case: Path, sorting: si.BaseSorting) -> Mapping[str, list[list[float]]]:
    """Return the confidence and the accuracy of each unit, where units have a confidence."""
    values = sorting.get_property("lussac_confidence")
    if values is None:
        return {}
    pairs = zip(values.tolist(), unit_accuracies(case, sorting), strict=True)
    return {"confidences": [[round(sure, 4), round(accuracy, 4)] for sure, accuracy in pairs]}


COLUMNS = (
    "units",
    "found_80",
    "found_95",
    "summed",
    "bad",
    "missed",
    "false",
    "split",
    "merged",
    "redundant",
    "seconds",
    "cpu",
    "peak_mb",
)
BEGIN, END = "<!-- table: written by benchmarks/run.py -->", "<!-- end of the table -->"


def table(work: Path) -> str:
    """Return all results as markdown, with the machine that they come from."""
    lines = [f"Measured on {machine()}.", "", f"| case | method | {' | '.join(COLUMNS)} |", f"|---|---|{'---:|' * len(COLUMNS)}"]
    for case, methods in results_of(work).items():
        for method, values in methods.items():
            lines.append(f"| {case} | {method} | {' | '.join(str(values.get(column, '')) for column in COLUMNS)} |")
    return "\n".join(lines)


def results_of(work: Path) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Read the results of all cases."""
    return {file.parent.name: json.loads(file.read_text()) for file in sorted(work.glob("*/results.json"))}


def machine() -> str:
    """Return what the numbers come from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    software = f"Python {platform.python_version()}, SpikeInterface {version('spikeinterface')}, NumPy {version('numpy')}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB, {software}"


def replace_block(begin: str, end: str, text: str) -> None:
    """Put text between two marks of the documentation."""
    page = ROOT / "docs" / "benchmarks.md"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    match sys.argv[1:]:
        case [folder, "--table"]:
            replace_block(BEGIN, END, table(Path(folder)))
            results = results_of(Path(folder))
            figures.write("found.svg", figures.found(results))
            figures.write("reliability.svg", figures.reliability(results))
        case [folder, *chosen] if chosen:
            for one in chosen:
                run_case(one, Path(folder))
        case _:
            sys.exit(__doc__)
