"""A recording whose neurons are known, sorted by several sorters, merged, and compared with the truth."""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import probeinterface
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import BaseRecording, BaseSorting
from spikeinterface.generation import generate_ground_truth_recording
from spikeinterface.preprocessing import scale

from lussac import sortings
from lussac.errors import UsageError
from lussac.store import explained

EXAMPLE = Path(__file__).parent / "params_examples" / "params_best.json"
PARAMS, RECORDING, PROBE, TRUTH = "params.json", "recording.dat", "probe.json", "truth"
CHANNELS, NEURONS, SECONDS, SEED = 16, 20, 60.0, 4
RATE, GAIN = 30_000.0, 0.195
NOISE = 8.0
"""Standard deviation of the noise in uV."""
FOUND = 0.8
"""Accuracy from which on a neuron counts as found: hits / (hits + misses + false spikes)."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a sorting compares with the truth.

    Parameters
    ----------
    units
        How many it has.
    found
        Neurons that one of them matches with an accuracy of at least `FOUND`.
    bad
        Units that are no neuron, the same neuron once more, or several neurons in one.
    """

    units: int
    found: int
    bad: int


def prepare(folder: Path) -> Path:
    """Write the recording, its truth and the params, unless they are there already; return the params file.

    Raises
    ------
    UsageError
        The folder holds something else.
    FolderError
        The folder can't be written, or the disk is full.
    """
    params = folder / PARAMS
    if (folder / TRUTH).is_dir() and params.is_file():
        return params
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something else. Name a folder that is new or empty.")
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        recording, truth = generate()
        probeinterface.write_probeinterface(folder / PROBE, recording.get_probegroup())
        _write_traces(recording, folder / RECORDING)
        shutil.copyfile(EXAMPLE, params)
        sortings.save(truth, folder / TRUTH)
    return params


def _write_traces(recording: BaseRecording, file: Path) -> None:
    second = int(RATE)
    with file.open("wb") as stream:
        for start in range(0, recording.get_num_samples(), second):
            stream.write(recording.get_traces(0, start, start + second).tobytes())


def generate() -> tuple[BaseRecording, BaseSorting]:
    """Return a recording in steps of `GAIN` uV, and the spikes that are in it."""
    rng = np.random.default_rng(SEED)
    probe = probeinterface.generate_multi_columns_probe(
        num_columns=2, num_contact_per_column=CHANNELS // 2, xpitch=32, ypitch=20, y_shift_per_column=[0, 10]
    )
    probe.set_device_channel_indices(np.arange(CHANNELS))
    recording, truth = generate_ground_truth_recording(
        durations=[SECONDS],
        sampling_frequency=RATE,
        probe=probe,
        num_units=NEURONS,
        generate_sorting_kwargs={"firing_rates": rng.uniform(1.5, 20.0, NEURONS), "refractory_period_ms": 2.0},
        noise_kwargs={"noise_levels": NOISE, "strategy": "tile_pregenerated"},
        generate_unit_locations_kwargs={"margin_um": 15.0, "minimum_z": 5.0, "maximum_z": 45.0, "minimum_distance": 8.0},
        generate_templates_kwargs={"unit_params": {"alpha": np.exp(rng.uniform(np.log(60.0), np.log(500.0), NEURONS))}},
        seed=SEED,
    )
    return scale(recording, gain=1 / GAIN, offset=0.0, dtype="int16"), truth


def scores(folder: Path, found: Mapping[str, BaseSorting]) -> dict[str, Score]:
    """Compare sortings with the truth of a demo folder."""
    truth = sortings.load(folder / TRUTH)
    return {name: score(truth, sorting) for name, sorting in found.items()}


def score(truth: BaseSorting, sorting: BaseSorting) -> Score:
    """Compare a sorting with the truth."""
    if sorting.get_num_units() == 0:
        return Score(0, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
        accuracy = comparison.get_performance()["accuracy"].to_numpy(dtype=float)
        return Score(sorting.get_num_units(), int((accuracy >= FOUND).sum()), len(comparison.get_bad_units()))
