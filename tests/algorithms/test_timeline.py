import numpy as np

from lussac.algorithms.timeline import Timeline

TIMELINE = Timeline((100, 0, 50), gap=1000)


def test_segments_lie_a_gap_apart():
    assert TIMELINE.starts.tolist() == [0, 1100, 2100]
    assert TIMELINE.flatten([0, 2, 2], [99, 0, 49]).tolist() == [99, 2100, 2149]
    assert TIMELINE.total == 150


def test_one_segment_for_all_samples():
    assert TIMELINE.flatten(2, [1, 2]).tolist() == [2101, 2102]


def test_a_spike_that_left_its_segment_counts_from_it_and_is_not_inside():
    positions = [-1, 0, 99, 100, 2099, 2100, 2149, 2150]
    segment_index, sample_index = TIMELINE.restore(positions)
    assert segment_index.tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
    assert sample_index.tolist() == [-1, 0, 99, 100, -1, 0, 49, 50]
    assert TIMELINE.inside(positions).tolist() == [False, True, True, False, False, True, True, False]


def test_no_positions():
    segment_index, sample_index = TIMELINE.restore([])
    assert len(segment_index) == len(sample_index) == len(TIMELINE.flatten([], [])) == len(TIMELINE.inside([])) == 0


def test_a_single_segment_is_its_own_axis():
    timeline = Timeline((30,))
    assert timeline.flatten([0, 0], [3, 5]).tolist() == [3, 5]
    assert timeline.inside([29, 30, 1 << 40]).tolist() == [True, False, False]
    assert np.array_equal(timeline.restore([29])[0], [0])
