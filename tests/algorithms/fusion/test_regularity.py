import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms.fusion.regularity import absence, motion, spread_of_like

PAST, APART, DURATION = 500, 1_000, 1_000_000
few = settings(max_examples=25, deadline=None)


def train(rng, rate, start=0, stop=DURATION):
    return np.sort(rng.integers(start, stop, rng.poisson(rate * (stop - start))))


@few
@given(st.integers(0, 2**31), st.floats(0.02, 2.0))
def test_amplitudes_that_the_past_says_nothing_about_spread_as_they_do(seed, spread):
    rng = np.random.default_rng(seed)
    samples = train(rng, 1e-3)
    amplitudes = rng.normal(1, spread, len(samples)).astype(np.float32)
    assert spread_of_like(samples, amplitudes, PAST) == pytest.approx(spread, rel=0.2)


def test_spikes_that_shrink_in_a_burst_do_not_count_as_spread_but_two_neurons_do():
    rng = np.random.default_rng(0)
    starts = np.arange(10_000, 900_000, 2_000)
    bursts = np.sort(np.concatenate([starts, starts + 50, starts + 100]))
    shrinking = np.tile([1.0, 0.7, 0.5], len(starts)) + rng.normal(0, 0.05, len(bursts))
    assert spread_of_like(bursts, shrinking.astype(np.float32), PAST) == pytest.approx(0.05, rel=0.2)
    mixture = np.where(rng.random(len(bursts)) < 0.5, 1.0, 0.5) + rng.normal(0, 0.05, len(bursts))
    assert spread_of_like(bursts, mixture.astype(np.float32), PAST) > 0.2


def test_few_spikes_have_the_spread_that_they_have():
    assert spread_of_like(np.array([5, 900, 7000]), np.array([1, 1.5, 2], np.float32), PAST) == pytest.approx(0.34)
    assert spread_of_like(np.empty(0, np.int64), np.empty(0, np.float32), PAST) == 0


@few
@given(st.integers(0, 2**31), st.floats(1e-5, 1e-2), st.integers(1, 4), st.floats(0, 0.6))
def test_a_unit_that_is_always_there_is_not_absent_however_few_its_spikes_or_how_its_rate_varies(seed, rate, burst, change):
    rng = np.random.default_rng(seed)
    starts = train(rng, rate)
    kept = starts[rng.random(len(starts)) > change * (1 + np.sin(starts / DURATION * 12)) / 2]
    spikes = np.sort(np.concatenate([kept + 10 * place for place in range(burst)]))
    assert absence(spikes[spikes < DURATION], DURATION, APART) == 0


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_absence_is_the_share_of_the_time_without_a_unit_but_for_strays(share):
    rng = np.random.default_rng(1)
    part = np.concatenate([train(rng, 3e-4, 0, int((1 - share) * DURATION)), [900_000, 990_000]])
    assert absence(part, DURATION, 10) == pytest.approx(share, abs=0.06)


def test_nothing_is_not_absent():
    assert absence(np.empty(0, np.int64), DURATION, APART) == 0
    assert absence(np.array([7]), DURATION, APART) == 0


def test_motion_is_how_far_most_waveforms_go():
    still = np.ones((3, 2, 4, 2), np.float32)
    weights = np.full((3, 2), 10.0, np.float32)
    assert motion(still, weights) == 0
    moved = still * np.array([0.9, 1.0, 1.1], np.float32)[:, None, None, None]
    assert motion(moved, weights) == pytest.approx(0.1 * np.sqrt(2 / 3), rel=0.01)
    assert motion(still[:, :0], weights[:, :0]) == 0
