from dataclasses import replace

import numpy as np
import pytest

from lussac.algorithms.contrast import Contrast, Limits, SpikeStatistics, simultaneity, template_contrast
from lussac.algorithms.timeline import Train

LIMITS = Limits(
    template_difference=0.1,
    template_distance=5.0,
    correlogram_difference=0.12,
    p_value=0.001,
    simultaneity=0.5,
    foreign_share=0.5,
)
SPIKES = SpikeStatistics(
    censored=6, refractory=60, duration=3_000_000, block=150_000, reach=600, bin_size=6, std_bins=3.0, truncate=5.0
)
MANY = (1000, 1000)


def template(width: float, height: float, channel: int = 2) -> np.ndarray:
    times = np.arange(90)[:, np.newaxis]
    decay = np.exp(-np.abs(np.arange(8) - channel))
    waveform = (-height * np.exp(-0.5 * ((times - 30) / width) ** 2) * decay).astype(np.float32)
    waveform.flags.writeable = False
    return waveform


def train_with_refractory(count: int, period: int, seed: int) -> Train:
    rng = np.random.default_rng(seed)
    return np.cumsum(period + rng.exponential(3_000_000 / count - period, count)).astype(np.int64)


def test_equal_templates():
    assert template_contrast(template(5, 20), template(5, 20), MANY, 5, 10) == (0.0, 0.0)


def test_a_shift_is_undone_and_a_change_of_amplitude_is_no_change_of_shape():
    louder = np.roll(1.5 * template(5, 20), 7, axis=0)
    difference, distance = template_contrast(template(5, 20), louder, MANY, 5, 10)
    assert difference == pytest.approx(0.2, abs=1e-3)
    assert distance < 0.5


@pytest.mark.parametrize("other", [template(9, 20), template(5, 20, channel=3), -template(5, 20)])
def test_other_shapes_are_far(other):
    difference, distance = template_contrast(template(5, 20), other, MANY, 5, 10)
    assert difference > 0.15
    assert distance > 5.0


def test_what_noise_explains_is_no_distance():
    rng = np.random.default_rng(0)
    means = [template(5, 3) + rng.normal(0, 1 / np.sqrt(20), (90, 8)) for _ in range(2)]
    assert template_contrast(*means, (20, 20), 5, 10)[1] == 0.0


@pytest.mark.parametrize("counts", [(0, 10), (10, 0)])
def test_a_unit_without_waveforms_says_nothing(counts):
    assert template_contrast(template(5, 20), template(9, 20), counts, 5, 10) == (0.0, 0.0)


def test_silence_says_nothing():
    silence = np.zeros((90, 8), np.float32)
    assert template_contrast(silence, silence, MANY, 5, 10) == (0.0, 0.0)
    assert template_contrast(template(5, 20), silence, MANY, 5, 10) == (1.0, 0.0)


@pytest.mark.parametrize("shape", [(1, 1), (90, 1)])
def test_few_samples_and_channels(shape):
    ones = np.ones(shape, np.float32)
    assert template_contrast(ones, ones, MANY, 5, 10) == (0.0, 0.0)


def contrast(**values: float) -> Contrast:
    alike = {"template_difference": 0.02, "template_distance": 1.0, "simultaneity": 1.0, "cross_contamination": 0.0}
    return Contrast(**(alike | {"p_foreign": 1.0, "p_same": 1.0, "correlogram_difference": np.nan} | values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"template_difference": 0.2}, False),
        ({"template_distance": 9.0}, False),
        ({"template_difference": 0.2, "template_distance": 9.0}, True),
        ({"template_difference": 0.2, "template_distance": 9.0, "p_same": 1e-4}, False),
        ({"template_difference": 0.2, "template_distance": 9.0, "simultaneity": 0.3}, False),
        ({"p_foreign": 1e-4, "correlogram_difference": 0.05}, False),
        ({"p_foreign": 1e-4, "correlogram_difference": 0.3}, True),
    ],
)
def test_two_neurons(values, expected):
    assert contrast(**values).different(LIMITS) is expected


def test_two_neurons_meet_in_the_refractory_period_and_halves_of_one_dont():
    one, other = (train_with_refractory(4000, 90, seed) for seed in (0, 1))
    estimate, p_foreign, p_same = SPIKES.foreign(one, other, 0.1, 0.5)
    assert estimate == pytest.approx(1.0, abs=0.2)
    assert p_foreign < 0.001 < p_same
    estimate, p_foreign, p_same = SPIKES.foreign(one[::2], one[1::2], 0.1, 0.5)
    assert (estimate, p_foreign) == (0.0, 1.0)
    assert p_same < 0.001
    assert SPIKES.correlogram_difference(one[::2], one[1::2]) < SPIKES.correlogram_difference(one, other)


def test_spikes_in_common_dont_count():
    one = train_with_refractory(1000, 90, 0)
    assert SPIKES.foreign(one, one[::2] + 2, 0.1, 0.5)[:2] == (0.0, 1.0)
    assert SPIKES.correlogram_difference(one, one) < 0.2


def test_few_spikes_say_nothing():
    single = np.array([1000])
    estimate, p_foreign, p_same = SPIKES.foreign(single, single + 30, 0.1, 0.5)
    assert p_same == 1.0
    assert p_foreign < 1.0
    assert estimate > 1.0
    assert SPIKES.correlogram_difference(single, single + 3000) == np.inf


def test_units_that_take_turns_are_never_active_together():
    train = train_with_refractory(4000, 90, 0)
    turn = train // 150_000 % 2 == 0
    assert SPIKES.simultaneity(train[turn], train[~turn]) == 0.0
    # what a unit has beside its first half is the second half
    assert SPIKES.simultaneity(train[turn], train) == 0.0
    other = train_with_refractory(4000, 90, 1)
    assert SPIKES.simultaneity(train, other) == pytest.approx(1.0, abs=0.05)
    assert SPIKES.simultaneity(train, train) == 1.0


def test_a_shift_before_the_start_of_the_recording():
    assert simultaneity(np.array([-3, 20]), np.array([-1]), 10, 30) == pytest.approx(1.5)


def test_correlograms_that_are_not_smoothed():
    one, other = (train_with_refractory(4000, 90, seed) for seed in (0, 1))
    rough = replace(SPIKES, std_bins=0.0)
    assert rough.correlogram_difference(one[::2], one[1::2]) < rough.correlogram_difference(one, other)
