"""Recordings with known neurons, generated in memory."""

import numpy as np
from spikeinterface.core import NumpyRecording
from spikeinterface.generation import generate_ground_truth_recording

from lussac.sortings import build, unit_ids
from tests.tiny import GAIN, RATE, make_probe


def ground_truth(*seconds, channels=8, neurons=5, seed=0, dtype="int16"):
    """Return an int16 recording with gains (or one of another type, in uV) and its true sorting."""
    made, truth = generate_ground_truth_recording(
        durations=list(seconds),
        sampling_frequency=RATE,
        num_units=neurons,
        probe=make_probe(channels),
        noise_kwargs={"noise_levels": 5.0, "strategy": "on_the_fly"},
        generate_unit_locations_kwargs={"margin_um": 10.0, "minimum_z": 5.0, "maximum_z": 20.0},
        seed=seed,
    )
    traces = [made.get_traces(segment_index=index) for index in range(made.get_num_segments())]
    if dtype == "int16":
        traces = [np.round(values / GAIN).astype(np.int16) for values in traces]
    recording = NumpyRecording([frozen(values) for values in traces], made.sampling_frequency)
    recording.set_probe(make_probe(channels))
    if dtype == "int16":
        recording.set_channel_gains(GAIN)
        recording.set_channel_offsets(0.0)
    ids = list(range(truth.get_num_units()))
    return recording, build(truth.to_spike_vector(), ids, truth.sampling_frequency, len(seconds))


def frozen(array):
    array.flags.writeable = False
    return array


def trains_of(sorting):
    """Return the spikes of each unit as one array per segment."""
    segments = range(sorting.get_num_segments())
    return {unit: [sorting.get_unit_spike_train(unit, segment_index=s) for s in segments] for unit in unit_ids(sorting)}
