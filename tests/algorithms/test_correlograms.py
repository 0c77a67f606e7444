import math

import numpy as np
import pytest

from lussac.algorithms import correlograms as cg


def frozen(positions):
    train = np.sort(np.array(positions, np.int64))
    train.flags.writeable = False
    return train


def neuron(rng, duration=30_000 * 300, rate=30.0, refractory=90):
    times = np.cumsum(refractory + rng.exponential(30_000 / rate - refractory, int(2 * duration * rate / 30_000)))
    return frozen(times[times < duration])


def shape(train, window=3000, bin_size=6):
    return cg.smooth(cg.auto_correlogram(train, window, bin_size), 3.0)


def compare(a, b, window=3000, bin_size=6):
    cross = cg.smooth(cg.cross_correlogram(a, b, window, bin_size), 3.0)
    autos = shape(a), shape(b)
    widths = tuple(cg.adaptive_window(auto, 0.5) for auto in autos)
    return cg.difference(cross, *autos, (len(a), len(b)), widths)


def test_bins_are_centred():
    assert cg.bin_edges(10, 4).tolist() == [-10.0, -6.0, -2.0, 2.0, 6.0, 10.0]
    assert cg.bin_edges(3, 5).tolist() == [-2.5, 2.5]


def test_lags_on_an_edge_go_outwards():
    assert cg.cross_correlogram(frozen([100]), frozen([97, 98, 99, 100, 101, 102, 103]), 4, 4).tolist() == [2, 3, 2]


def test_a_positive_lag_says_that_b_follows():
    assert cg.cross_correlogram(frozen([0, 100]), frozen([3, 103]), 5, 1).tolist() == [0] * 8 + [2, 0, 0]


def test_autocorrelogram_counts_no_spike_with_itself():
    assert cg.auto_correlogram(frozen([0, 2, 2]), 2, 1).tolist() == [2, 0, 2, 0, 2]
    assert cg.auto_correlogram(frozen([]), 2, 1).tolist() == [0] * 5


def test_smoothing_keeps_the_sum_and_the_symmetry():
    histogram = np.zeros(41, np.int64)
    histogram[20] = 10
    smoothed = cg.smooth(histogram, 2.0)
    assert smoothed.sum() == pytest.approx(10)
    assert np.allclose(smoothed, smoothed[::-1])
    assert smoothed[20] == pytest.approx(10 / math.sqrt(2 * math.pi) / 2, rel=0.01)


def test_window_reaches_the_shoulder_after_the_refractory_period():
    lags = np.abs(np.arange(-100, 101))
    recovered = 1 / (1 + np.exp(-(lags - 40) / 4))
    assert 40 <= cg.adaptive_window(recovered, 0.5) <= 50


def test_shoulders_below_the_threshold_are_passed_over():
    lags = np.abs(np.arange(-100, 101))
    low_then_high = 0.2 / (1 + np.exp(-(lags - 20) / 2)) + 0.8 / (1 + np.exp(-(lags - 60) / 2))
    assert 20 <= cg.adaptive_window(low_then_high, 0.1) <= 25
    assert 60 <= cg.adaptive_window(low_then_high, 0.5) <= 65
    assert 60 <= cg.adaptive_window(low_then_high, 1.1) <= 65


def test_a_correlogram_without_shoulders_is_taken_whole():
    assert cg.adaptive_window(np.zeros(21), 0.5) == 10
    assert cg.adaptive_window(np.zeros(1), 0.5) == 1


def test_halves_of_a_neuron_correlate_as_each_with_itself():
    rng = np.random.default_rng(0)
    train = neuron(rng)
    half = rng.random(len(train)) < 0.5
    assert compare(frozen(train[half]), frozen(train[~half])) < 0.2


def test_two_neurons_do_not():
    rng = np.random.default_rng(1)
    assert compare(neuron(rng), neuron(rng)) > 0.4


def test_the_difference_is_symmetric():
    rng = np.random.default_rng(2)
    a, b = neuron(rng, rate=10.0), neuron(rng, rate=40.0)
    assert compare(a, b) == pytest.approx(compare(b, a))


def test_nothing_to_compare_is_infinitely_different():
    few, many = frozen([0]), neuron(np.random.default_rng(3))
    assert compare(few, many) == math.inf
    assert compare(frozen([]), many) == math.inf


def test_counting_noise_is_what_halves_of_a_neuron_differ_by():
    rng = np.random.default_rng(4)
    differences, noises = [], []
    for _ in range(20):
        train = neuron(rng, duration=30_000 * 120, rate=20.0)
        half = rng.random(len(train)) < 0.4
        a, b = frozen(train[half]), frozen(train[~half])
        cross, autos = cg.smooth(cg.cross_correlogram(a, b, 3000, 6), 3.0), (shape(a), shape(b))
        of_pair = cross, *autos, (len(a), len(b)), (60, 60)
        differences.append(cg.difference(*of_pair))
        noises.append(cg.counting_noise(*of_pair, 3.0))
    assert np.mean(differences) == pytest.approx(np.mean(noises), rel=0.1)


def test_counting_noise_of_nothing_is_infinite():
    empty = np.zeros(11)
    assert cg.counting_noise(empty, empty, empty, (0, 3), (1, 1), 1.0) == math.inf
