import numpy as np

from lussac.algorithms import spiketrains as st


def train(*positions):
    array = np.array(positions, np.int64)
    array.flags.writeable = False
    return array


EMPTY = train()


def test_kernels_are_compiled_once_whatever_the_array():
    writeable, strided, narrow = np.arange(6), np.arange(12)[::2], np.arange(6, dtype=np.int32)
    for a in (writeable, strided, narrow, train(1, 2), EMPTY):
        assert st.count_coincidences(a, a, 0) == len(a)
    assert len(getattr(st._count_coincidences, "signatures", [()])) == 1
    assert writeable.flags.writeable


def test_window_is_inclusive():
    assert st.count_coincidences(train(100), train(90, 110, 111), 10) == 2
    assert st.count_coincidences(train(100), train(89), 10) == 0


def test_no_pair_is_lost_when_the_window_spans_several_spikes():
    # a sweep with one shared pointer counts 4 here
    assert st.count_coincidences(train(10, 11, 12), train(10, 11, 12), 2) == 9


def test_matches_are_one_to_one():
    from_a, from_b = st.match_spikes(train(0, 10, 12), train(1, 11, 50), 2)
    assert (from_a.tolist(), from_b.tolist()) == ([0, 1], [0, 1])
    assert [len(found) for found in st.match_spikes(EMPTY, train(1), 5)] == [0, 0]


def test_best_shift_is_what_a_must_be_moved_by():
    a = np.sort(np.random.default_rng(0).integers(0, 100_000, 200))
    assert st.best_shift(a, a + 7, 10, 1) in {6, 7, 8}
    assert st.best_shift(a, a + 7, 10, 0) == 7
    assert st.best_shift(a + 7, a, 10, 0) == -7


def test_ties_go_to_the_smallest_shift_then_to_the_negative_one():
    assert st.best_shift(train(100), train(98, 102), 5, 0) == -2
    assert st.best_shift(train(100), train(97, 102), 5, 0) == 2
    assert st.best_shift(train(100), train(103), 5, 2) == 1
    assert st.best_shift(EMPTY, EMPTY, 5, 2) == 0
    assert st.best_shift(train(1000), train(0), 5, 2) == 0


def test_coincidence_matrix_has_the_numbers_of_spikes_on_its_diagonal():
    matrix = st.coincidence_matrix([train(0, 100, 200), train(1, 101), EMPTY, train(500)], 2)
    assert matrix.tolist() == [[3, 2, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert st.coincidence_matrix([], 2).shape == (0, 0)
    assert st.coincidence_matrix([EMPTY], 2).tolist() == [[0]]


def test_close_spikes_are_removed_from_the_left():
    # 10 falls to 5, so that 15 is no longer close to a kept spike
    assert st.remove_close_spikes(train(0, 5, 10, 15, 100), 5).tolist() == [0, 10, 100]
    assert st.remove_close_spikes(EMPTY, 5).tolist() == []


def test_consensus_takes_the_median_of_what_enough_trains_share():
    trains = [train(10, 50), train(12, 100), train(13, 52, 101)]
    assert st.consensus(trains, 4, 2).tolist() == [12, 50, 100]
    assert st.consensus(trains, 4, 3).tolist() == [12]
    assert st.consensus(trains, 4, 1).tolist() == [12, 50, 100]


def test_a_train_votes_once():
    assert st.consensus([train(10, 11, 12), train(100)], 4, 2).tolist() == []
    assert st.consensus([], 4, 1).tolist() == []


def test_a_lone_spike_does_not_break_the_group_after_it():
    assert st.consensus([train(9), train(14), train(16)], 4, 2).tolist() == [14]
