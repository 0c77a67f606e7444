import math

import numpy as np
import pytest

from lussac.algorithms.contamination import (
    contamination,
    contamination_at_least,
    cross_contamination,
    refractory_violations,
)

CENSORED, REFRACTORY, DURATION = 6, 60, 30_000 * 600


def random_train(rng, rate, refractory, duration=DURATION):
    """Return a train whose intervals are exponential beyond the refractory period (samples)."""
    mean = 30_000 / rate - refractory
    intervals = refractory + rng.exponential(mean, int(2 * duration * rate / 30_000))
    times = np.cumsum(intervals).astype(np.int64)
    return frozen(times[times < duration])


def frozen(train):
    train = np.array(train, np.int64)
    train.flags.writeable = False
    return train


def mixed(*trains):
    return frozen(np.sort(np.concatenate(trains)))


def test_violations_are_all_pairs_after_the_censored_period():
    assert refractory_violations(frozen([0, 6, 7, 60, 61]), 6, 60) == 6
    assert refractory_violations(frozen([]), 6, 60) == 0


def test_a_clean_unit_is_not_contaminated():
    assert contamination(random_train(np.random.default_rng(0), 20, 90), CENSORED, REFRACTORY, DURATION) == 0.0


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_foreign_spikes_are_estimated(share):
    rng = np.random.default_rng(1)
    neuron = random_train(rng, 30, 90)
    foreign = rng.integers(0, DURATION, round(len(neuron) * share / (1 - share)))
    assert contamination(mixed(neuron, foreign), CENSORED, REFRACTORY, DURATION) == pytest.approx(share, abs=0.03)


def test_contamination_at_least_is_less_and_nothing_where_chance_may_do():
    rng = np.random.default_rng(3)
    spikes = mixed(random_train(rng, 20, 90), np.sort(rng.integers(0, DURATION, 600)))
    estimate = contamination(spikes, CENSORED, REFRACTORY, DURATION)
    least = contamination_at_least(spikes, CENSORED, REFRACTORY, DURATION, 0.999)
    assert 0 < least < estimate
    one_pair = frozen([1_000, 1_000 + REFRACTORY, *range(100_000, DURATION, 10_000)])
    assert contamination(one_pair, CENSORED, REFRACTORY, DURATION) > 0
    assert contamination_at_least(one_pair, CENSORED, REFRACTORY, DURATION, 0.999) < 0.001
    assert contamination_at_least(frozen([5, 90_000]), CENSORED, REFRACTORY, DURATION, 0.999) == 0


def test_too_many_violations_are_full_contamination():
    assert contamination(frozen(np.arange(0, 3000, 10)), CENSORED, REFRACTORY, DURATION) == 1.0


@pytest.mark.parametrize("train", [[], [5]])
def test_too_few_spikes_tell_nothing(train):
    assert math.isnan(contamination(frozen(train), CENSORED, REFRACTORY, DURATION))


def test_censored_periods_that_cover_the_recording_leave_nothing_to_see():
    assert contamination(frozen([0, 10, 20]), 6, 60, 20) == 0.0


def test_periods_must_be_in_order():
    for call in (
        lambda: contamination(frozen([1, 2]), 60, 60, 100),
        lambda: cross_contamination(frozen([1]), frozen([2]), 9, 6, 100, 0.1),
    ):
        with pytest.raises(ValueError, match="must be longer than the censored one"):
            call()


def test_two_neurons_contaminate_each_other():
    rng = np.random.default_rng(2)
    found = cross_contamination(random_train(rng, 20, 90), random_train(rng, 15, 90), CENSORED, REFRACTORY, DURATION, 0.1)
    assert found.estimate == pytest.approx(1.0, abs=0.1)
    assert found.p_value < 1e-6


def test_halves_of_one_neuron_do_not():
    neuron = random_train(np.random.default_rng(3), 30, 90)
    found = cross_contamination(frozen(neuron[::2]), frozen(neuron[1::2]), CENSORED, REFRACTORY, DURATION, 0.1)
    assert found.estimate == pytest.approx(0.0, abs=0.01)
    assert found.p_value > 0.99


def test_own_contamination_of_the_first_unit_is_taken_into_account():
    rng = np.random.default_rng(4)
    neuron = random_train(rng, 60, 90)
    a = mixed(neuron[::2], rng.integers(0, DURATION, len(neuron) // 8))
    b = mixed(neuron[1::2], rng.integers(0, DURATION, len(neuron) // 4))
    found = cross_contamination(a, b, CENSORED, REFRACTORY, DURATION, 0.05)
    assert found.estimate == pytest.approx(1 / 3, abs=0.06)
    assert found.p_value < 0.01


def test_the_test_is_fair_at_its_limit():
    rng = np.random.default_rng(5)
    values = []
    for _ in range(60):
        neuron = random_train(rng, 20, 90, DURATION // 4)
        foreign = rng.integers(0, DURATION // 4, round(len(neuron) / 2 / 9))
        b = mixed(neuron[1::2], foreign)
        values.append(cross_contamination(frozen(neuron[::2]), b, CENSORED, REFRACTORY, DURATION // 4, 0.1).p_value)
    assert np.mean(np.array(values) < 0.5) == pytest.approx(0.5, abs=0.2)


def test_no_spikes_tell_nothing():
    found = cross_contamination(frozen([]), frozen([1, 2]), CENSORED, REFRACTORY, DURATION, 0.1)
    assert math.isnan(found.estimate)
    assert found.p_value == 1.0


def test_a_wholly_contaminated_unit_tells_nothing_about_another():
    chaos = frozen(np.arange(0, 3000, 10))
    found = cross_contamination(chaos, frozen([5000]), CENSORED, REFRACTORY, DURATION, 0.1)
    assert math.isnan(found.estimate)
    assert found.p_value == 1.0


def test_more_coincidences_than_pairs_of_spikes_can_have_by_chance():
    assert cross_contamination(frozen([0]), frozen([10]), 0, 60, 50, 0.0).p_value == 0.0
