"""Spikes at one lag from a louder unit's are its echo."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussac.algorithms.fusion.candidates import prepare
from lussac.algorithms.fusion.echoes import CERTAIN, LEAST, QUIETER, TIMES, WIDTH, Echo, barred, echoes
from lussac.algorithms.fusion.joins import join
from lussac.algorithms.fusion.matching import Model
from lussac.algorithms.fusion.pool import Member, Pool
from lussac.algorithms.fusion.refinement import first_model, question, refine
from lussac.algorithms.fusion.trains import Flat, has_near

from .conftest import AFTER, BEFORE, spread_trains

LAG, REACH = 4, 24
LOUD, QUIET = 100.0, 10.0
SHARED = np.array([[0, 1], [0, 1]])


def found(quiet, loud, energies=(QUIET, LOUD), channels=SHARED):
    return echoes(Flat.of([np.sort(quiet), np.sort(loud)]), np.array(energies, np.float32), channels, LAG, REACH)


@pytest.fixture
def trains():
    rng = np.random.default_rng(0)
    return [np.sort(rng.choice(1_000_000, 400, replace=False)) for _ in range(2)]


def test_units_that_meet_by_chance_have_none(trains):
    assert found(*trains) == []


@pytest.mark.parametrize("lag", [-4, -1, 0, 3])
def test_spikes_at_one_lag_are_echoes(trains, lag):
    quiet, loud = trains
    (echo,) = found([*quiet, *(loud[:50] + lag)], loud)
    assert echo[:2] == (0, 1)
    assert abs(echo.lag - lag) <= WIDTH


def test_an_echo_may_be_a_sample_off(trains):
    quiet, loud = trains
    off = np.random.default_rng(1).integers(-WIDTH, WIDTH, 50, endpoint=True)
    assert found([*quiet, *(loud[:50] + 2 + off)], loud) == [Echo(0, 1, 2)]


def test_neurons_that_fire_together_have_none(trains):
    quiet, loud = trains
    near = np.random.default_rng(1).integers(-15, 15, 200, endpoint=True)
    assert found([*quiet, *(loud[:200] + near)], loud) == []


def test_few_are_none(trains):
    quiet, loud = trains
    assert found([*quiet, *loud[: LEAST - 1]], loud) == []


def test_a_lag_that_no_waveform_has_is_none(trains):
    quiet, loud = trains
    assert found([*quiet, *(loud[:50] + LAG + WIDTH + 2)], loud) == []


def test_units_of_about_one_size_have_none(trains):
    quiet, loud = trains
    assert found([*quiet, *loud[:50]], loud, energies=(1.01 * QUIETER * LOUD, LOUD)) == []


def test_units_on_other_channels_have_none(trains):
    quiet, loud = trains
    assert found([*quiet, *loud[:50]], loud, channels=np.array([[2, 1], [0, 1]])) == []


@given(
    counts=st.lists(st.integers(0, 60), min_size=2, max_size=4),
    seed=st.integers(0, 1000),
    energies=st.lists(st.sampled_from([1.0, 10.0, 100.0]), min_size=4, max_size=4),
)
def test_echoes_as_counted_one_by_one(counts, seed, energies):
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.choice(2000, count, replace=False)) for count in counts]
    trains[0] = np.union1d(trains[0], trains[1] + 2)
    size = len(trains)
    expected = []
    for unit in range(size):
        for louder in range(size):
            if energies[unit] > QUIETER * energies[louder]:
                continue
            lags = np.subtract.outer(trains[unit], trains[louder])
            around = np.count_nonzero(np.abs(lags) <= REACH)
            at = [np.count_nonzero(np.abs(lags - lag) <= WIDTH) for lag in range(-LAG, LAG + 1)]
            usual = (around - max(at)) * (2 * WIDTH + 1) / (2 * REACH - 2 * WIDTH)
            if max(at) >= LEAST and max(at) > TIMES * usual + CERTAIN * np.sqrt(usual + 1):
                exactly = [np.count_nonzero(lags == lag) for lag in range(-LAG, LAG + 1)]
                expected.append(Echo(unit, louder, max(range(2 * LAG + 1), key=lambda i: (at[i], exactly[i], -i)) - LAG))
    channels = np.zeros((size, 1), np.int64)
    assert echoes(Flat.of(trains), np.array(energies[:size], np.float32), channels, LAG, REACH) == expected


def test_stretches_of_time_add_up(trains, monkeypatch):
    quiet, loud = trains
    whole = found([*quiet, *(loud[:50] + 2)], loud)
    monkeypatch.setattr("lussac.algorithms.fusion.trains.AT_ONCE", 7)
    assert found([*quiet, *(loud[:50] + 2)], loud) == whole == [Echo(0, 1, 2)]


def test_no_units_have_none():
    assert echoes(Flat.of([]), np.empty(0, np.float32), np.empty((0, 2), np.int64), LAG, REACH) == []


def test_places_add_up():
    trains = Flat.of([np.array([5]), np.array([100, 200])])
    first = barred((), [Echo(0, 1, 2)], trains)
    assert [places.tolist() for places in first] == [[102, 202], []]
    again = barred(first, [Echo(0, 1, 3)], trains)
    assert [places.tolist() for places in again] == [[102, 103, 202, 203], []]


def test_nothing_is_proposed_where_a_unit_has_no_spike():
    trains = Flat.of([np.array([10, 98, 103, 150]), np.array([100])])
    members, none = [[], [Member(0, 0, shares=True)]], np.empty(0, np.int64)

    def left(*places):
        found = Pool.of(trains, members, trains, 2, places).between(0, 1000)
        return [found.samples[found.units == unit].tolist() for unit in range(2)]

    assert left() == [[10, 98, 103, 150], [10, 100, 103, 150]]
    assert left(np.array([100]), none) == [[10, 103, 150], [10, 100, 103, 150]]
    assert left(none, np.array([99])) == [[10, 98, 103, 150], [10, 103, 150]]


def test_what_the_template_of_a_louder_unit_leaves_is_no_spike_of_a_quiet_one(make):
    """A third of a loud neuron's spikes have something more that looks like a quiet neuron, and an analysis takes it for that."""
    loud, quiet = spread_trains((300, 120), 3, 40_000)
    time = np.arange(-BEFORE, AFTER)
    shapes = np.zeros((2, BEFORE + AFTER, 4), np.float32)
    shapes[0, :, :2] = -30 * np.exp(-(time**2) / 4.0)[:, None]
    shapes[1, :, 1:] = -9 * np.exp(-(time**2) / 9.0)[:, None]
    more = loud[::3]
    world = make(np.stack([*shapes, shapes[1]]), [loud, quiet, more])
    candidates = prepare(world.source, world.chunks, [loud, np.union1d(quiet, more)], [0, 0], world.settings)
    candidates = replace(candidates, chosen=np.array([True, True]))

    def refined(model, trains):
        asked = question(world.source, candidates, model, trains, world.settings)
        return refine(world.source, world.chunks, asked, world.settings)

    first = refined(first_model(candidates, 2), candidates.trains)
    again = refined(first.model, first.trains())
    near = [np.count_nonzero(has_near(state.trains()[1], more, 3)) for state in (first, again)]
    assert near[0] > 0.9 * len(more)
    assert near[1] < 0.1 * len(more)
    assert np.count_nonzero(has_near(quiet, again.trains()[1], 3)) > 0.95 * len(quiet)
    assert np.count_nonzero(has_near(loud, again.trains()[0], 3)) > 0.95 * len(loud)


def test_joined_units_have_no_spike_where_either_has_none(make):
    model = Model(np.ones((1, 3, 4, 1), np.float32), np.zeros((3, 1), np.int64), 1, *np.ones((3, 3), np.float32))
    model = replace(model, barred=tuple(np.array([places]) for places in (5, 7, 9)))
    trains, counts = Flat.of([np.array([1]), np.array([2]), np.array([3])]), np.full((1, 3), 9.0)
    joined, _ = join(model, trains, np.array([0, 0, 2]), counts, 1)
    assert [places.tolist() for places in joined.barred] == [[5, 7], [9]]
    assert [places.tolist() for places in model.of(np.array([2, 2])).barred] == [[9], [9]]
    assert join(replace(model, barred=()), trains, np.array([0, 0, 2]), counts, 1)[0].barred == ()
