import numpy as np
import pytest

from lussac.algorithms.fusion.fuse import fuse
from lussac.algorithms.fusion.reclaim import reclaimed, united
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.unclaimed import Left, look

from .conftest import spread_trains, waveforms
from .test_units import agreement, refined

WINDOW = 4


def state_of(world, trains):
    return refined(world, trains, list(range(len(trains))), list(range(len(trains))))[1]


def given_back(world, state, left=None):
    found = look(world.source, world.chunks, state.found, state.used, state.noise)
    return reclaimed(world.source, world.chunks, state, left or found, WINDOW)


@pytest.fixture(scope="module")
def half(world):
    first, second, third = world.trains
    return [first, second[::2], third]


def test_a_half_becomes_a_whole(world, half):
    state = state_of(world, half)
    assert agreement(state.trains()[1], world.trains[1]) < 0.6
    whole = given_back(world, state)
    assert [agreement(whole.trains()[unit], world.trains[unit]) > 0.9 for unit in range(3)] == [True, True, True]
    assert np.array_equal(whole.trains()[0], state.trains()[0])
    assert (np.diff(whole.found.samples) >= 0).all()


def test_whole_units_get_nothing(world):
    state = state_of(world, world.trains)
    assert given_back(world, state) is state


@pytest.mark.parametrize("few_looked_alike", [False, True])
def test_a_unit_gets_no_spikes_of_a_neighbour_that_nobody_found(make, few_looked_alike):
    shapes = waveforms(size=6.0)[[2, 2, 0]]
    shapes[1, 11:15, 1] += 3
    shapes[1, :, 2] *= 1.45
    world = make(shapes, spread_trains((60, 200, 40), 3, 40_000))
    own, _, other = world.trains
    state = state_of(world, [own, other])
    same = given_back(world, state, Left(np.ones(2), np.zeros(2)) if few_looked_alike else None)
    assert np.array_equal(same.found.samples, state.found.samples)


def test_what_was_reclaimed_is_not_held_against_the_analyses(world, half):
    fused = fuse(world.source, half, [0, 0, 0], world.settings)
    unit = int(np.argmax([agreement(train, world.trains[1]) for train in fused.trains]))
    assert agreement(fused.trains[unit], world.trains[1]) > 0.9
    assert fused.evidence.agreement[unit] > 0.9
    assert fused.evidence.unclaimed[unit] < 0.1


def test_spikes_of_both_are_united_once():
    both = united(Flat.of([np.array([1, 5]), np.array([3])]), Flat.of([np.array([5, 7]), np.array([], np.int64)]))
    assert [both[unit].tolist() for unit in range(2)] == [[1, 5, 7], [3]]
