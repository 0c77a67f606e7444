import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms.fusion.overlaps import covered_by, meets, uncovered
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.waveforms import measure

few = settings(max_examples=40, deadline=None)
train = st.lists(st.integers(0, 200), max_size=15).map(lambda values: np.array(sorted(set(values)), np.int64))


@few
@given(st.lists(train, min_size=1, max_size=4), st.integers(1, 20), st.integers(0, 99))
def test_covered_spikes_are_those_of_brute_force(trains, reach, seed):
    flat = Flat.of(trains)
    covers = np.random.default_rng(seed).random((len(trains), len(trains))) < 0.5
    covers &= ~np.eye(len(trains), dtype=bool)
    expected = [
        any(covers[unit, other] and (np.abs(own - sample) < reach).any() for other, own in enumerate(trains))
        for unit, train in enumerate(trains)
        for sample in train
    ]
    assert covered_by(flat, covers, reach).tolist() == expected


def test_a_unit_covers_what_its_strongest_channel_reaches():
    assert meets(np.array([[0, 1], [1, 2], [3, 2]])).tolist() == [[True, True, False], [False, True, False], [False, False, True]]


def measured(world, trains):
    return measure(
        world.source, world.chunks, Flat.of(trains), [np.arange(len(train)) for train in trains], before=7, after=13, max_shift=4,
        channels=4, limit=1000,
    )[0]  # fmt: skip


def test_spikes_under_a_louder_neuron_say_nothing_about_their_own(world, make):
    quiet = np.arange(200, 39_000, 400)
    loud = np.concatenate([quiet[::4] + 3, np.arange(350, 39_000, 800)])
    world = make(world.waveforms * np.array([6.0, 1.0, 1.0], np.float32)[:, None, None], [np.sort(loud), quiet])
    trains = [np.sort(loud), quiet, quiet[::2]]
    usable = list(uncovered(Flat.of(trains), measured(world, trains), 2))
    assert usable[0].tolist() == list(range(len(loud)))
    assert usable[1].tolist() == [spike for spike in range(len(quiet)) if spike % 4]
    assert usable[2].tolist() == [spike for spike in range(len(quiet[::2])) if spike % 2]


def test_a_unit_that_is_nearly_always_covered_keeps_all_spikes(world, make):
    quiet = np.arange(200, 39_000, 400)
    loud = np.sort(np.concatenate([quiet[:80] + 3, np.arange(350, 39_000, 200)]))
    world = make(world.waveforms * np.array([6.0, 1.0, 1.0], np.float32)[:, None, None], [loud, quiet])
    usable = list(uncovered(Flat.of([loud, quiet]), measured(world, [loud, quiet]), 2))
    assert len(usable[1]) == len(quiet)
