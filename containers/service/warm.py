"""Compile Lussac's kernels into $NUMBA_CACHE_DIR, so that no container has to: ``python warm.py``.

The pipelines of the examples run on a short recording; exports compile nothing and are left out.
"""

# ruff: noqa: INP001 - a script, not a package

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import probeinterface
from spikeinterface.core import BaseSorting, NumpySorting
from spikeinterface.generation import generate_ground_truth_recording

import lussac
from lussac import jsonc, params_examples
from lussac.pipeline import Result

RATE, SECONDS, CHANNELS, NEURONS, GAIN = 30_000.0, 20.0, 16, 8, 0.195
RECORDING = {
    "recording_extractor": "binary",
    "extractor_params": {
        "file_paths": "$PARAMS_FOLDER/recording.dat",
        "num_channels": CHANNELS,
        "sampling_frequency": RATE,
        "dtype": "int16",
        "gain_to_uV": GAIN,
        "offset_to_uV": 0.0,
    },
    "probe_file": "$PARAMS_FOLDER/probe.json",
}
LEFT_OUT = ("export_to_phy", "export_to_sigui")


def imitation(truth: BaseSorting, seed: int) -> NumpySorting:
    """Return what a sorter could give: a tenth of the spikes missed, one unit in two parts."""
    rng = np.random.default_rng(seed)
    units: dict[int, np.ndarray] = {}
    for number, unit in enumerate(truth.unit_ids):
        train = truth.get_unit_spike_train(unit, 0)
        parts = rng.choice(3, len(train), p=[0.45, 0.45, 0.1])
        if number == seed:
            units[2 * number], units[2 * number + 1] = train[parts == 0], train[parts == 1]
        else:
            units[2 * number] = train[parts < 2]
    return NumpySorting.from_unit_dict([units], RATE)


def pipelines() -> Mapping[str, Mapping[str, object]]:
    """Return the pipelines of the examples by name, without what compiles nothing."""
    folder = Path(next(iter(params_examples.__path__)))
    read = {file.stem: jsonc.parse(file.read_text(encoding="utf-8"), file.name).data for file in sorted(folder.glob("*.json"))}
    return {
        name: {module: passes for module, passes in content["lussac"]["pipeline"].items() if module not in LEFT_OUT}
        for name, content in read.items()
    }


def main() -> None:
    """Run each pipeline on a file as an acquisition writes it, and one on filtered traces, which are floats."""
    probe = probeinterface.generate_multi_columns_probe(num_columns=2, num_contact_per_column=CHANNELS // 2, xpitch=32)
    probe.set_device_channel_indices(np.arange(CHANNELS))
    recording, truth = generate_ground_truth_recording(
        durations=[SECONDS], sampling_frequency=RATE, probe=probe, num_units=NEURONS, seed=0
    )
    analyses = {f"sorter{seed}": imitation(truth, seed) for seed in range(3)}
    chosen = pipelines()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (recording.get_traces() / GAIN).round().astype(np.int16).tofile(folder / "recording.dat")
        probeinterface.write_probeinterface(folder / "probe.json", probe)
        for example, pipeline in chosen.items():
            show(example, lussac.run({"recording": RECORDING, "lussac": settings(pipeline)}, None, analyses, base=folder))
        floats = chosen["params_best"]
        show("floats", lussac.run({"lussac": settings(floats)}, recording, analyses, base=folder))


def settings(pipeline: Mapping[str, object]) -> dict[str, object]:
    """Return the section ``lussac`` of the params."""
    return {"pipeline": pipeline, "overwrite_logs": True, "si_global_job_kwargs": {"n_jobs": 1}}


def show(name: str, result: Result) -> None:
    """Print what a pipeline found."""
    print(name, {key: sorting.get_num_units() for key, sorting in result.sortings.items()})  # noqa: T201 - a script


if __name__ == "__main__":
    main()
