import numpy as np
import pytest

from lussac.algorithms import templates as tp

FS = 30_000.0


def sine(frequency, samples=30_000):
    return np.sin(2 * np.pi * frequency * np.arange(samples) / FS)[:, np.newaxis]


def frozen(values):
    array = np.array(values, np.float32)
    array.flags.writeable = False
    return array


def gain(frequency, low, high):
    margin = tp.bandpass_margin(FS, low, high)
    filtered = tp.gaussian_bandpass(frozen(sine(frequency)), FS, low, high)
    return filtered[margin:-margin].std() / sine(frequency).std()


@pytest.mark.parametrize(("low", "high"), [(300.0, 6000.0), (300.0, None), (None, 1000.0)])
@pytest.mark.parametrize("frequency", [100.0, 300.0, 1000.0, 6000.0])
def test_band_is_gaussian(low, high, frequency):
    expected = (np.exp(-0.5 * (frequency / high) ** 2) if high else 1) * (1 - np.exp(-0.5 * (frequency / low) ** 2) if low else 1)
    assert gain(frequency, low, high) == pytest.approx(expected, abs=0.01)


def test_no_band_is_no_filter():
    traces = frozen([[1], [2]])
    same = tp.gaussian_bandpass(traces, FS, None, None)
    assert same.tolist() == [[1], [2]]
    assert same is not traces
    assert tp.bandpass_margin(FS, None) == 0


def test_the_margin_is_enough_for_blocks_to_join():
    traces = frozen(np.random.default_rng(0).normal(size=(20_000, 3)))
    whole, margin = tp.gaussian_bandpass(traces, FS, 300.0, 6000.0), tp.bandpass_margin(FS, 300.0, 6000.0)
    block = tp.gaussian_bandpass(traces[5000 - margin : 6000 + margin], FS, 300.0, 6000.0)[margin:-margin]
    assert np.abs(block - whole[5000:6000]).max() < 1e-4


def test_workers_change_nothing():
    traces = frozen(np.random.default_rng(0).normal(size=(5000, 8)))
    one, two = (tp.gaussian_bandpass(traces, FS, 300.0, 6000.0, workers=n) for n in (1, 2))
    assert one.tobytes() == two.tobytes()
    assert one.dtype == np.float32


def test_offsets_of_integer_traces_are_filtered_away():
    traces = np.full((20_000, 1), 2000, np.int16)
    margin = tp.bandpass_margin(FS, 300.0)
    assert np.abs(tp.gaussian_bandpass(traces, FS, 300.0, 6000.0)[margin:-margin]).max() < 0.01


def test_alignment_takes_the_first_large_peak_and_then_the_highest_near_it():
    waveform = frozen([0, 1, 0, -5, 0, 8, 0, 0, 0, 0, 10, 0])
    assert tp.aligned_peak(waveform, 0.5, 0) == 3
    assert tp.aligned_peak(waveform, 0.5, 2) == 5
    assert tp.aligned_peak(waveform, 0.5, 10) == 10
    assert tp.aligned_peak(waveform, 0.6, 0) == 5
    assert tp.aligned_peak(waveform, 1.0, 0) == 10


def test_alignment_of_waveforms_without_an_inner_peak():
    assert tp.aligned_peak(frozen([3, 2, 1]), 0.5, 0) == 0
    assert tp.aligned_peak(frozen([1, 2, 3]), 0.5, 0) == 2
    assert tp.aligned_peak(frozen([0, 0, 0]), 0.5, 2) == 0
    assert tp.aligned_peak(frozen([1]), 0.5, 2) == 0


@pytest.mark.parametrize(("sign", "channel"), [("both", 2), ("neg", 2), ("pos", 1)])
def test_extremum_channel(sign, channel):
    assert tp.extremum_channel(frozen([[0, 3, -5], [1, 4, 2]]), sign) == channel


def test_extremum_channel_of_one_channel():
    assert tp.extremum_channel(frozen([[0], [1]])) == 0


def test_template_difference():
    rng = np.random.default_rng(0)
    a = frozen(np.pad(rng.normal(size=(10, 4)), ((5, 5), (0, 0))))
    channels = np.arange(4)
    assert tp.template_difference(a, a, channels, 0) == 0.0
    assert tp.template_difference(a, frozen(np.roll(a, 3, axis=0)), channels, 3) == 0.0
    assert tp.template_difference(a, frozen(np.roll(a, 3, axis=0)), channels, 2) > 0.3
    assert tp.template_difference(a, frozen(-a), channels, 0) == 1.0
    assert tp.template_difference(a, frozen(0 * a), channels, 2) == 1.0
    assert tp.template_difference(frozen(0 * a), frozen(0 * a), channels, 2) == 0.0


def test_only_the_given_channels_count():
    a, b = frozen(np.ones((5, 2))), frozen([[1, 7]] * 5)
    assert tp.template_difference(a, b, np.array([0]), 0) == 0.0
    assert tp.template_difference(a, b, np.array([1]), 0) == pytest.approx(6 / 8)


def test_amplitude_makes_a_difference():
    a = frozen(np.ones((5, 2)))
    assert tp.template_difference(a, 3 * a, np.arange(2), 0) == pytest.approx(0.5)


def test_strongest_channels_of_two_templates():
    a, b = frozen([[0, 9, 1, 0], [0, 0, 1, 0]]), frozen([[0, 0, 0, 0], [-5, 0, 0, 2]])
    assert tp.strongest_channels((a, b), 2).tolist() == [0, 1]
    assert tp.strongest_channels((a, b), 3).tolist() == [0, 1, 3]
    assert tp.strongest_channels((a, b), 9).tolist() == [0, 1, 2, 3]


def test_center_of_mass_is_between_the_channels_near_the_main_one():
    positions = np.array([[0.0, 0.0], [0.0, 20.0], [0.0, 40.0], [0.0, 500.0]])
    template = frozen([[0, 0, 0, 0], [-1, -2, -1, -1.5]])
    assert tp.center_of_mass(template, positions, 75.0).tolist() == [0.0, 20.0]
    assert tp.center_of_mass(template, positions, 0.0).tolist() == [0.0, 20.0]
    assert tp.center_of_mass(0 * template, positions, 75.0).tolist() == [0.0, 0.0]
