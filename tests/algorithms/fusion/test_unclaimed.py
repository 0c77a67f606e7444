import numpy as np
import pytest

from lussac.algorithms.fusion.matching import Found, Model
from lussac.algorithms.fusion.source import cut
from lussac.algorithms.fusion.unclaimed import look, usual_energies

from .conftest import spread_trains, waveforms


def model_of(shapes):
    size = len(shapes)
    full = [np.full(size, value, np.float32) for value in (400.0, 0.5, 1.5)]
    return Model(shapes[None].astype(np.float32), np.tile(np.arange(4), (size, 1)), 7, *full)


def found_of(trains):
    units = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    samples = np.concatenate(trains).astype(np.int64)
    order = np.argsort(samples, kind="stable")
    one = np.ones(len(samples), np.float32)
    return Found(samples[order], units[order], one, one, 0 * one)


def left_unclaimed(world, trains, shapes):
    chunks = cut(world.source, 10_000, 10**6, 1)
    return look(world.source, chunks, found_of(trains), model_of(shapes), 1.0).unclaimed


def test_nothing_like_a_whole_unit_is_left(world):
    assert left_unclaimed(world, world.trains, world.waveforms).tolist() == [0, 0, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_other_part_of_a_neuron_is_left(make, sign):
    shapes = sign * waveforms()
    world = make(shapes, spread_trains((60, 50, 40), 3, 40_000))
    first, second, third = world.trains
    shares = left_unclaimed(world, [first, second[::2], third[::4]], shapes)
    missing = [len(second) - len(second[::2]), len(third) - len(third[::4])]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(missing[0] / (len(second[::2]) + 2), rel=0.1)
    assert shares[2] == pytest.approx(missing[1] / (len(third[::4]) + 2), rel=0.1)


@pytest.mark.parametrize("unlike", [0.0, 0.45])
def test_spikes_of_a_neighbour_that_nobody_found_hardly_count(make, unlike):
    shapes = waveforms(size=6.0)[[2, 2, 0]]
    shapes[1, 11:15, 1] += 6 * unlike
    shapes[1, :, 2] *= 1 + unlike
    world = make(shapes, spread_trains((60, 200, 40), 3, 40_000))
    own, _, other = world.trains
    share = left_unclaimed(world, [own, other], shapes[[0, 2]])[0]
    assert 0 < share < 0.2 if unlike else share > 1


def test_usual_energies_are_those_of_most_windows():
    residual = np.ones((45, 3), np.float32)
    residual[:, 2] = 2
    residual[12] = 100
    assert usual_energies(residual, np.array([[0, 1], [2, 0]]), 10).tolist() == [20, 50]
