"""Every kernel against a brute force that is plainly right."""

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms import spiketrains
from lussac.algorithms.timeline import Train


def read_only(positions: list[int]) -> Train:
    array = np.array(sorted(positions), np.int64)
    array.flags.writeable = False
    return array


trains = st.lists(st.integers(0, 60), max_size=12).map(read_only)
windows = st.integers(0, 8)


def lags(a, b):
    return [int(y - x) for x in a for y in b]


def most_matches(a, b, window):
    graph = nx.Graph()
    graph.add_edges_from((("a", i), ("b", j)) for i, x in enumerate(a) for j, y in enumerate(b) if abs(x - y) <= window)
    return len(nx.max_weight_matching(graph, maxcardinality=True))


@given(trains, trains, windows)
def test_count_coincidences(a, b, window):
    assert spiketrains.count_coincidences(a, b, window) == sum(abs(lag) <= window for lag in lags(a, b))


@given(trains, trains, windows)
@settings(max_examples=60)
def test_matches_are_valid_and_as_many_as_can_be(a, b, window):
    from_a, from_b = spiketrains.match_spikes(a, b, window)
    assert len(from_a) == len(from_b) == most_matches(a, b, window)
    assert (np.diff(from_a) > 0).all()
    assert (np.diff(from_b) > 0).all()
    assert (abs(a[from_a] - b[from_b]) <= window).all()


@given(trains, trains, windows, windows)
def test_cross_shift_counts(a, b, max_shift, window):
    expected = [sum(abs(shift - lag) <= window for lag in lags(a, b)) for shift in range(-max_shift, max_shift + 1)]
    assert spiketrains.cross_shift_counts(a, b, max_shift, window).tolist() == expected


@given(trains, trains, windows, windows)
def test_best_shift(a, b, max_shift, window):
    def merit(shift):
        return sum(abs(shift - lag) <= window for lag in lags(a, b)), -abs(shift), -shift

    assert spiketrains.best_shift(a, b, max_shift, window) == max(range(-max_shift, max_shift + 1), key=merit)


@given(st.lists(trains, max_size=5), windows)
def test_coincidence_matrix_is_all_pairs_matched(many, window):
    matrix = spiketrains.coincidence_matrix(many, window)
    for i, a in enumerate(many):
        for j, b in enumerate(many):
            assert matrix[i, j] == (len(a) if i == j else len(spiketrains.match_spikes(a, b, window)[0]))


@given(trains, trains, st.integers(0, 20))
def test_lag_counts(a, b, reach):
    expected = [lags(a, b).count(lag) for lag in range(-reach, reach + 1)]
    assert spiketrains.lag_counts(a, b, reach).tolist() == expected


@given(trains, windows)
def test_remove_close_spikes(train, window):
    kept = []
    for position in train.tolist():
        if not kept or position - kept[-1] > window:
            kept.append(position)
    assert spiketrains.remove_close_spikes(train, window).tolist() == kept


@given(st.lists(trains, min_size=1, max_size=4), windows, st.integers(1, 4))
def test_consensus(many, window, min_votes):
    spikes = sorted((position, owner) for owner, train in enumerate(many) for position in train.tolist())
    expected = []
    while spikes:
        group = [spike for spike in spikes if spike[0] - spikes[0][0] <= window]
        enough = len({owner for _, owner in group}) >= min_votes
        if enough:
            expected.append(group[(len(group) - 1) // 2][0])
        spikes = spikes[len(group) if enough else 1 :]
    found = spiketrains.consensus(many, window, min_votes)
    assert found.tolist() == expected
    assert (np.diff(found) > 0).all()


@given(st.lists(trains, min_size=2, max_size=4, unique_by=tuple), windows, st.randoms(use_true_random=False))
def test_consensus_does_not_depend_on_the_order_of_the_trains(many, window, random):
    shuffled = random.sample(many, len(many))
    assert spiketrains.consensus(many, window, 2).tolist() == spiketrains.consensus(shuffled, window, 2).tolist()
