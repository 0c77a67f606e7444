import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lussac.algorithms.timeline import Timeline

durations = st.lists(st.integers(0, 1000), min_size=1, max_size=5).map(tuple)


@given(durations, st.data())
def test_restore_undoes_flatten(durations, data):
    timeline = Timeline(durations, gap=500)
    segments = [index for index, duration in enumerate(durations) for _ in range(min(duration, 3))]
    samples = [data.draw(st.integers(0, durations[index] - 1)) for index in segments]
    positions = timeline.flatten(np.array(segments, np.int64), np.array(samples, np.int64))
    assert timeline.inside(positions).all()
    assert [found.tolist() for found in timeline.restore(positions)] == [segments, samples]


@given(durations, st.integers(-2000, 10_000))
def test_inside_is_what_flatten_can_give(durations, position):
    timeline = Timeline(durations, gap=500)
    reachable = {int(p) for index, n in enumerate(durations) for p in timeline.flatten(index, np.arange(n))}
    assert timeline.inside([position]).tolist() == [position in reachable]
