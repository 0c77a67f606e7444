"""Runs one sorter on one recording, inside the image of the sorter: ``runner.py IN RECORDING WORK OUT``.

A single file for any Python from 3.8 on, with the standard library and the SpikeInterface that the image holds: nothing is
installed at run time. Imported by nobody. It reads ``IN/job.json`` and writes into OUT ``sorting.npz``, ``result.json`` and
``freeze.txt``; the exit code is 0 if the sorter found a sorting (one without units counts), else 1, with the error in
``result.json``.
"""

# ruff: noqa: ANN401, PLC0415, T201 - what is not there is told in the result, libraries have no types, and print is the log

from __future__ import annotations

import itertools
import json
import os
import platform
import resource
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

FORMAT = 1


def seed_everything(seed: int) -> None:
    """Seed what a sorter leaves unseeded: SpikeInterface takes chunks of the recording at random that no parameter seeds."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for code that still uses it
    own, count, default_rng = seed, itertools.count(), np.random.default_rng

    def seeded(seed: Any = None) -> Any:
        return default_rng([own, next(count)] if seed is None else seed)

    np.random.default_rng = seeded


def sort(job: dict[str, Any], recording: Any, folder: Path) -> Any:
    """Run the sorter; segments are laid end to end for one that can't tell them apart."""
    import spikeinterface.core as si
    from spikeinterface.sorters import run_sorter, sorter_dict

    if job["is_installed"]:  # SpikeInterface would ask for more than the sorter needs
        sorter_dict[job["sorter"]].is_installed = classmethod(lambda _class: True)
    si.set_global_job_kwargs(**job["job_kwargs"])
    seed_everything(job["seed"])
    multi = recording.get_num_segments() > 1
    if multi and (job["concatenate"] or not sorter_dict[job["sorter"]].handle_multi_segment):
        print(f"{job['sorter']} takes one segment: the {recording.get_num_segments()} segments are laid end to end", flush=True)
        recording = si.concatenate_recordings([recording])
    return run_sorter(job["sorter"], recording, folder=folder, verbose=True, with_output=True, **job["parameters"])


def spikes(sorting: Any, durations: list[int]) -> dict[str, Any]:
    """Return the spikes and units as plain arrays, with the segments of the recording."""
    import numpy as np

    vector = sorting.to_spike_vector()
    samples = vector["sample_index"].astype(np.int64)
    segments = vector["segment_index"].astype(np.int64)
    if sorting.get_num_segments() == 1 and len(durations) > 1:
        starts = np.concatenate([[0], np.cumsum(durations)[:-1]])
        segments = np.clip(np.searchsorted(starts, samples, side="right") - 1, 0, None)
        samples = samples - starts[segments]
    arrays = {
        "unit_ids": np.asarray(sorting.unit_ids),
        "sample_index": samples,
        "unit_index": vector["unit_index"].astype(np.int64),
        "segment_index": segments,
        "sampling_frequency": np.float64(sorting.sampling_frequency),
    }
    for name in sorted(sorting.get_property_keys()):
        values = np.asarray(sorting.get_property(name))
        if values.dtype == object:
            values = values.astype(str)
        arrays["property/" + name] = values
    if arrays["unit_ids"].dtype == object:
        arrays["unit_ids"] = arrays["unit_ids"].astype(str)
    return arrays


def versions(sorter: str) -> dict[str, str]:
    """Return the versions of all that decides about the result."""
    found = {"python": platform.python_version()}
    for name in ("spikeinterface", "numpy", "scipy", "numba", "scikit-learn", "hdbscan", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "torch" in sys.modules:
        found["cuda"] = str(sys.modules["torch"].version.cuda)
    try:
        from spikeinterface.sorters import sorter_dict

        found["sorter"] = str(sorter_dict[sorter].get_sorter_version())
    except Exception as error:  # noqa: BLE001 - any sorter's own code; the version is a courtesy
        found["sorter"] = f"unknown ({error})"
    return found


def freeze() -> str:
    """Return what is installed, one ``name==version`` per line."""
    names = {(dist.metadata["Name"] or "?", dist.version) for dist in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(names, key=lambda pair: pair[0].lower()))


def write(file: Path, text: str) -> None:
    """Write a file beside and rename it, so that a half-written one is never read."""
    beside = file.with_name(file.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def last_error(error: BaseException) -> str:
    """Return the line of a traceback that says what went wrong.

    SpikeInterface wraps the sorter's traceback as text into an error of its own: the line wanted is the last of that text.
    """
    lines = [line.strip() for line in str(error).split("\n") if line.strip() and not line.startswith("Spike sorting failed.")]
    return lines[-1] if lines and "trace" in lines[0].lower() else f"{type(error).__name__}: {error}"


def perform(job: dict[str, Any], recording_folder: Path, work: Path, out: Path) -> dict[str, Any]:
    """Sort and write the sorting; return what ``result.json`` says of it."""
    import numpy as np
    import spikeinterface.core as si

    load = getattr(si, "load", None) or si.load_extractor  # its name before 0.102
    recording = load(recording_folder)
    durations = [recording.get_num_samples(index) for index in range(recording.get_num_segments())]
    sorting = sort(job, recording, work / "sorter")
    arrays = spikes(sorting, durations)
    with (out / "sorting.npz.part").open("wb") as file:
        np.savez(file, **arrays)
    (out / "sorting.npz.part").replace(out / "sorting.npz")
    return {
        "status": "ok",
        "units": len(arrays["unit_ids"]),
        "spikes": len(arrays["sample_index"]),
        "segments": len(durations),
    }


def main(source: Path, recording: Path, work: Path, out: Path) -> int:
    """Run the job; return the exit code."""
    job = json.loads((source / "job.json").read_text(encoding="utf-8"))
    start = time.time()
    try:
        result = perform(job, recording, work, out)
    except BaseException as error:  # noqa: BLE001 - whatever a sorter raises belongs into its result
        traceback.print_exc()
        result = {
            "status": "error",
            "error": last_error(error),
            "type": type(error).__name__,
            "traceback": traceback.format_exc(),
        }
    usage = [resource.getrusage(who).ru_maxrss << 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result.update(
        format=FORMAT,
        seconds=round(time.time() - start, 3),
        versions=versions(job["sorter"]),
        parameters=job["parameters"],
        seed=job["seed"],
        threads=os.environ.get("OMP_NUM_THREADS", ""),
        peak_memory={"main": usage[0], "largest_child": usage[1]},
    )
    write(out / "freeze.txt", freeze())
    write(out / "result.json", json.dumps(result, indent=2, sort_keys=True, default=str))
    return 0 if result["status"] == "ok" else 1


if __name__ == "__main__":
    sys.exit(main(*(Path(word) for word in sys.argv[1:5])))
