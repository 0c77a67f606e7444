"""Ground-truth cases with what real recordings have: drift, bursts of shrinking spikes, neurons that fire together.

    python benchmarks/cases.py generate CASE DIR      recording.dat, probe.json, info.json, sortings/gt.json (always the same)
    python benchmarks/cases.py sort DIR SORTER...     runs sorters of this environment on the case

A case is a row of CASES. A recording is made and written second by second: its length costs no memory.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numba
import numpy as np
import probeinterface
import spikeinterface.core as si
import spikeinterface.extractors as se
import spikeinterface.sorters as ss
from numpy.typing import NDArray
from spikeinterface.core.generate import generate_templates, generate_unit_locations

RATE = 30_000.0
GAIN = 0.195
NOISE_UV = 8.0
MS_BEFORE, MS_AFTER = 1.0, 3.0
JITTERS = 4
DRIFT_STEP_UM = 2.0
BURST_RECOVERY_S = 0.012


@dataclass(frozen=True, slots=True)
class Case:
    """What a generated recording holds.

    Parameters
    ----------
    channels, neurons, seconds, seed
        Size, and the seed of everything random.
    drift
        Largest displacement of the tissue along the probe, in um: a slow wave plus a trend.
    bursting
        Share of the neurons that fire bursts; within a burst the spikes shrink to about half.
    synchrony
        Share of a neuron's spikes that fall within half a millisecond of a spike of its nearest neighbour.
    wobble
        Standard deviation of the amplitude from spike to spike, relative.
    """

    channels: int
    neurons: int
    seconds: float
    seed: int
    drift: float = 0.0
    bursting: float = 0.0
    synchrony: float = 0.0
    wobble: float = 0.0


CASES = {
    "plain": Case(32, 60, 120.0, 201),
    "drift": Case(32, 50, 180.0, 202, drift=20.0, wobble=0.05),
    "burst": Case(32, 60, 120.0, 203, bursting=0.6, wobble=0.05),
    "overlap": Case(32, 60, 120.0, 204, synchrony=0.3, wobble=0.05),
    "hard": Case(32, 70, 150.0, 205, drift=10.0, bursting=0.4, synchrony=0.15, wobble=0.08),
    "plain_2": Case(32, 60, 120.0, 301),
    "drift_2": Case(32, 50, 180.0, 302, drift=20.0, wobble=0.05),
    "burst_2": Case(32, 60, 120.0, 303, bursting=0.6, wobble=0.05),
    "overlap_2": Case(32, 60, 120.0, 304, synchrony=0.3, wobble=0.05),
    "hard_2": Case(32, 70, 150.0, 305, drift=10.0, bursting=0.4, synchrony=0.15, wobble=0.08),
    "plain_3": Case(32, 60, 120.0, 401),
    "drift_3": Case(32, 50, 180.0, 402, drift=20.0, wobble=0.05),
    "burst_3": Case(32, 60, 120.0, 403, bursting=0.6, wobble=0.05),
    "overlap_3": Case(32, 60, 120.0, 404, synchrony=0.3, wobble=0.05),
    "hard_3": Case(32, 70, 150.0, 405, drift=10.0, bursting=0.4, synchrony=0.15, wobble=0.08),
    "plain_4": Case(32, 60, 120.0, 601),
    "drift_4": Case(32, 50, 180.0, 602, drift=20.0, wobble=0.05),
    "burst_4": Case(32, 60, 120.0, 603, bursting=0.6, wobble=0.05),
    "overlap_4": Case(32, 60, 120.0, 604, synchrony=0.3, wobble=0.05),
    "hard_4": Case(32, 70, 150.0, 605, drift=10.0, bursting=0.4, synchrony=0.15, wobble=0.08),
    "few": Case(16, 20, 120.0, 501, wobble=0.05),
    "dense": Case(32, 110, 120.0, 502, drift=5.0, bursting=0.2, synchrony=0.05, wobble=0.05),
}


@dataclass(frozen=True, slots=True)
class Spikes:
    """All spikes of a case in time order: position in samples, neuron, amplitude factor, sub-sample jitter."""

    samples: NDArray[np.int64]
    neurons: NDArray[np.int64]
    amplitudes: NDArray[np.float32]
    jitters: NDArray[np.int64]


def refractory_train(rng: np.random.Generator, rate: float, seconds: float, dead_time: float = 0.002) -> NDArray[np.float64]:
    """Draw a Poisson train with a dead time: times in seconds."""
    count = int(seconds * rate + 6 * np.sqrt(seconds * rate) + 10)
    times = np.cumsum(rng.exponential(1 / rate - dead_time if rate < 1 / dead_time else 1e-4, count) + dead_time)
    return times[times < seconds]


def bursting_train(rng: np.random.Generator, rate: float, seconds: float) -> NDArray[np.float64]:
    """Draw bursts of 1 to 6 spikes, 3 to 8 ms apart: times in seconds."""
    starts = refractory_train(rng, rate / 3, seconds, 0.06 if rate < 30 else 0.04)
    sizes = rng.integers(1, 7, len(starts))
    bursts = [
        start + np.concatenate([[0.0], np.cumsum(rng.uniform(0.003, 0.008, size - 1))])
        for start, size in zip(starts, sizes, strict=True)
    ]
    times = np.sort(np.concatenate(bursts)) if bursts else np.empty(0)
    times = times[np.concatenate([[True], np.diff(times) > 0.002])] if len(times) else times
    return times[times < seconds]


def burst_amplitudes(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitude of every spike where each spike takes a share that recovers exponentially."""
    amplitudes = np.ones(len(times))
    lost = 0.0
    for index in range(1, len(times)):
        lost = (lost + 0.25 * (1 - lost)) * np.exp(-(times[index] - times[index - 1]) / BURST_RECOVERY_S)
        amplitudes[index] = max(1 - 1.2 * lost, 0.35)
    return amplitudes


def with_synchrony(
    rng: np.random.Generator,
    trains: list[NDArray[np.float64]],
    positions: NDArray[np.float64],
    share: float,
    dead_time: float = 0.002,
) -> list[NDArray[np.float64]]:
    """Move a share of every train's spikes beside spikes of the nearest neuron."""
    moved = []
    for index, train in enumerate(trains):
        distances = np.linalg.norm(positions - positions[index], axis=1)
        distances[index] = np.inf
        partner = trains[int(np.argmin(distances))]
        chosen = rng.random(len(train)) < share * min(1.0, len(partner) / max(len(train), 1))
        beside = rng.choice(partner, int(chosen.sum()), replace=len(partner) < chosen.sum()) if len(partner) else train[chosen]
        times = np.sort(np.concatenate([train[~chosen], beside + rng.uniform(-5e-4, 5e-4, len(beside))]))
        times = times[times > 0]
        moved.append(times[np.concatenate([[True], np.diff(times) > dead_time])] if len(times) else times)
    return moved


def displacement(case: Case, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacement of the tissue in um at the given times."""
    phase = seconds / case.seconds
    return case.drift * (0.7 * phase + 0.3 * np.sin(2 * np.pi * 1.5 * phase))


def make_spikes(case: Case, positions: NDArray[np.float64], rng: np.random.Generator) -> Spikes:
    """Draw the trains and amplitudes of all neurons."""
    rates = np.clip(rng.lognormal(1.0, 0.9, case.neurons), 0.4, 35.0)
    bursting = rng.random(case.neurons) < case.bursting
    draw = {True: bursting_train, False: refractory_train}
    trains = [draw[bool(burst)](rng, rate, case.seconds - 0.02) + 0.01 for rate, burst in zip(rates, bursting, strict=True)]
    if case.synchrony:
        trains = with_synchrony(rng, trains, positions, case.synchrony)
    amplitudes = [burst_amplitudes(t) if burst else np.ones(len(t)) for t, burst in zip(trains, bursting, strict=True)]
    times = np.concatenate(trains)
    order = np.argsort(times, kind="stable")
    neurons = np.repeat(np.arange(case.neurons), [len(t) for t in trains])[order]
    factors = np.concatenate(amplitudes)[order] * (1 + case.wobble * rng.standard_normal(len(order)))
    fine = np.round(times[order] * RATE * JITTERS).astype(np.int64)
    return Spikes(fine // JITTERS, neurons, factors.astype(np.float32), fine % JITTERS)


def make_templates(
    case: Case, probe_positions: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Templates (drift step, neuron, jitter, sample, channel) in uV, and the neurons' positions."""
    seed = int(rng.integers(1 << 31))
    alpha = np.clip(rng.lognormal(np.log(180), 0.75, case.neurons), 30, 900)
    positions = generate_unit_locations(
        case.neurons, probe_positions, margin_um=15.0, minimum_z=5.0, maximum_z=45.0, minimum_distance=8.0, seed=seed
    )
    steps = []
    for shift in np.arange(0.0, 1.3 * case.drift + DRIFT_STEP_UM, DRIFT_STEP_UM):
        moved = positions + np.array([0.0, shift - 0.5 * case.drift, 0.0])
        templates = generate_templates(
            probe_positions, moved, RATE, MS_BEFORE, MS_AFTER, seed=seed, unit_params={"alpha": alpha}, upsample_factor=JITTERS
        )
        steps.append(np.moveaxis(templates, 3, 1))
    return np.ascontiguousarray(np.stack(steps), dtype=np.float32), positions


@numba.njit(cache=False)
def _inject(traces, start, samples, neurons, amplitudes, jitters, steps, templates, before):  # noqa: ANN001, ANN202
    length = templates.shape[3]
    for index in range(len(samples)):
        first = samples[index] - before - start
        waveform = templates[steps[index], neurons[index], jitters[index]]
        for offset in range(max(0, -first), min(length, traces.shape[0] - first)):
            for channel in range(traces.shape[1]):
                traces[first + offset, channel] += amplitudes[index] * waveform[offset, channel]


def seconds_of(case: Case, spikes: Spikes, templates: NDArray[np.float32]) -> Iterator[NDArray[np.int16]]:
    """Yield the recording second by second as it is written: int16 in steps of GAIN uV."""
    before = int(MS_BEFORE * RATE / 1e3)
    margin = templates.shape[3]
    moved = displacement(case, spikes.samples / RATE)
    steps = np.clip(np.round((moved - moved.min(initial=0.0)) / DRIFT_STEP_UM), 0, templates.shape[0] - 1).astype(np.int64)
    mixing = spatial_mixing(case.channels)
    for start in range(0, int(case.seconds * RATE), int(RATE)):
        rng = np.random.default_rng([case.seed, 1, start])
        traces = NOISE_UV * (rng.standard_normal((int(RATE), case.channels), dtype=np.float32) @ mixing)
        first, last = np.searchsorted(spikes.samples, [start - margin, start + int(RATE) + margin])
        chosen = slice(first, last)
        own = (array[chosen] for array in (spikes.samples, spikes.neurons, spikes.amplitudes, spikes.jitters, steps))
        _inject(traces, start, *own, templates, before)
        yield np.clip(np.round(traces / GAIN), -32768, 32767).astype(np.int16)


def spatial_mixing(channels: int) -> NDArray[np.float32]:
    """Mixes white noise so that near channels share part of it, with unit variance on each."""
    gaps = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
    mixing = np.where(gaps < 4, 0.35**gaps, 0.0)
    return (mixing / np.linalg.norm(mixing, axis=0)).astype(np.float32)


def make_probe(channels: int) -> probeinterface.Probe:
    """Two staggered columns of square contacts."""
    probe = probeinterface.generate_multi_columns_probe(
        num_columns=2, num_contact_per_column=channels // 2, xpitch=32, ypitch=20, y_shift_per_column=[0, 10],
        contact_shapes="square", contact_shape_params={"width": 12},
    )  # fmt: skip
    probe.set_device_channel_indices(np.arange(channels))
    return probe


def write_sorting(folder: Path, name: str, samples: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    """Write a sorting as npz with the SpikeInterface json that names it."""
    file = (folder / "sortings" / f"{name}.npz").absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    order = np.argsort(samples, kind="stable")
    sorting = si.NumpySorting.from_samples_and_labels([samples[order]], [labels[order]], sampling_frequency=RATE)
    si.NpzSortingExtractor.write_sorting(sorting, file)
    content = {
        "class": "spikeinterface.core.npzsortingextractor.NpzSortingExtractor", "module": "spikeinterface", "version": "0.104.0",
        "kwargs": {"file_path": str(file)}, "relative_paths": False, "annotations": {"name": name}, "properties": {},
    }  # fmt: skip
    file.with_suffix(".json").write_text(json.dumps(content))


def generate(case: Case, folder: Path) -> None:
    """Write a case."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([case.seed, 0])
    probe = make_probe(case.channels)
    templates, positions = make_templates(case, probe.contact_positions, rng)
    spikes = make_spikes(case, positions, rng)
    with (folder / "recording.dat").open("wb") as file:
        for second in seconds_of(case, spikes, templates):
            file.write(second.tobytes())
    probeinterface.write_probeinterface(folder / "probe.json", probe)
    write_sorting(folder, "gt", spikes.samples, spikes.neurons)
    middle = templates[templates.shape[0] // 2, :, 0]
    info = {
        "num_channels": case.channels,
        "num_units": case.neurons,
        "duration": case.seconds,
        "seed": case.seed,
        "fs": RATE,
        "gain": GAIN,
        "n_spikes": len(spikes.samples),
        "case": asdict(case),
        "peaks_uv": [round(float(peak), 1) for peak in np.abs(middle).max(axis=(1, 2))],
    }
    (folder / "info.json").write_text(json.dumps(info))
    np.savez_compressed(folder / "truth.npz", amplitudes=spikes.amplitudes, positions=positions, templates=middle)


def sort(folder: Path, sorters: list[str]) -> None:
    """Run sorters with their defaults."""
    info = json.loads((folder / "info.json").read_text())
    recording = se.BinaryRecordingExtractor(
        file_paths=[folder / "recording.dat"], sampling_frequency=info["fs"], num_channels=info["num_channels"], dtype="int16",
        gain_to_uV=info["gain"], offset_to_uV=0.0,
    )  # fmt: skip
    recording.set_probegroup(probeinterface.read_probeinterface(folder / "probe.json"))
    names = {"tdc2": "tridesclous2", "sc2": "spykingcircus2", "ms5": "mountainsort5"}
    for short in sorters:
        scratch = folder / f"sorter_{short}"
        shutil.rmtree(scratch, ignore_errors=True)
        sorting = ss.run_sorter(names.get(short, short), recording, folder=scratch, remove_existing_folder=True)
        vector = sorting.to_spike_vector()
        write_sorting(folder, short, vector["sample_index"].astype(np.int64), vector["unit_index"].astype(np.int64))
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> None:
    """Read the command line."""
    match sys.argv[1:]:
        case ["generate", name, folder] if name in CASES:
            generate(CASES[name], Path(folder))
        case ["sort", folder, *sorters] if sorters:
            sort(Path(folder), sorters)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
