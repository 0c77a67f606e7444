import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from lussac.modules.align_units import MODULE, Params
from lussac.sortings import content_hash, unit_ids
from tests.ground_truth import frozen
from tests.modules.conftest import FS, silent_recording, sorting_of
from tests.tiny import make_probe

WAVEFORM = np.array([0, -20, -60, -100, -60, -20, 0, 20, 40, 20], dtype=float)
PEAK = 3


def recording_with(spikes, *durations, waveform=WAVEFORM, channel=2):
    """Return a recording with a waveform at each spike (segment, sample of its peak), on one channel."""
    traces = [np.zeros((duration, 4), np.float32) for duration in durations]
    for segment, sample in spikes:
        traces[segment][sample - PEAK : sample - PEAK + len(waveform), channel] += waveform
    recording = NumpyRecording([frozen(values) for values in traces], FS)
    recording.set_probe(make_probe(4))
    return recording


def align(context, sorting, **params):
    unfiltered = {"wvf_extraction": {"filter_band": None}}
    outcome = MODULE.run({"a": sorting}, Params.model_validate(unfiltered | params), context)
    return {unit: outcome.sortings["a"].get_unit_spike_train(unit, 0).tolist() for unit in unit_ids(sorting)}, outcome


def test_spikes_move_to_the_peak(make_context):
    peaks = np.array([1000, 5000, 9000])
    sorting = sorting_of({1: peaks + 12, 2: peaks, 3: peaks - 30, 4: []}, (10_000,))
    before = content_hash(sorting)
    moved, outcome = align(make_context(recording_with([(0, peak) for peak in peaks], 10_000)), sorting)
    assert moved == {1: peaks.tolist(), 2: peaks.tolist(), 3: peaks.tolist(), 4: []}
    assert {decision.unit.unit: decision.numbers for decision in outcome.decisions} == {1: {"shift": -12.0}, 3: {"shift": 30.0}}
    assert content_hash(sorting) == before


def test_the_first_peak_that_is_high_enough_counts(make_context):
    late = np.concatenate([0.6 * WAVEFORM, np.zeros(20), WAVEFORM])
    peaks = np.array([1000, 5000])
    context = make_context(recording_with([(0, peak) for peak in peaks], 10_000, waveform=late))
    sorting = sorting_of({1: peaks + 10}, (10_000,))
    assert align(context, sorting)[0] == {1: peaks.tolist()}
    assert align(context, sorting, threshold=0.7)[0] == {1: (peaks + 30).tolist()}
    assert align(context, sorting, check_next=30)[0] == {1: (peaks + 30).tolist()}


def test_spikes_that_leave_their_segment_are_dropped(make_context):
    recording = recording_with([(0, 1000), (1, 1000)], 2000, 2000)
    sorting = sorting_of({1: [10, 1020, 2000 + (1 << 22) + 5, 2000 + (1 << 22) + 1020]}, (2000, 2000))
    outcome = align(make_context(recording), sorting)[1]
    assert [outcome.sortings["a"].get_unit_spike_train(1, segment).tolist() for segment in (0, 1)] == [[1000], [1000]]


@pytest.mark.parametrize("units", [{}, {1: []}, {1: [3]}, {"x": [500]}])
def test_units_without_a_waveform_stay(make_context, units):
    sorting = sorting_of(units, (30_000,))
    outcome = align(make_context(silent_recording(1, channels=1)), sorting)[1]
    assert unit_ids(outcome.sortings["a"]) == unit_ids(sorting)
