from dataclasses import replace

import numpy as np
import pytest

from lussac.algorithms.fusion.candidates import prepare
from lussac.algorithms.fusion.confidence import AGREES, confidence, gather, matches, overlaps
from lussac.algorithms.fusion.fuse import fuse, settle
from lussac.algorithms.fusion.joins import alike, changes_per_block, join, joined, nearest_blocks
from lussac.algorithms.fusion.matching import Found, Model, Sums
from lussac.algorithms.fusion.refinement import State, first_model, refine
from lussac.algorithms.fusion.splits import across, distance, separation, split
from lussac.algorithms.fusion.trains import Flat


def analyses_of(world, seed=0):
    """Three analyses of three neurons: misses, a merged unit that two of them agree on, a unit in halves, noise."""
    rng = np.random.default_rng(seed)
    a, b, c = (train[rng.random(len(train)) > 0.05] for train in world.trains)
    noise = np.sort(rng.choice(np.arange(100, 39_000), 20, replace=False))
    merged = np.unique(np.concatenate(world.trains[:2]))
    trains = [merged, c, merged + 1, world.trains[2], a, b, c[: len(c) // 2], c[len(c) // 2 :], noise]
    return trains, [0, 0, 1, 1, 2, 2, 2, 2, 2]


def agreement(a, b):
    common = sum(np.abs(b - spike).min() <= 3 for spike in a)
    return common / (len(a) + len(b) - common)


@pytest.fixture(scope="module")
def fused(world):
    trains, analyses = analyses_of(world)
    return fuse(world.source, trains, analyses, world.settings)


def test_three_analyses_become_the_three_neurons(world, fused):
    best = [max(agreement(own, train) for own in fused.trains) for train in world.trains]
    assert min(best) > 0.9
    assert len(fused.trains) == 3


def test_every_unit_has_evidence_members_and_a_confidence(world, fused):
    table = fused.evidence.table()
    assert all(len(values) == len(fused.trains) for values in table.values())
    assert ((fused.confidence >= 0) & (fused.confidence <= 1)).all()
    for train, members in zip(fused.trains, fused.members, strict=True):
        for member in members:
            assert agreement(train, analyses_of(world)[0][member] + fused.shifts[member]) >= AGREES


def test_the_result_is_the_same_each_time(world, fused):
    trains, analyses = analyses_of(world)
    again = fuse(world.source, trains, analyses, world.settings)
    assert all(np.array_equal(a, b) for a, b in zip(fused.trains, again.trains, strict=True))


def test_nothing_can_be_made_of_a_few_spikes(world):
    result = fuse(world.source, [np.array([500, 900])], [0], world.settings)
    assert result.trains == ()
    assert result.shifts.tolist() == [0]


def refined(world, trains, analyses, chosen=None):
    candidates = prepare(world.source, world.chunks, trains, analyses, world.settings)
    if chosen is not None:
        candidates = replace(candidates, chosen=np.isin(np.arange(len(trains)), chosen))
    model = first_model(candidates, 2)
    start = Flat.of([candidates.trains[int(unit)] for unit in np.flatnonzero(candidates.chosen)])
    return candidates, refine(world.source, world.chunks, candidates, model, start, world.settings)


def test_a_merged_unit_is_split_by_the_candidate_inside_it(world):
    merged = np.unique(np.concatenate(world.trains[:2]))
    candidates, state = refined(world, [merged, world.trains[0]], [0, 1], [0])
    parts = [[(0, 0), (1, 0)]]
    model, trains = split(world.source, world.chunks, state, candidates.trains, parts, 4, one=2.0, two=4.0, least=0.1)
    assert len(model) == len(trains) == 2
    assert max(agreement(trains[1], train) for train in world.trains[:2]) > 0.8
    assert sum(trains.counts) == len(state.found.samples)


def test_a_unit_of_one_neuron_is_not_split(world, make):
    trains = [train.copy() for train in world.trains]
    rng = np.random.default_rng(4)
    trains[2] = np.arange(100, 39_900, 400) + rng.integers(-90, 90, 100)
    world = make(world.waveforms, trains)
    half = trains[2][rng.random(100) < 0.5]
    candidates, state = refined(world, [trains[2], half], [0, 1], [0])
    for parts in ([[(0, 0), (1, 0)]], [[]]):
        model, _ = split(world.source, world.chunks, state, candidates.trains, parts, 4, one=2.0, two=4.0, least=0.1)
        assert len(model) == 1


def test_halves_of_a_neuron_are_joined(world):
    train = world.trains[2]
    early, late = train[train < 24_000], train[train >= 16_000]
    candidates, state = refined(world, [early, late], [0, 1], [0, 1])
    target = joined(state, 4, world.settings.one, 1)
    assert len(set(target.tolist())) == 1
    model, trains = join(state.model, state.trains(), target, state.sums.weights.sum(axis=2), 4)
    assert len(model) == 1
    assert len(trains[0]) == len(state.found.samples)
    assert len(settle(world.source, world.chunks, candidates, world.settings).model) == 1


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_merged_unit_ends_as_two(world, rounds):
    merged = np.unique(np.concatenate(world.trains[:2]))
    candidates, _ = refined(world, [merged, world.trains[0]], [0, 1], [0])
    state = settle(world.source, world.chunks, candidates, replace(world.settings, rounds=rounds))
    assert len(state.model) == 2


def test_a_neuron_that_drifts_is_joined_where_its_parts_meet():
    base = np.zeros((4, 2, 2, 20, 2), np.float32)
    base[..., 8:12, 0] = 20
    base[..., 2, 0] = np.sqrt(3) * np.arange(4)[:, None, None]
    weights = np.zeros((4, 2, 2), np.float32)
    weights[:2, 0] = weights[2:, 1] = 30
    model = Model(np.zeros((4, 2, 20, 2), np.float32), np.array([[0, 1], [0, 1]]), 8, *np.ones((3, 2), np.float32))
    units = np.repeat([0, 1], [121, 120])
    found = Found(np.arange(241), units, *np.ones((4, 241), np.float32))
    state = State(model, model, found, Sums(base * weights[..., None, None], weights), 1.0)
    assert joined(state, 2, 2.0, 0).tolist() == [0, 0]
    assert joined(state, 2, 0.1, 0).tolist() == [0, 0]
    stiff = replace(
        state,
        sums=Sums(np.where(np.arange(4)[:, None, None, None, None] < 2, base[:1], base[3:]) * weights[..., None, None], weights),
    )
    assert joined(stiff, 2, 2.0, 0).tolist() == [0, 1]


def test_different_neurons_stay_apart(world):
    _, state = refined(world, world.trains, [0, 0, 0], [0, 1, 2])
    assert joined(state, 4, world.settings.one, 1).tolist() == [0, 1, 2]


def test_separation_is_unbiased_and_blind_to_size_and_shift():
    rng = np.random.default_rng(0)
    template = np.exp(-(np.arange(-10, 10)[:, None] ** 2) / 8.0) * np.array([5.0, 3.0])
    noise = [separation(rng.normal(size=(2, 20, 2)), template) for _ in range(400)]
    assert np.mean(noise) == pytest.approx(0, abs=1)
    scaled = np.stack([0.3 * template] * 2)
    assert separation(scaled, template) == pytest.approx(0, abs=1e-6)
    moved = np.stack([np.gradient(template, axis=0)] * 2)
    assert separation(moved, template) == pytest.approx(0, abs=1e-6)
    other = np.zeros((2, 20, 2))
    other[:, 3, 1] = 4
    assert separation(other, template) == pytest.approx(16, rel=0.2)
    assert across(other, template).shape == other.shape


def test_distance_finds_two_groups_behind_wrong_labels():
    rng = np.random.default_rng(0)
    inside = np.arange(400) < 200
    values = np.where(inside, 6.0, 0.0) + rng.normal(size=400)
    labels = np.where(rng.random(400) < 0.2, ~inside, inside)
    assert distance(values.astype(np.float32), labels) == pytest.approx(6, abs=0.5)
    assert distance(rng.normal(size=400).astype(np.float32), labels) < 3
    tail = np.where(rng.random(400) < 0.3, rng.normal(4, 4, 400), rng.normal(size=400))
    assert distance(tail.astype(np.float32), tail > 2) < 4


def test_blocks_next_to_each_other_are_compared():
    a = np.array([[9, 9], [9, 9], [0, 0], [0, 0]], np.float32)
    b = np.array([[0, 0], [0, 0], [8, 8], [9, 9]], np.float32)
    assert nearest_blocks(a, b) == (1, 2)
    assert nearest_blocks(a[:, :], np.zeros_like(a)) is None
    means = np.zeros((2, 1, 2, 5, 1), np.float32)
    means[1] = 1
    assert changes_per_block(means, np.full((2, 1, 2), 9, np.float32)).tolist() == [5]
    assert changes_per_block(means[:1], np.full((1, 1, 2), 9, np.float32)).tolist() == [0]


def test_waveforms_are_alike_up_to_their_lag_but_not_in_another_size():
    wave = np.zeros((2, 20, 1), np.float32)
    wave[:, 8:12] = 10
    channels = np.array([0]), np.array([0])
    assert alike(wave, np.roll(wave, -1, axis=1), channels, 1, 1, 1.0)
    assert not alike(wave, 2 * wave, channels, 0, 1, 1.0)


def test_drifting_halves_keep_their_waveforms_when_joined(world):
    _, state = refined(world, [world.trains[2], world.trains[0]], [0, 1], [0, 1])
    counts = np.array([[50.0, 0.0], [0.0, 50.0]], np.float32)
    model, trains = join(state.model, state.trains(), np.array([0, 0]), counts, 4)
    lost = state.model.templates[1, 1][:, np.argsort(state.model.channels[1])]
    assert model.templates[1, 0][:, np.argsort(model.channels[0])] == pytest.approx(lost)
    assert len(trains[0]) == len(state.found.samples)


def test_overlaps_are_those_of_brute_force(world):
    candidates, state = refined(world, world.trains, [0, 1, 2], [0, 1, 2])
    trains = state.trains()
    found = overlaps(trains, candidates, 3)
    for unit in range(3):
        for other in range(3):
            assert found[unit, other] == pytest.approx(agreement(trains[unit], candidates.trains[other]), abs=0.02)
    assert matches(trains, candidates, 3) == [[0], [1], [2]]
    evidence = gather(state, candidates, 3, (4, 19), world.source.total)
    assert (evidence.agreement > 0.9).all()
    assert (evidence.second_agreement < 0.5).all()
    assert (evidence.snr > 5).all()
    assert ((confidence(evidence) > 0) & (confidence(evidence) < 1)).all()
