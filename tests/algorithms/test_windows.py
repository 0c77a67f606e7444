import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms import windows

COMPILED_AND_PLAIN = pytest.mark.parametrize("plain", [False, True])


def kernel(function, plain):
    return getattr(function, "py_func", function) if plain else function


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    channels, width, units, spikes = (draw(st.integers(1, most)) for most in (4, 5, 3, 12))
    traces = rng.integers(-100, 100, (40, channels)).astype(draw(st.sampled_from(["int16", "float32"])))
    starts = np.sort(rng.integers(0, 40 - width, spikes))
    return traces, starts, rng.integers(0, units, spikes), width, units


@COMPILED_AND_PLAIN
@settings(deadline=None)
@given(case=cases())
def test_windows_are_added_up_per_unit(plain, case):
    traces, starts, slots, width, units = case
    sums = np.zeros((units, width, traces.shape[1]))
    kernel(windows.add_windows, plain)(traces, starts, slots, sums)
    for unit in range(units):
        mine = [traces[start : start + width].astype(float) for start in starts[slots == unit]]
        assert (sums[unit] == np.sum(mine, axis=0)).all() if mine else not sums[unit].any()


@COMPILED_AND_PLAIN
@settings(deadline=None)
@given(case=cases())
def test_a_value_is_the_filtered_trace_at_that_point(plain, case):
    traces, starts, channels, width, _ = case
    taps, channels = np.linspace(-1.0, 2.0, width), channels % traces.shape[1]
    found = kernel(windows.filtered_values, plain)(traces, starts, channels, taps)
    expected = [np.dot(taps, traces[start : start + width, channel]) for start, channel in zip(starts, channels, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@COMPILED_AND_PLAIN
@settings(deadline=None)
@given(case=cases())
def test_windows_are_gathered_on_channels_of_each_spike(plain, case):
    traces, starts, slots, width, _ = case
    gains, offsets = np.linspace(0.5, 2.0, traces.shape[1]), np.linspace(0.0, 3.0, traces.shape[1])
    channels = np.stack([slots % traces.shape[1], np.where(slots > 0, 0, -1)], axis=1)
    found = kernel(windows.gather_windows, plain)(traces, starts, width, channels, gains, offsets)
    assert found.dtype == np.float32
    scaled = traces * gains + offsets
    for spike, start in enumerate(starts):
        for place, channel in enumerate(channels[spike]):
            expected = scaled[start : start + width, channel] if channel >= 0 else np.zeros(width)
            np.testing.assert_allclose(found[spike, :, place], expected, rtol=1e-6)


@COMPILED_AND_PLAIN
@pytest.mark.parametrize("length", [1, windows.TURNED_AT_ONCE, 3 * windows.TURNED_AT_ONCE + 5])
def test_traces_are_scaled_and_turned_round(plain, length):
    traces = np.random.default_rng(length).integers(-999, 999, (length, 5)).astype(np.int16)
    scale = np.array([1.0, 0.1, -2.0, 0.0, 0.195], np.float32)
    scaled = np.full((length, 5), np.nan, np.float32, order="F")
    kernel(windows.scale_into, plain)(scaled, traces, scale)
    assert np.array_equal(scaled, traces * scale)
