import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms.unit_merges import Score, bad_splits, merge_groups

DURATION = 30_000 * 300
SCORE = Score(censored=6, refractory=30, duration=DURATION, balance=2.5)


def frozen(positions):
    train = np.sort(np.asarray(positions, np.int64))
    train.flags.writeable = False
    return train


def neuron(seed, rate=20.0):
    times = np.cumsum(90 + np.random.default_rng(seed).exponential(30_000 / rate - 90, int(400 * rate)))
    return frozen(times[times < DURATION])


def parts(train, *shares, seed=0):
    """Return a train dealt out at random."""
    dealt = np.random.default_rng(seed).choice(len(shares), len(train), p=shares)
    return [frozen(train[dealt == part]) for part in range(len(shares))]


def test_score_counts_spikes_less_contamination():
    clean = neuron(0)
    assert SCORE.of(clean) == len(clean)
    dirty = frozen(np.concatenate([clean, np.random.default_rng(1).integers(0, DURATION, len(clean) // 4)]))
    assert SCORE.of(dirty) == pytest.approx(len(dirty) * (1 - 3.5 * 0.2), rel=0.25)
    assert SCORE.of(frozen([7])) == 1.0
    assert SCORE.of(frozen([])) == 0.0


def test_spikes_that_both_parts_hold_count_once():
    assert SCORE.joined(frozen([0, 100]), frozen([3, 200])).tolist() == [0, 100, 200]


def test_parts_of_a_neuron_are_no_bad_splits_and_are_merged():
    train = neuron(2)
    trains = parts(train, 0.3, 0.5, 0.2)
    pairs = [(0, 1), (1, 2)]
    assert bad_splits(trains, pairs, SCORE) == {}
    [group] = merge_groups(trains, pairs, SCORE)
    assert (group.unit, group.merged, group.left_over) == (1, (0, 2), ())
    assert group.train.tolist() == train.tolist()
    assert group.score == len(train)


def test_a_contaminated_part_is_a_bad_split():
    good, bad = parts(neuron(3), 0.8, 0.2)
    bad = frozen(np.concatenate([bad, neuron(4)]))
    [split] = bad_splits([bad, good], [(0, 1)], SCORE).values()
    assert (split.unit, split.better) == (0, 1)
    assert split.merged_score < split.better_score
    assert split.score < split.better_score


def test_of_equal_units_the_later_one_goes():
    train = neuron(5)
    shifted = frozen(train + 15)
    [split] = bad_splits([train, shifted], [(0, 1)], SCORE).values()
    assert split.unit == 1


def test_a_unit_that_improves_nothing_is_left_over():
    first, second = parts(neuron(6), 0.5, 0.5)
    copy = frozen(first + 1)
    [group] = merge_groups([first, copy, second], [(0, 1), (0, 2)], SCORE)
    assert {group.unit, *group.merged} == {0, 2}
    assert group.left_over == (1,)


def test_groups_are_apart():
    a, b = neuron(7), neuron(8)
    trains = [*parts(a, 0.5, 0.5), *parts(b, 0.5, 0.5), neuron(9)]
    groups = merge_groups(trains, [(2, 3), (0, 1)], SCORE)
    assert [sorted((group.unit, *group.merged)) for group in groups] == [[0, 1], [2, 3]]
    assert merge_groups(trains, [], SCORE) == []


small_trains = st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=20).map(frozen), min_size=2, max_size=5)


@given(small_trains, st.data())
@settings(max_examples=60)
def test_every_unit_of_a_group_is_told_of_and_the_result_is_its_best_reach(trains, data):
    every = [(i, j) for j in range(len(trains)) for i in range(j)]
    pairs = data.draw(st.lists(st.sampled_from(every), unique=True))
    score = Score(censored=2, refractory=30, duration=3000, balance=2.5)
    groups = merge_groups(trains, pairs, score)
    told = sorted(unit for group in groups for unit in (group.unit, *group.merged, *group.left_over))
    assert told == sorted({unit for pair in pairs for unit in pair})
    for group in groups:
        members = (group.unit, *group.merged, *group.left_over)
        assert group.score == score.of(group.train) >= max(score.of(trains[unit]) for unit in members)
        spikes = set(np.concatenate([trains[unit] for unit in (group.unit, *group.merged)]).tolist())
        assert set(group.train.tolist()) <= spikes
