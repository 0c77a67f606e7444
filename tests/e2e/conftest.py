"""What all whole runs start from."""

import pytest
from spikeinterface.generation import generate_ground_truth_recording
from tiny import CHANNELS, NEURONS, RATE, SECONDS, Case, imitate, make_probe, write_analysis, write_recording


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    recording, truth = generate_ground_truth_recording(
        durations=[SECONDS],
        sampling_frequency=RATE,
        probe=make_probe(CHANNELS),
        num_units=NEURONS,
        generate_sorting_kwargs={"firing_rates": 12.0, "refractory_period_ms": 3.0},
        noise_kwargs={"noise_levels": 6.0, "strategy": "on_the_fly"},
        seed=5,
    )
    write_recording(recording.get_traces(), folder)
    write_analysis(truth, folder / "truth.npz")
    names = ("alpha", "beta", "gamma")
    for seed, name in enumerate(names):
        write_analysis(imitate(truth, seed), folder / f"{name}.npz")
    return Case(folder, names)
