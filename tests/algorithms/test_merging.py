from collections.abc import Sequence

import numpy as np
import pytest

from lussac.algorithms.agreement import Scoring, union
from lussac.algorithms.contrast import Limits, SpikeStatistics
from lussac.algorithms.merging import Candidates, Merging, Settings, merge
from lussac.algorithms.timeline import Train

SECONDS = 30_000
DURATION = 60 * SECONDS
SETTINGS = Settings(
    max_shift=40,
    min_similarity=0.3,
    min_contained=0.8,
    min_agreement=0.5,
    min_analyses=2,
    num_channels=5,
    merge_foreign=0.1,
    edge_foreign=0.06,
    limits=Limits(
        template_difference=0.1,
        template_distance=5.0,
        correlogram_difference=0.12,
        p_value=0.001,
        simultaneity=0.5,
        foreign_share=0.5,
    ),
    spikes=SpikeStatistics(
        censored=6, refractory=30, duration=DURATION, block=5 * SECONDS, reach=600, bin_size=6, std_bins=3.0, truncate=5.0
    ),
    scoring=Scoring(window=6, censored=6, refractory=30, duration=DURATION, balance=2.5, lone_weight=0.1),
)
Unit = tuple[str, Train, Sequence[int]]
"""Analysis, spikes and the neurons that they come from."""


def neuron(seed: int, count: int = 120) -> Train:
    """Return a train that is never near the spikes of another seed below 8."""
    rng = np.random.default_rng(seed)
    slots = np.sort(rng.choice(DURATION // 8000, count, replace=False))
    return slots * 8000 + seed * 1000


def waveform(index: int) -> np.ndarray:
    times = np.arange(60)[:, np.newaxis]
    decay = np.exp(-np.abs(np.arange(12) - index))
    return -20 * np.exp(-0.5 * ((times - 20) / (4 + index % 3)) ** 2) * decay


def candidates(units: Sequence[Unit]) -> Candidates:
    templates = np.array([np.mean([waveform(source) for source in sources], axis=0) for _, _, sources in units], np.float32)
    trains = [train for _, train, _ in units]
    for array in (templates, *trains):
        array.flags.writeable = False
    return Candidates(
        trains, [name for name, _, _ in units], templates.reshape(-1, 60, 12), np.array([len(train) for train in trains])
    )


def merged(*units: Unit, settings: Settings = SETTINGS) -> Merging:
    return merge(candidates(units), settings)


def changed(**values: object) -> Settings:
    fields = {name: getattr(SETTINGS, name) for name in SETTINGS.__slots__}
    return Settings(**(fields | values))


def test_no_units():
    result = merged()
    assert (result.neurons, result.merges, result.lone, result.redundant, result.evidence) == ((), {}, (), (), {})


def test_two_analyses_that_agree():
    result = merged(("a", neuron(0), [0]), ("b", neuron(0)[1:] + 3, [0]), ("a", neuron(1), [1]), ("b", neuron(1), [1]))
    assert [found.members for found in result.neurons] == [(0, 1), (2, 3)]
    assert [found.analyses for found in result.neurons] == [("a", "b"), ("a", "b")]
    assert result.neurons[0].choice.units == (0,)
    assert result.neurons[0].agreements == {"b": 119 / 120}
    assert result.neurons[1].mean_agreement == 1.0


def test_what_one_analysis_found_alone_is_dropped_unless_that_is_enough():
    units = [("a", neuron(0), [0]), ("b", neuron(1), [1])]
    result = merged(*units)
    assert result.neurons == ()
    assert [found.members for found in result.lone] == [(0,), (1,)]
    result = merged(*units, settings=changed(min_analyses=1))
    assert [found.choice.units for found in result.neurons] == [(0,), (1,)]
    assert result.neurons[0].mean_agreement == 0.0


@pytest.mark.parametrize("majority", [["b"], ["b", "c", "d"]])
def test_the_analysis_that_keeps_two_neurons_apart_is_right_even_alone(majority):
    both = union([neuron(0), neuron(3)])
    merges = [(name, both, [0, 3]) for name in majority]
    result = merged(("a", neuron(0), [0]), ("a", neuron(3), [3]), *merges)
    assert result.merges == dict.fromkeys(range(2, 2 + len(majority)), (0, 1))
    assert [found.choice.units for found in result.neurons] == [(0,), (1,)]
    assert result.neurons[0].analyses == ("a", *majority)
    assert result.neurons[0].mean_agreement == 1.0


def test_a_merge_that_its_parts_explain_badly_confirms_none():
    both = union([neuron(0), neuron(3), neuron(5, 200)])
    result = merged(("a", neuron(0), [0]), ("a", neuron(3), [3]), ("b", both, [0, 3, 5]))
    assert set(result.merges) == {2}
    assert result.neurons == ()


def test_merges_of_one_analysis_confirm_with_the_best():
    trains = [neuron(index) for index in (0, 3, 6)]
    pairs = [("b", union(trains[:2]), [0, 3]), ("b", union([trains[0], trains[2][:60]]), [0, 6])]
    result = merged(*(("a", train, [index]) for train, index in zip(trains, (0, 3, 6), strict=True)), *pairs)
    assert result.neurons[0].agreements == {"b": 1.0}


def test_halves_of_one_neuron_are_no_neurons():
    train = neuron(0)
    result = merged(("a", train, [0]), ("b", train[::2], [0]), ("b", train[1::2], [0]))
    assert not result.merges
    assert [found.members for found in result.neurons] == [(0, 1, 2)]
    assert len(result.neurons[0].choice.train) == len(train)


def test_similar_trains_of_different_waveforms_stay_apart():
    train = neuron(0)
    fewer, fewest = (np.delete(train, slice(None, None, step)) for step in (10, 4))
    result = merged(("a", train, [0]), ("b", fewer, [0]), ("c", train, [5]), ("d", fewest, [5]))
    assert [found.members for found in [*result.neurons, *(found for found, _ in result.redundant)]] == [(0, 1), (2, 3)]
    assert [winner for _, winner in result.redundant] == [0]


@pytest.mark.parametrize(("together", "neurons"), [(0.2, 2), (0.4, 2), (0.8, 1)])
def test_neighbours_may_fire_together_but_not_mostly(together, neurons):
    one, other = neuron(0), neuron(1)
    shared = round(together * len(one))
    order = np.random.default_rng(0).permutation(len(one))
    both = union([one[np.sort(order[:shared])], other[np.sort(order[shared:])]])
    result = merged(*((name, one, [0]) for name in "ab"), *((name, both, [5]) for name in "ab"))
    assert len(result.neurons) == neurons


def test_units_of_one_analysis_that_share_spikes_are_one():
    one = neuron(0)
    units = [("a", one, [0]), ("a", union([one[::5], one[1::5], neuron(1)[::2]]), [0])]
    result = merged(*units, settings=changed(min_analyses=1))
    assert [found.members for found in result.neurons] == [(0,)]


def test_the_parts_of_a_neuron_that_drifts_are_one():
    train = neuron(0)
    early, late = train[train < DURATION // 2], train[train >= DURATION // 2]
    result = merged(("a", train, [0, 5]), ("b", early, [0]), ("b", late, [5]), ("c", train[::2], [0, 5]))
    assert not result.merges
    assert [found.members for found in result.neurons] == [(0, 1, 2, 3)]


def test_a_consensus_has_the_times_of_its_representative():
    train = neuron(0, 90)
    parts = [np.delete(train, slice(start, start + 20)) + shift for start, shift in ((0, 0), (30, 12), (60, -12))]
    result = merged(*((name, part, [0]) for name, part in zip("abc", parts, strict=True)))
    (found,) = result.neurons
    assert found.choice.units == ()
    assert found.representative == 0
    assert found.train.tolist() == train.tolist()
    assert found.mean_agreement == pytest.approx(70 / 90)


def test_refractory_coincidences_part_units_with_equal_waveforms():
    rng = np.random.default_rng(0)
    shared = neuron(0, 150)
    others = [np.sort(rng.choice(DURATION, 6000, replace=False)) for _ in range(2)]
    units = [("a", union([shared, others[0]]), [0]), ("b", union([shared, others[1]]), [0])]
    assert len(merged(*units, settings=changed(min_similarity=0.0)).neurons) == 0
    (pair,) = merged(*units, settings=changed(min_similarity=0.0)).evidence.values()
    assert pair.correlogram_difference > 0.12


def test_one_spike_each():
    single = np.array([5000])
    (found,) = merged(("a", single, [0]), ("b", single + 1, [0])).neurons
    assert found.choice.train.tolist() == [5000]


def test_the_order_of_the_units_has_no_influence():
    both = union([neuron(0), neuron(3)])
    units = [("a", neuron(0), [0]), ("a", neuron(3), [3]), ("b", both, [0, 3]), ("c", neuron(0)[5:], [0]), ("c", neuron(6), [6])]
    straight, turned = merged(*units), merged(*units[::-1])
    trains = [sorted(found.choice.train.tolist() for found in result.neurons) for result in (straight, turned)]
    assert trains[0] == trains[1]
    assert {len(units) - 1 - unit for unit in turned.merges} == set(straight.merges)
