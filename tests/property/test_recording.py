"""What is written for sorters is the recording, whatever its shape."""

import tempfile
from pathlib import Path

import numpy as np
import probeinterface
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeinterface.core import NumpyRecording

from lussac.recording import content_hash, read_binary, timeline, write_binary

RATE = 50.0  # a piece is as many samples


@st.composite
def recordings(draw):
    """Return the traces of each segment, and a recording of them with a probe."""
    dtype = draw(st.sampled_from(["int16", "float32", "float64", "uint8"]))
    channels = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    durations = draw(st.lists(st.integers(1, 170), min_size=1, max_size=3))
    traces = [rng.normal(100, 20, (samples, channels)).astype(dtype) for samples in durations]
    recording = NumpyRecording(traces, RATE, channel_ids=draw(st.sampled_from([None, [f"é{n}" for n in range(channels)]])))
    probe = probeinterface.generate_linear_probe(channels)
    probe.set_device_channel_indices(rng.permutation(channels))
    recording.set_probe(probe)
    recording.set_channel_gains(draw(st.floats(0.01, 10)))
    recording.set_channel_offsets(0.0)
    for array in traces:
        array.flags.writeable = False
    return traces, recording


@settings(deadline=None, max_examples=40)
@given(recordings(), st.integers(1, 3))
def test_written_and_read_back(case, jobs):
    traces, recording = case
    with tempfile.TemporaryDirectory() as folder:
        write_binary(recording, Path(folder) / "new", {"n_jobs": jobs})
        found = read_binary(Path(folder) / "new")
        assert timeline(found).durations == tuple(map(len, traces))
        for segment, expected in enumerate(traces):
            np.testing.assert_array_equal(found.get_traces(segment), expected)
        assert found.channel_ids.tolist() == recording.channel_ids.tolist()
        np.testing.assert_array_equal(found.get_channel_locations(), recording.get_channel_locations())
        assert content_hash(found) == content_hash(recording)
        del found


@settings(deadline=None, max_examples=40)
@given(recordings(), st.data())
def test_one_changed_sample_changes_the_hash(case, data):
    traces, recording = case
    segment = data.draw(st.integers(0, len(traces) - 1))
    sample = data.draw(st.integers(0, len(traces[segment]) - 1))
    changed = [array.copy() for array in traces]
    changed[segment][sample, -1] += 1
    other = NumpyRecording(changed, RATE, channel_ids=recording.channel_ids)
    recording.copy_metadata(other)
    assert content_hash(other) != content_hash(recording)
