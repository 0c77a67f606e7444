import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lussac.algorithms.correlograms import auto_correlogram, bin_edges, cross_correlogram
from lussac.algorithms.timeline import Train


def read_only(positions: list[int]) -> Train:
    array = np.array(sorted(positions), np.int64)
    array.flags.writeable = False
    return array


trains = st.lists(st.integers(0, 80), max_size=15).map(read_only)
windows, bin_sizes = st.integers(0, 40), st.integers(1, 9)


@given(trains, trains, windows, bin_sizes)
def test_cross_correlogram(a, b, window, bin_size):
    reach = window // bin_size
    expected = np.zeros(2 * reach + 1, np.int64)
    for lag in (int(y - x) for x in a for y in b):
        nearest = int(np.sign(lag)) * int(np.floor(abs(lag) / bin_size + 0.5))  # a lag halfway between two bins: the outer one
        if abs(nearest) <= reach and (abs(lag) + bin_size // 2) // bin_size <= reach:
            expected[nearest + reach] += 1
    found = cross_correlogram(a, b, window, bin_size)
    assert found.tolist() == expected.tolist()
    assert len(bin_edges(window, bin_size)) == len(found) + 1


@given(trains, trains, windows, bin_sizes)
def test_exchanging_the_trains_mirrors_the_correlogram(a, b, window, bin_size):
    assert cross_correlogram(a, b, window, bin_size).tolist() == cross_correlogram(b, a, window, bin_size)[::-1].tolist()


@given(trains, windows)
def test_autocorrelogram_leaves_out_each_spike_with_itself(train, window):
    expected = [
        sum(i != j and y - x == lag for i, x in enumerate(train) for j, y in enumerate(train))
        for lag in range(-window, window + 1)
    ]
    assert auto_correlogram(train, window, 1).tolist() == expected


@given(trains, trains, windows, st.sampled_from([1, 3, 5]))
def test_odd_bins_are_what_numpy_counts(a, b, window, bin_size):
    lags = np.subtract.outer(b, a).ravel()
    assert cross_correlogram(a, b, window, bin_size).tolist() == np.histogram(lags, bin_edges(window, bin_size))[0].tolist()
