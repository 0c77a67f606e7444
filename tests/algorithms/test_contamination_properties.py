import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from lussac.algorithms.contamination import contamination, cross_contamination, refractory_violations
from lussac.algorithms.timeline import Train


def read_only(positions: list[int]) -> Train:
    array = np.array(sorted(positions), np.int64)
    array.flags.writeable = False
    return array


trains = st.lists(st.integers(0, 100), max_size=12).map(read_only)
DURATION = 1000


@given(trains, st.integers(0, 10), st.integers(0, 30))
def test_refractory_violations(train, censored, refractory):
    expected = sum(censored < y - x <= refractory for i, x in enumerate(train) for y in train[i + 1 :])
    assert refractory_violations(train, censored, refractory) == expected


@given(trains.filter(lambda train: len(train) > 1), st.integers(0, 10), st.integers(11, 30))
def test_contamination_is_a_share_and_solves_its_equation(train, censored, refractory):
    share = contamination(train, censored, refractory, DURATION)
    assert 0.0 <= share <= 1.0
    if share < 1.0:
        # of all pairs those of two good spikes never violate
        n = len(train)
        expected = n**2 * (1 - (1 - share) ** 2) * (refractory - censored) / (DURATION - 2 * n * censored)
        assert refractory_violations(train, censored, refractory) == pytest.approx(expected)


@given(trains, trains, st.integers(0, 5), st.integers(6, 30), st.floats(0, 1))
def test_p_value_is_the_binomial_tail(a, b, censored, refractory, limit):
    if len(a) * len(b) == 0:
        return
    foreign = np.nan_to_num(contamination(a, censored, refractory, DURATION))
    violations = sum(censored < abs(x - y) <= refractory for x in a for y in b)
    probability = (foreign + (1 - foreign) * limit) * 2 * (refractory - censored) / DURATION
    found = cross_contamination(a, b, censored, refractory, DURATION, limit)
    assert found.p_value == pytest.approx(binom.sf(violations - 1, len(a) * len(b), probability), abs=1e-9)
