from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lussac.algorithms.agreement import (
    central_shift,
    compare,
    find_merges,
    group_neurons,
    jaccard,
    link,
    near_pairs,
    redundant,
    similarity_matrix,
)
from lussac.algorithms.spiketrains import coincidence_matrix
from lussac.algorithms.timeline import Train

DURATION = 1000


def read_only(values) -> np.ndarray:
    array = np.asarray(values)
    array.flags.writeable = False
    return array


def train_of(positions: list[int]) -> Train:
    return read_only(np.array(sorted(positions), np.int64))


trains = st.lists(st.integers(0, 200), max_size=10, unique=True).map(train_of)
filled = trains.filter(len)


@st.composite
def graphs(draw, most: int = 7):
    """Edges, weights and pairs that are different neurons, of a few units."""
    units = draw(st.integers(0, most))
    pairs = list(combinations(range(units), 2))
    edges, different = np.zeros((2, units, units), np.bool_)
    weights = np.zeros((units, units))
    for a, b in pairs:
        edges[a, b] = edges[b, a] = draw(st.booleans())
        different[a, b] = different[b, a] = draw(st.booleans())
        weights[a, b] = weights[b, a] = draw(st.sampled_from([0.2, 0.5, 0.9]))
    return read_only(edges), read_only(weights), read_only(different)


def matches(a: Train, b: Train, window: int) -> int:
    free, count = b.tolist(), 0
    for spike in a.tolist():
        near = next((other for other in free if abs(other - spike) <= window), None)
        if near is not None:
            free.remove(near)
            count += 1
    return count


@given(st.lists(filled, min_size=1, max_size=5), st.integers(0, 5))
def test_similarity_is_the_share_beyond_chance(units, window):
    found = similarity_matrix(coincidence_matrix(units, window), window, DURATION)
    for (i, a), (j, b) in combinations(enumerate(units), 2):
        chance = len(a) * len(b) * (2 * window + 1) / DURATION
        smaller = min(len(a), len(b))
        expected = (matches(a, b, window) - chance) / (smaller - chance) if smaller > chance else 0.0
        assert found[i, j] == found[j, i]
        assert np.isclose(found[i, j], expected)
    assert not np.diagonal(found).any()


@given(st.lists(st.sampled_from("ab"), max_size=5), st.randoms())
def test_links_join_different_analyses_only(analyses, random):
    similarity = read_only([random.choice([0.1, 0.3, 0.8]) for _ in analyses for _ in analyses])
    edges = link(similarity.reshape(len(analyses), len(analyses)), analyses, 0.3)
    for i, a in enumerate(analyses):
        for j, b in enumerate(analyses):
            assert edges[i, j] == (a != b and similarity[i * len(analyses) + j] >= 0.3)


@given(graphs())
def test_near_pairs_are_at_distance_one_or_two(graph):
    edges, _, _ = graph
    units = range(len(edges))
    expected = [
        (a, b) for a, b in combinations(units, 2) if edges[a, b] or any(edges[a, other] and edges[other, b] for other in units)
    ]
    assert [tuple(pair) for pair in near_pairs(edges).tolist()] == expected


@given(graphs())
def test_groups_keep_different_neurons_apart(graph):
    edges, weights, different = graph
    groups = group_neurons(np.where(edges, weights, 0.0), different)
    assert sorted(unit for group in groups for unit in group) == list(range(len(edges)))
    for group in groups:
        assert not any(different[a, b] for a, b in combinations(group, 2))
        reached = {group[0]}
        for _ in group:
            reached |= {b for a in reached for b in group if edges[a, b]}
        assert reached == set(group)
    for first, second in combinations(groups, 2):
        between = [(a, b) for a in first for b in second]
        assert not any(edges[a, b] for a, b in between) or any(different[a, b] for a, b in between)


@given(graphs(most=6), st.permutations(range(6)))
def test_groups_dont_depend_on_the_order_of_the_units(graph, order):
    edges, weights, different = graph
    weights = weights + np.triu(np.arange(1, weights.size + 1).reshape(weights.shape), 1) * 1e-6  # no ties
    weights = np.maximum(weights, weights.T)
    order = [unit for unit in order if unit < len(edges)]
    weights = np.where(edges, weights, 0.0)
    mixed = group_neurons(*(matrix[np.ix_(order, order)] for matrix in (weights, different)))
    assert sorted(tuple(sorted(order[unit] for unit in group)) for group in mixed) == list(group_neurons(weights, different))


@given(st.lists(filled, min_size=1, max_size=5), st.randoms())
def test_merges_hold_two_parts_that_differ(units, random):
    edges, different = np.zeros((2, len(units), len(units)), np.bool_)
    for a, b in combinations(range(len(units)), 2):
        edges[a, b] = edges[b, a] = random.random() < 0.7
        different[a, b] = different[b, a] = random.random() < 0.7
    shared = coincidence_matrix(units, 2)
    similarity = similarity_matrix(shared, 2, DURATION)
    limits = {"min_contained": 0.5, "min_share": 0.2, "min_similarity": 0.3}
    merges = find_merges(*(read_only(matrix) for matrix in (shared, edges, similarity, different)), **limits)

    def is_part(part: int, unit: int) -> bool:
        enough = shared[unit, part] >= 0.5 * len(units[part]) and shared[unit, part] >= 0.2 * len(units[unit])
        return bool(edges[unit, part] and enough)

    for unit in range(len(units)):
        pairs = [
            (a, b)
            for a, b in combinations(range(len(units)), 2)
            if is_part(a, unit) and is_part(b, unit) and different[a, b] and similarity[a, b] < 0.3
        ]
        assert (unit in merges) == bool(pairs)
        if pairs:
            assert merges[unit] in pairs
            assert min(shared[unit, list(merges[unit])]) == max(min(shared[unit, a], shared[unit, b]) for a, b in pairs)


@given(trains, trains, st.integers(0, 5))
def test_jaccard(a, b, window):
    shared = matches(a, b, window)
    either = len(a) + len(b) - shared
    assert jaccard(a, b, window) == (shared / either if either else 0.0)


@given(filled, st.integers(-20, 20), st.integers(0, 4))
def test_the_shift_of_a_moved_train_is_found(train, shift, window):
    spaced = read_only(train * 100)
    assert central_shift(spaced, read_only(spaced + shift), 20, window) == shift


@given(st.lists(filled, max_size=5), st.integers(0, 5))
def test_of_redundant_trains_the_better_stays(units, window):
    ranks = list(range(len(units), 0, -1))
    similarity = similarity_matrix(coincidence_matrix(units, window), window, DURATION)
    dropped = redundant(read_only(similarity), ranks, 0.5)
    kept = [unit for unit in range(len(units)) if unit not in dropped]
    assert all(similarity[a, b] < 0.5 for a, b in combinations(kept, 2))
    for unit, winner in dropped.items():
        assert winner in kept
        assert ranks[winner] > ranks[unit]
        assert similarity[unit, winner] == max(similarity[unit, other] for other in kept if other < unit) >= 0.5


@given(st.lists(st.tuples(st.sampled_from("abc"), filled), max_size=5), st.integers(0, 8), st.integers(0, 4))
def test_pairs_are_compared_at_a_good_shift(units, max_shift, window):
    names, spikes = [name for name, _ in units], [train for _, train in units]
    shared = compare(spikes, names, max_shift, window, 0.3)
    for a, b in combinations(range(len(units)), 2):
        shift = shared.shift(a, b)
        assert shift == -shared.shift(b, a)
        assert shared.coincidences[a, b] == shared.coincidences[b, a] == matches(spikes[a] + shift, spikes[b], window)
        assert abs(shift) <= max_shift
        if names[a] == names[b]:
            assert shift == 0
