from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussac.algorithms.fusion import splits
from lussac.algorithms.fusion.agreed import AGREES
from lussac.algorithms.fusion.candidates import prepare
from lussac.algorithms.fusion.confidence import COEFFICIENTS, Evidence, confidence, features, gather
from lussac.algorithms.fusion.fuse import fuse
from lussac.algorithms.fusion.joins import Contrast, chance, contrasts_of, difference, grouped, join, joined, pace
from lussac.algorithms.fusion.learning import at_least
from lussac.algorithms.fusion.matching import Found
from lussac.algorithms.fusion.meetings import active, gaps_to, rings
from lussac.algorithms.fusion.pool import Member
from lussac.algorithms.fusion.refinement import first_model, question, refine
from lussac.algorithms.fusion.settling import resolving, settle
from lussac.algorithms.fusion.sizes import distance
from lussac.algorithms.fusion.splits import across, more_beside, separation, share_of_another, split
from lussac.algorithms.fusion.support import Support, supports
from lussac.algorithms.fusion.trains import Flat, coincidences
from lussac.algorithms.fusion.turns import together_at_most
from lussac.algorithms.fusion.unclaimed import look

from .conftest import AFTER, BEFORE, source_of, waveforms

LIMITS = {"one": 2.0, "two": 4.0, "size": 6.0, "least": 0.1, "most_hidden": 0.5, "most_beside": 0.5, "reach": 6}
ALONE = np.zeros((2, 2), np.int64)


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


def left_of(world, state):
    return look(world.source, world.chunks, state.found, state.used, state.noise)


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
    asked = question(world.source, candidates, model, start, world.settings)
    return candidates, refine(world.source, world.chunks, asked, world.settings)


def test_a_merged_unit_is_split_by_the_candidate_inside_it(world):
    merged = np.unique(np.concatenate(world.trains[:2]))
    candidates, state = refined(world, [merged, world.trains[0]], [0, 1], [0])
    parts = [[Member(0, 0, shares=True), Member(1, 0, shares=True)]]
    model, trains = split(world.source, world.chunks, state, candidates.trains, parts, 4, **LIMITS)
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
    for parts in ([[Member(0, 0, shares=True), Member(1, 0, shares=True)]], [[]]):
        model, _ = split(world.source, world.chunks, state, candidates.trains, parts, 4, **LIMITS)
        assert len(model) == 1


@pytest.mark.parametrize("in_bursts", [False, True])
def test_a_unit_of_two_sizes_is_split_but_not_a_burst(make, world, in_bursts):
    shape, large = world.waveforms[0], world.trains[0]
    small = large + 40 if in_bursts else world.trains[1]
    both = make(np.stack([shape, 0.5 * shape]), [large.copy(), small.copy()])
    candidates, state = refined(both, [np.unique(np.concatenate([large, small])), large], [0, 1], [0])
    parts = [[Member(0, 0, shares=True), Member(1, 0, shares=True)]]
    model, trains = split(both.source, both.chunks, state, candidates.trains, parts, 4, **LIMITS)
    if in_bursts:
        assert len(model) == 1
        return
    assert len(model) == 2
    assert sorted(trains.counts.tolist()) == pytest.approx(sorted([len(large), len(small)]), abs=3)
    norms = np.sort(np.linalg.norm(model.templates.mean(axis=0).reshape(2, -1), axis=1))
    assert norms[0] / norms[1] == pytest.approx(0.5, abs=0.03)


def test_spikes_beside_which_another_unit_fires_unseen_are_not_split_off(world, make):
    rng = np.random.default_rng(4)
    first = np.arange(100, 39_900, 200) + rng.integers(-30, 30, 199)
    beside = first[rng.random(199) < 0.4]
    alone = np.setdiff1d(np.arange(200, 39_900, 400), first)
    world = make(world.waveforms, [first, np.sort(np.concatenate([beside + 3, alone]))])
    _, state = refined(world, [first, alone], [0, 1], [0, 1])
    sizes, parts, inside = state.counts.tolist(), [[Member(0, 0, shares=True)], []], Flat.of([beside])
    split_off, _ = split(world.source, world.chunks, state, inside, parts, 4, **{**LIMITS, "most_hidden": 1.0})
    kept, trains = split(world.source, world.chunks, state, inside, parts, 4, **LIMITS)
    assert len(split_off) == 3
    assert len(kept) == 2
    assert trains.counts.tolist() == sizes


def test_overlaps_that_a_sorter_took_for_a_unit_are_not_split_off():
    own = np.arange(100, 2100, 100)
    other = own[:8] + 5
    trains = Flat.of([own, other, np.array([3000])])
    inside = np.isin(np.arange(20), np.arange(10))
    assert more_beside(trains, splits.Test(0, inside), 6) == pytest.approx(0.8)
    assert more_beside(trains, splits.Test(0, ~inside), 6) == 0
    assert more_beside(trains, splits.Test(0, inside), 4) == 0
    assert more_beside(Flat.of([own]), splits.Test(0, inside), 6) == 0


def test_a_split_that_overlaps_explain_is_none(world):
    merged = np.unique(np.concatenate(world.trains[:2]))
    beside = world.trains[0] + 4
    candidates, state = refined(world, [merged, world.trains[0], beside], [0, 1, 1], [0])
    twice = state.used.of(np.array([0, 0]))
    both = replace(state, found=with_train(state.found, beside), used=twice, model=twice)
    parts = [[Member(1, 0, shares=True)], []]
    assert len(split(world.source, world.chunks, both, candidates.trains, parts, 4, **LIMITS)[0]) == 2
    assert len(split(world.source, world.chunks, both, candidates.trains, parts, 4, **LIMITS | {"most_beside": 1.0})[0]) == 3


def with_train(found, train):
    """Add spikes of unit 1 that explain nothing."""
    samples = np.concatenate([found.samples, train])
    order = np.argsort(samples, kind="stable")
    units = np.concatenate([found.units, np.ones(len(train), np.int64)])
    rest = (np.concatenate([values, np.zeros(len(train), np.float32)])[order] for values in (found.amplitudes, found.fitted,
            found.tilts))  # fmt: skip
    return Found(samples[order], units[order], *rest)


def test_analyses_that_have_a_unit_for_each_are_counted(world):
    a, b, c = world.trains
    merged = np.unique(np.concatenate([a, b]))
    candidates = prepare(world.source, world.chunks, [a, b, merged, c, a, b], [0, 0, 1, 1, 2, 2], world.settings)
    trains = Flat.of([candidates.trains[0], candidates.trains[1], candidates.trains[3]])
    assert len(a) > len(b), "the merged unit agrees with the larger one by half"
    assert resolving(trains, candidates, 4).tolist() == [[0, 2, 1], [2, 0, 0], [1, 0, 0]]


def test_what_another_unit_explains_of_a_difference(world):
    templates = world.waveforms
    channels = np.tile(np.arange(4), (3, 1))
    moved = np.zeros_like(templates[2])
    moved[3:] = 0.7 * templates[2][:-3]
    noise = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    shares = [share_of_another(difference, 0, templates, channels, 5) for difference in (moved, -moved, noise)]
    assert shares[:2] == pytest.approx([1, 1], abs=1e-3)
    assert shares[2] < 0.3
    assert share_of_another(3 * moved, 0, templates, channels, 5) < 0.9
    assert share_of_another(templates[2] - templates[1], 0, templates, channels, 5) < 0.9
    elsewhere = np.concatenate([channels[:1], channels[1:] + 10])
    assert share_of_another(moved, 0, templates, elsewhere, 5) == 0


def test_halves_of_a_neuron_are_joined(world):
    train = world.trains[2]
    early, late = train[train < 24_000], train[train >= 16_000]
    candidates, state = refined(world, [early, late], [0, 1], [0, 1])
    target = joined(world.source, world.chunks, state, ALONE, world.settings, 1)
    assert len(set(target.tolist())) == 1
    model, trains = join(state.model, state.trains(), target, state.weights.sum(axis=2), 4)
    assert len(model) == 1
    assert len(trains[0]) == len(state.found.samples)
    assert len(settle(world.source, world.chunks, candidates, world.settings).model) == 1


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_merged_unit_ends_as_two(world, rounds):
    merged = np.unique(np.concatenate(world.trains[:2]))
    candidates, _ = refined(world, [merged, world.trains[0]], [0, 1], [0])
    state = settle(world.source, world.chunks, candidates, replace(world.settings, rounds=rounds))
    assert len(state.model) == 2


def drifting(make, steps):
    """A neuron whose waveform moves from one channel to another, `steps` times, in two units that take turns."""
    train = np.arange(150, 39_800, 100) + np.random.default_rng(2).integers(-20, 20, len(range(150, 39_800, 100)))
    place = np.round(np.linspace(0, 1, len(train)) * steps) / steps
    shape = waveforms()[0][:, :1]
    still = make(waveforms(), [])
    traces = still.traces.copy()
    for sample, share in zip(train, place, strict=True):
        traces[sample - BEFORE : sample + AFTER] += shape * np.array([1 - share, share, 0.5, 0.0])
    return replace(still, source=source_of(traces)), [train[: len(train) // 2], train[len(train) // 2 :]]


def test_a_neuron_that_drifts_is_joined_where_its_parts_meet(make):
    smooth, parts = drifting(make, 400)
    _, state = refined(smooth, parts, [0, 1], [0, 1])
    (contrast,) = contrasts_of(smooth.source, smooth.chunks, state, ALONE, smooth.settings, 0)
    assert contrast.overall > 2 * max(contrast.local, 1)
    assert len(set(joined(smooth.source, smooth.chunks, state, ALONE, smooth.settings, 0).tolist())) == 1


def test_a_neuron_that_takes_over_and_looks_different_is_another_one(make):
    sudden, parts = drifting(make, 1)
    _, state = refined(sudden, parts, [0, 1], [0, 1])
    assert joined(sudden.source, sudden.chunks, state, ALONE, sudden.settings, 0).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "one", "two"),
    [
        ({}, False, True),
        ({"overall": 1.0}, True, False),
        ({"overall": 1.0, "sizes": (0.5, 0.5)}, False, False),
        ({"local": 1.0}, True, False),
        ({"local": 1.2, "overall": 1.2}, True, False),
        ({"local": 1.2, "overall": 1.2, "resolved": 2}, False, False),
        ({"overall": 0.9, "resolved": 2}, True, False),
        ({"local": 3.0}, False, False),
        ({"local": 3.0, "together": 0.1}, True, False),
        ({"local": 3.0, "together": 0.1, "sizes": (0.0, 0.5)}, False, False),
        ({"local": 1.2, "together": 0.1, "sizes": (0.0, 0.5)}, True, False),
        ({"local": 1.2, "together": 0.1, "sizes": (0.0, 0.7)}, False, False),
        ({"local": 1.2, "sizes": (0.0, 0.5)}, False, False),
        ({"norm": 40.0}, False, True),
        ({"norm": 40.0, "together": 0.1}, True, False),
        ({"change": 9.0}, False, True),
        ({"change": 9.0, "together": 0.1}, True, False),
        ({"together": 0.1}, False, False),
    ],
)
def test_units_are_one_or_two_or_nobody_knows(world, values, one, two):
    usual = {
        "unit": 0,
        "other": 1,
        "overall": 9.0,
        "local": 9.0,
        "sizes": (0.0, 0.0),
        "change": 0.0,
        "norm": 4.0,
        "together": 1.0,
        "resolved": 0,
    }
    contrast = Contrast(**(usual | values))
    assert contrast.one(world.settings) is one
    assert contrast.two(world.settings) is two


def test_parts_are_linked_one_after_the_other_but_never_two_that_are_apart():
    counts = np.array([5, 9, 7, 3])
    assert grouped([(0, 1), (1, 2), (0, 2)], set(), counts).tolist() == [1, 1, 1, 3]
    assert grouped([(0, 1), (1, 2)], {(2, 0)}, counts).tolist() == [1, 1, 2, 3]
    assert grouped([], set(), counts).tolist() == [0, 1, 2, 3]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12),
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))),
)
def test_groups_never_hold_two_units_that_are_apart(links, apart):
    target = grouped(links, apart, np.array([3, 1, 4, 1, 5, 9]))
    assert (target[target] == target).all()
    assert not any(target[a] == target[b] for a, b in apart if a != b)
    unconstrained = grouped(links, set(), np.array([3, 1, 4, 1, 5, 9]))
    assert all(unconstrained[a] == unconstrained[b] for a, b in links)


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


def test_chance_is_how_far_noise_lays_two_means_of_one_neuron_apart():
    rng = np.random.default_rng(0)
    weights, others = np.array([8.0, 10.0]), np.array([40.0, 50.0])
    template = np.exp(-(np.arange(-10, 10)[:, None] ** 2) / 8.0) * np.array([50.0, 30.0])
    scale = np.sqrt(1 / weights + 1 / others)[:, None, None]
    squared = [separation(scale * rng.normal(size=(2, 20, 2)), template) for _ in range(2000)]
    assert chance(weights, others, 40) == pytest.approx(np.std(squared), rel=0.1)


def test_distance_finds_two_groups_behind_wrong_labels():
    rng = np.random.default_rng(0)
    inside = np.arange(400) < 200
    values = np.where(inside, 6.0, 0.0) + rng.normal(size=400)
    labels = np.where(rng.random(400) < 0.2, ~inside, inside)
    assert distance(values.astype(np.float32), labels) == pytest.approx(6, abs=0.5)
    assert distance(rng.normal(size=400).astype(np.float32), labels) < 3
    tail = np.where(rng.random(400) < 0.3, rng.normal(4, 4, 400), rng.normal(size=400))
    assert distance(tail.astype(np.float32), tail > 2) < 4


def test_waveforms_are_compared_at_their_lag_and_in_size():
    wave = np.zeros((2, 20, 1), np.float32)
    wave[:, 8:12] = 10
    channels = np.array([0]), np.array([0])
    assert difference(wave, np.roll(wave, -1, axis=1), channels, 1)[:2] == (0, 0)
    assert difference(wave, 2 * wave, channels, 0) == (0, pytest.approx(-np.log(2)), wave[0].size)


def test_spikes_nearest_in_time_are_compared_with_those_that_come_next():
    train, other = np.array([0, 50, 98, 300, 1000]), np.array([100, 330])
    gaps = gaps_to(train, other)
    assert gaps.tolist() == [100, 50, 2, 30, 670]
    assert [ring.tolist() for ring in rings(gaps, 2, 10)] == [[1, 3], [0, 4]]
    assert [ring.tolist() for ring in rings(gaps, 9, 0)] == [[1, 2, 3], [0, 4]]
    assert [len(ring) for ring in rings(gaps[:1], 9, 10)] == [1, 0]


def test_stray_spikes_of_a_unit_are_not_where_it_is_active():
    train = np.concatenate([np.arange(100, 900, 10), [1500, 2500, 3999]])
    assert active(train, 1000).tolist() == [True] * 80 + [False] * 3
    assert active(train[:0], 1000).tolist() == []
    assert active(np.array([5, 2000]), 1000).all()


def test_units_take_turns_only_where_chance_would_have_them_meet():
    train = np.arange(0, 100_000, 100)
    turn = train // 10_000 % 2 == 0
    assert together_at_most(train[turn], train[~turn], 5_000, 100_000) < 0.01
    assert together_at_most(train[::2], train[1::2], 5_000, 100_000) == pytest.approx(1, abs=0.1)
    assert together_at_most(train[turn][::50], train[~turn][::50], 5_000, 100_000) > 1
    assert together_at_most(train[:0], train, 5_000, 100_000) == 1


def test_change_that_chance_explains_is_none():
    rng = np.random.default_rng(1)
    nothing = rng.normal(size=(30, 200))
    assert np.median(at_least(nothing, np.ones_like(nothing))) == 0
    assert at_least(np.full((4, 1), 3.0), np.ones((4, 1))).tolist() == [3]


def test_the_pace_of_a_unit_is_how_far_it_goes_in_time():
    wave = np.zeros((2, 2, 20, 1), np.float32)
    wave[..., 8:12, 0] = 10
    wave[1, :, 2] = 6
    assert pace(wave, np.array([0]), np.array([10.0, 40.0])) == pytest.approx(0.2, rel=0.05)
    assert pace(wave, np.array([0]), np.array([10.0, 10.0])) == pytest.approx(6, rel=0.05)


def test_drifting_halves_keep_their_waveforms_when_joined(world):
    _, state = refined(world, [world.trains[2], world.trains[0]], [0, 1], [0, 1])
    counts = np.array([[50.0, 0.0], [0.0, 50.0]], np.float32)
    model, trains = join(state.model, state.trains(), np.array([0, 0]), counts, 4)
    lost = state.model.templates[1, 1][:, np.argsort(state.model.channels[1])]
    assert model.templates[1, 0][:, np.argsort(model.channels[0])] == pytest.approx(lost)
    assert len(trains[0]) == len(state.found.samples)


def test_spikes_in_common_are_those_of_brute_force(world):
    candidates, state = refined(world, world.trains, [0, 1, 2], [0, 1, 2])
    trains = state.trains()
    found = coincidences(trains, candidates.trains, 3)
    for unit in range(3):
        for other in range(3):
            union = trains.counts[unit] + candidates.trains.counts[other] - found[unit, other]
            assert found[unit, other] / union == pytest.approx(agreement(trains[unit], candidates.trains[other]), abs=0.02)
    supported = supports(trains, candidates, found, 0.5, 5_000, world.source.total)
    assert [row[0].parts for row in supported] == [(0,), (1,), (2,)]
    evidence = gather(world.source, world.chunks, state, trains, supported, left_of(world, state), world.settings)
    assert (evidence.agreement > 0.9).all()
    assert (evidence.second_agreement < 0.5).all()
    assert (evidence.snr > 5).all()
    assert ((confidence(evidence) > 0) & (confidence(evidence) < 1)).all()
    assert (evidence.lost == 0).all()
    assert (evidence.rest > 0.1).all()


SURE = {
    "agreement": 0.97, "second_agreement": 0.9, "snr": 8.0, "detectability": 12.0, "spread": 1.0, "excess": 1.0,
    "unclaimed": 0.0, "rest": 1.0, "lost": 0.0, "contamination": 0.0, "foreign": 0.0,
}  # fmt: skip


def sure(**numbers):
    return float(confidence(Evidence(**{name: np.array([value]) for name, value in (SURE | numbers).items()}))[0])


@pytest.mark.parametrize(
    "worse",
    [
        {"agreement": 0.6}, {"second_agreement": 0.1}, {"spread": 2.5}, {"excess": 1.5}, {"excess": 0.1},
        {"unclaimed": 0.8}, {"rest": 0.005}, {"lost": 0.4}, {"foreign": 0.3},
    ],
)  # fmt: skip
def test_what_speaks_against_a_unit_lowers_its_confidence(worse):
    assert sure() > 0.9
    assert sure(**worse) < sure()


def test_every_feature_has_a_coefficient():
    evidence = Evidence(**{name: np.array([value]) for name, value in SURE.items()})
    assert list(features(evidence)) == list(COEFFICIENTS)


def test_parts_of_a_neuron_that_take_turns_support_it_together_but_two_neurons_do_not(world):
    whole, foreign = world.trains[:2]
    early, late = whole[whole < 18_000], whole[whole >= 18_000]
    merged = np.sort(np.concatenate([whole, foreign]))
    candidates, _ = refined(world, [early, late, whole, foreign, whole], [0, 0, 1, 1, 2], [2])
    trains = Flat.of([whole, merged])
    common = coincidences(trains, candidates.trains, 3)
    supported = supports(trains, candidates, common, 0.5, 2_000, world.source.total)
    assert {one.parts for one in supported[0]} == {(1, 0), (2,), (4,)}
    assert all(one.agreement == pytest.approx(1, abs=0.02) for one in supported[0])
    assert all(one.agreement < 0.7 for one in supported[1])
    state = replace_trains(world, whole)
    alone = gather(
        world.source, world.chunks, state, state.trains(), [[Support((0,), 0.7)]], left_of(world, state), world.settings
    )
    assert alone.second_agreement.tolist() == [0]


def replace_trains(world, train):
    return refined(world, [train], [0], [0])[1]


def test_a_state_keeps_some_units_with_their_spikes(world):
    _, state = refined(world, world.trains, [0, 0, 0])
    kept = state.keep(np.array([0, 2]))
    assert len(kept.model) == len(kept.used) == len(kept.halves) == kept.weights.shape[1] == 2
    assert [kept.trains()[unit].tolist() for unit in (0, 1)] == [state.trains()[unit].tolist() for unit in (0, 2)]
    assert [owned.tolist() for owned in kept.owned()] == [np.flatnonzero(kept.found.units == unit).tolist() for unit in (0, 1)]
    assert state.keep(np.arange(len(state.model))) is state
