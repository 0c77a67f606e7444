import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import most_bytes

from lussac.algorithms.fusion.candidates import backed
from lussac.algorithms.fusion.evidence import best_rival
from lussac.algorithms.fusion.pool import Member, Pool
from lussac.algorithms.fusion.residuals import parities
from lussac.algorithms.fusion.selection import choose
from lussac.algorithms.fusion.source import Source, cut
from lussac.algorithms.fusion.trains import AT_ONCE, Flat, Growing, by_label, coincidences, has_near, pair_counts

few = settings(max_examples=40, deadline=None)
train = st.lists(st.integers(0, 200), max_size=15).map(lambda values: np.array(sorted(set(values)), np.int64))


def frozen(*arrays):
    for array in arrays:
        array.flags.writeable = False
    return arrays


@few
@given(st.lists(train, min_size=1, max_size=4), st.integers(0, 10))
def test_pair_counts_are_those_of_brute_force(trains, window):
    counts = pair_counts(Flat.of(trains), window)
    for a, first in enumerate(trains):
        for b, second in enumerate(trains):
            expected = 0 if a == b else sum(bool(len(second) and np.abs(second - spike).min() <= window) for spike in first)
            assert counts[a, b] == expected


def brute_force(first, second, window):
    return sum(bool(len(second) and np.abs(second - spike).min() <= window) for spike in first)


@few
@given(st.lists(train, min_size=1, max_size=4), st.lists(train, min_size=1, max_size=4), st.integers(0, 10))
def test_coincidences_are_those_of_brute_force(trains, others, window):
    counts = coincidences(Flat.of(trains), Flat.of(others), window)
    expected = [[min(brute_force(a, b, window), brute_force(b, a, window)) for b in others] for a in trains]
    assert counts.tolist() == expected


def test_what_is_counted_does_not_depend_on_stretches(monkeypatch):
    rng = np.random.default_rng(0)
    trains, others = (Flat.of([np.sort(rng.choice(3000, 200, replace=False)) for _ in range(3)]) for _ in range(2))
    whole = pair_counts(trains, 5), coincidences(trains, others, 5)
    assert len(list(trains.stretches())) == 1 < AT_ONCE
    monkeypatch.setattr("lussac.algorithms.fusion.trains.AT_ONCE", 7)
    assert len(list(trains.stretches())) > 50
    assert np.array_equal(pair_counts(trains, 5), whole[0])
    assert np.array_equal(coincidences(trains, others, 5), whole[1])


@given(st.lists(train, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 200))
@few
def test_flat_trains_keep_units_and_time(trains, start, stop):
    flat = Flat.of(trains)
    assert len(flat) == len(trains)
    assert flat.counts.tolist() == [len(train) for train in trains]
    for unit, own in enumerate(trains):
        assert flat[unit].tolist() == own.tolist()
    spikes = flat.between(start, max(start, stop))
    assert (np.diff(spikes.samples) >= 0).all()
    assert flat.samples[spikes.index].tolist() == spikes.samples.tolist()
    expected = [(s, unit) for unit, own in enumerate(trains) for s in own.tolist() if start <= s < max(start, stop)]
    assert list(zip(spikes.samples.tolist(), spikes.units.tolist(), strict=True)) == sorted(expected)


@few
@given(train, train, st.integers(0, 10))
def test_spikes_near_others_are_those_of_brute_force(own, other, window):
    frozen(own, other)
    expected = [bool(len(other) and np.abs(other - spike).min() <= window) for spike in own]
    assert has_near(own, other, window).tolist() == expected


def pool_of(trains, gap):
    """Make a pool of one unit that a first train is of, and the others propose to."""
    flat = Flat.of(trains)
    return Pool.of(flat, [[Member(place, 0, shares=True) for place in range(1, len(trains))]], flat.only(np.arange(1)), gap)


@few
@given(st.lists(train, min_size=1, max_size=3), st.integers(0, 10))
def test_proposals_stand_for_runs(trains, gap):
    samples = np.sort(np.concatenate(trains))
    proposed = pool_of(trains, gap).between(-1, 1 << 40)
    assert set(proposed.samples.tolist()) <= set(samples.tolist())
    assert all(np.abs(proposed.samples - sample).min() <= gap for sample in samples)
    runs = []
    for sample in samples.tolist():
        if not runs or sample - runs[-1][0] > gap:
            runs.append([])
        runs[-1].append(sample)
    assert proposed.samples.tolist() == [run[len(run) // 2] for run in runs]
    others = np.concatenate([np.empty(0, np.int64), *trains[1:]])
    assert proposed.doubtful.tolist() == [not (np.abs(others - sample) <= gap).any() for sample in proposed.samples]


@few
@given(st.lists(st.lists(st.integers(12, 60), max_size=40), min_size=1, max_size=3), st.integers(0, 4), st.integers(1, 300))
def test_proposals_of_a_stretch_are_those_of_all(silences, gap, stretch):
    pool = pool_of([np.cumsum(own, dtype=np.int64) for own in silences], gap)
    parts = [pool.between(start, start + stretch) for start in range(0, 2400, stretch)]
    everything = pool.between(0, 2400 + stretch)
    for name in ("samples", "units", "doubtful"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(everything, name).tolist()


def test_proposals_are_members_shifted_and_own_spikes():
    candidates = Flat.of([np.array([10, 50]), np.array([12, 90])])
    own = Flat.of([np.array([200]), np.array([40])])
    pool = Pool.of(candidates, [[Member(0, 0, shares=True), Member(1, -2, shares=False)], []], own, 3)
    proposed = pool.between(0, 1000)
    assert proposed.samples.tolist() == [10, 40, 50, 88, 200]
    assert proposed.units.tolist() == [0, 1, 0, 0, 0]
    assert pool.between(40, 88).samples.tolist() == [40, 50]


def test_trains_that_are_moved_chosen_or_proposed_need_no_memory_for_their_spikes():
    flat = Flat.of([np.arange(first, 1 << 22, 64) for first in (0, 1, 32)])
    members = [[Member(0, 0, shares=True), Member(1, -1, shares=True)], [Member(2, 3, shares=True)]]
    size = flat.samples.nbytes
    Pool.of(flat, members, flat, 3).between(0, 1 << 12)  # compiled now
    assert Flat.of(flat) is flat
    assert most_bytes(lambda: flat.moved(np.array([1, 2, 3])).only(np.array([0, 0, 2]))) < size / 16
    assert most_bytes(lambda: Pool.of(flat, members, flat, 3).between(0, 1 << 12)) < size / 16
    assert most_bytes(lambda: list(Pool.of(flat, members, flat, 3).trains.stretches())) < size / 16


def test_a_growing_column_holds_its_values_once():
    piece, column = np.arange(1 << 12), Growing(np.int64)

    def grow():
        for _ in range(1 << 8):
            column.add(piece)
        assert column.values()[-1] == piece[-1]

    assert most_bytes(grow) < 1.5 * (piece.nbytes << 8)
    assert column.values().tolist() == piece.tolist() * (1 << 8)
    assert Growing(np.float32).values().dtype == np.float32


def test_what_only_a_lookalike_has_is_doubtful():
    candidates = Flat.of([np.array([10, 50]), np.array([12, 90]), np.array([10, 200])])
    members = [[Member(0, 0, shares=True), Member(1, -2, shares=True), Member(2, 0, shares=False)], [Member(2, 0, shares=False)]]
    own = Flat.of([np.array([300]), np.array([], np.int64)])
    proposed = Pool.of(candidates, members, own, 3).between(0, 1000)
    assert proposed.samples.tolist() == [10, 10, 50, 88, 200, 200, 300]
    assert proposed.units.tolist() == [0, 1, 0, 0, 0, 1, 0]
    assert proposed.doubtful.tolist() == [False, True, False, False, True, True, True]


@few
@given(st.lists(train, min_size=1, max_size=3), st.integers(0, 5), st.integers(0, 1000))
def test_best_rival_is_that_of_brute_force(trains, window, seed):
    rng = np.random.default_rng(seed)
    spikes = Flat.of(trains).between(0, 201)
    gains = rng.normal(size=len(spikes.samples)).astype(np.float32)
    cosines = rng.random((len(trains), len(trains))).astype(np.float32)
    np.fill_diagonal(cosines, 1)
    frozen(spikes.samples, spikes.units, gains, cosines)
    best = best_rival(spikes.samples, spikes.units, gains, cosines, 0.5, window)
    for spike in range(len(gains)):
        near = np.abs(spikes.samples - spikes.samples[spike]) <= window
        similar = cosines[spikes.units, spikes.units[spike]] >= 0.5
        assert best[spike] == max(gains[spike], gains[near & similar].max())


def value(chosen, gains, costs):
    return gains[chosen].sum() - costs[np.ix_(chosen, chosen)].sum() / 2


@few
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_choice_cannot_be_bettered_by_one_unit(size, seed):
    rng = np.random.default_rng(seed)
    gains = rng.normal(2, 3, size)
    costs = rng.exponential(2, (size, size)) * (rng.random((size, size)) < 0.5)
    costs = np.triu(costs, 1) + np.triu(costs, 1).T
    frozen(gains, costs)
    chosen = choose(gains, costs)
    best = value(chosen, gains, costs)
    for unit in range(size):
        other = chosen.copy()
        other[unit] = not other[unit]
        assert value(other, gains, costs) <= best + 1e-6
    subsets = (np.array([bool(mask >> unit & 1) for unit in range(size)]) for mask in range(1 << size))
    assert best >= 0.7 * max(value(subset, gains, costs) for subset in subsets) - 1e-9


def test_other_analyses_with_the_same_unit_back_it():
    counts = np.zeros((5, 5), np.int32)
    counts[0] = counts[:, 0] = [0, 97, 96, 50, 95]
    sizes = np.full(5, 100)
    assert backed(counts, sizes, np.array([0, 1, 2, 3, 0])).tolist() == [2, 1, 1, 0, 0]
    assert backed(counts, sizes, np.array([0, 1, 1, 3, 2])).tolist() == [2, 1, 1, 0, 1]
    assert backed(counts, sizes, np.arange(5)).tolist() == [2, 1, 1, 0, 1]


def test_choice_swaps_a_merged_unit_for_its_two_parts():
    gains = np.array([9.0, 6.0, 6.0])
    costs = np.array([[0.0, 8.0, 8.0], [8.0, 0.0, 0.0], [8.0, 0.0, 0.0]])
    assert choose(gains, costs).tolist() == [False, True, True]


@few
@given(st.lists(st.integers(1, 300), min_size=1, max_size=3), st.integers(1, 90), st.integers(1, 200), st.integers(1, 4))
def test_chunks_cover_the_segments_once(lengths, size, block, most):
    starts = np.cumsum([0, *[length + 1000 for length in lengths[:-1]]])
    segments = tuple((int(start), int(start) + length) for start, length in zip(starts, lengths, strict=True))
    source = Source(lambda start, stop: np.zeros((stop - start, 1), np.float32), segments, 1, 1000.0)
    chunks = cut(source, size, block, most)
    covered = [position for chunk in chunks for position in range(chunk.start, chunk.stop)]
    assert covered == [position for start, stop in segments for position in range(start, stop)]
    assert all(0 < chunk.stop - chunk.start <= size for chunk in chunks)
    blocks = [chunk.block for chunk in chunks]
    assert blocks == sorted(blocks)
    assert max(blocks) < most
    assert source.total == sum(lengths)
    assert source.samples(2.0) == 2


@few
@given(st.lists(st.integers(0, 3), max_size=20))
def test_parities_count_within_labels(labels):
    labels = np.array(labels, np.int64)
    assert parities(labels, 4).tolist() == [int((labels[:place] == label).sum()) % 2 for place, label in enumerate(labels)]
    assert [where.tolist() for where in by_label(labels, 4)] == [np.flatnonzero(labels == label).tolist() for label in range(4)]


def test_no_spikes_are_no_error():
    none = Flat.of([np.empty(0, np.int64)] * 2)
    assert pair_counts(none, 3).tolist() == [[0, 0], [0, 0]]
    assert coincidences(none, none, 3).tolist() == [[0, 0], [0, 0]]
    assert pool_of([np.empty(0, np.int64)], 3).between(0, 9).samples.tolist() == []
    with pytest.raises(IndexError):
        Flat.of([])[0]


def test_recorded_time_has_no_gaps():
    source = Source(lambda start, stop: np.zeros((stop - start, 1), np.float32), ((100, 300), (1_000, 1_050)), 1, 1000.0)
    assert source.recorded(np.array([90, 100, 299, 350, 1_000, 1_049, 1_200])).tolist() == [0, 0, 199, 199, 200, 249, 249]
