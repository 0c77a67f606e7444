import numpy as np
import pytest

from lussac.algorithms.agreement import Scoring, align, choose, common, compare, overall_agreement, shifted_jaccard, union
from lussac.algorithms.timeline import Train

SCORING = Scoring(window=6, censored=6, refractory=30, duration=3_000_000, balance=2.5, lone_weight=0.1)


def spaced(count: int, seed: int = 0) -> Train:
    rng = np.random.default_rng(seed)
    train = np.cumsum(rng.integers(500, 5_000, count))
    train.flags.writeable = False
    return train


@pytest.mark.parametrize("shift", [-30, -3, 0, 8, 30])
def test_a_group_is_aligned_along_its_edges(shift):
    train = spaced(50)
    trains = [train, train[:40] + shift, train[:30] + 2 * shift]
    shared = compare(trains, ["a", "b", "c"], 30, 6, 0.3)
    # the third is too far from the first to be compared with it
    weights = np.array([[0.0, 0.9, 0.0], [0.9, 0.0, 0.8], [0.0, 0.8, 0.0]])
    assert align((0, 1, 2), shared, weights) == {0: 0, 1: -shift, 2: -2 * shift}
    assert align((1,), shared, weights) == {1: 0}


def test_nothing_to_compare():
    assert compare([], [], 30, 6, 0.3).coincidences.shape == (0, 0)


def test_jitter_leaves_the_middle_of_all_good_shifts():
    train = spaced(400)
    jitter = np.random.default_rng(2).integers(-2, 3, len(train))
    shared = compare([train, train[:399] + jitter[:399] + 9], ["a", "b"], 30, 6, 0.3)
    assert abs(shared.shift(0, 1) - 9) <= 1


def test_the_complete_unit_beats_a_half():
    train = spaced(100)
    best = choose({0: ("a", train), 1: ("b", train[::2])}, SCORING)
    assert (best.units, best.min_votes) == ((0,), 0)
    assert best.score == pytest.approx(50 + 0.1 * 50)


def test_a_consensus_beats_units_that_all_miss_spikes():
    train = spaced(90)
    parts = [np.delete(train, slice(start, start + 20)) for start in (0, 30, 60)]
    best = choose(dict(enumerate(zip("abc", parts, strict=True))), SCORING)
    assert best.units == ()
    assert best.min_votes == 2
    assert best.train.tolist() == train.tolist()
    assert best.score == 90


def test_the_next_best_choice_is_the_runner_up():
    train = spaced(100)
    best = choose({0: ("a", train), 1: ("b", train[::2]), 2: ("c", train[:90])}, SCORING)
    assert best.runner_up is not None
    assert (best.units, best.runner_up.units, best.runner_up.min_votes) == ((0,), (), 2)
    assert best.score >= best.runner_up.score
    assert choose({0: ("a", train)}, SCORING).runner_up is None


def test_a_neuron_that_one_analysis_split_is_put_together():
    train = spaced(100)
    doublets = train[::2][:5] + 4
    units = {0: ("a", union([train[::2], doublets])), 1: ("a", train[1::2]), 2: ("b", train[:80])}
    best = choose(units, SCORING)
    assert best.units == (0, 1)
    assert best.train.tolist() == train.tolist()


def test_violations_lower_the_score_but_a_single_one_proves_nothing():
    train = spaced(200)
    one, many = (union([train, train[:count] + 15]) for count in (1, 40))
    assert SCORING.least_contamination(one) == 0.0
    assert 0.0 < SCORING.least_contamination(many) <= 1.0
    assert SCORING.score(many, [train]) < SCORING.score(one, [train])


def test_nothing_is_never_the_best():
    bad = [union([spaced(300, seed), spaced(300, seed) + 15]) for seed in range(3)]
    best = choose(dict(enumerate(zip("abc", bad, strict=True))), SCORING)
    assert best.score < 0
    assert len(best.train) > 0


def test_a_consensus_has_no_doublets():
    train = spaced(20)
    doubled = union([train, train + 5])
    assert SCORING.consensus([doubled, doubled, doubled], 2).tolist() == pytest.approx(train, abs=6)


def test_common_spikes_are_those_of_the_first_train():
    assert common(np.array([10, 50, 90]), np.array([12, 95]), 3).tolist() == [10]
    assert union([]).tolist() == []


def test_overall_agreement_pairs_units_and_counts_spikes():
    one = [np.array([100, 200, 300]), np.array([1000, 2000])]
    assert overall_agreement(one, [one[1], one[0]], 5) == 1.0
    assert overall_agreement(one, [np.array([100, 204, 390])], 5) == pytest.approx(2 / 6)
    assert overall_agreement(one, [], 5) == 0.0
    assert overall_agreement([], [], 5) == 1.0


def test_a_train_agrees_with_itself_whatever_sample_is_called_the_time_of_a_spike():
    train = spaced(100)
    assert shifted_jaccard(train + 15, train, 20, 3) == 1.0
    assert shifted_jaccard(train[:50] - 15, train, 20, 3) == 0.5
    assert shifted_jaccard(train[:0], train, 20, 3) == 0.0
