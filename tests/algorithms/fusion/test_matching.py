from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from lussac.algorithms.fusion.fitting import Proposals, Rules, gain_of, library_of
from lussac.algorithms.fusion.learning import (
    amplitude_limits,
    best_width,
    halves_of,
    nearness,
    noise_gain,
    overall,
    relearn,
    spreads,
)
from lussac.algorithms.fusion.matching import Found, Model, Sums, match
from lussac.algorithms.fusion.pool import Pool
from lussac.algorithms.fusion.pursuit import disentangle, drop_strangers, explain, reconsider, stir, take_greedily, uncover
from lussac.algorithms.fusion.residuals import leftovers, listed, mean_residuals, projections, remove, residuals
from lussac.algorithms.fusion.source import cut
from lussac.algorithms.fusion.trains import Flat

few = settings(max_examples=40, deadline=None)
RULES = Rules(10.0, 1, 4, 2)


def model_of(waveforms, blocks=1, stiffness=400.0, low=0.5, high=1.5):
    size, _, channels = waveforms.shape
    full = [np.full(size, value, np.float32) for value in (stiffness, low, high)]
    return Model(np.repeat(waveforms[None], blocks, axis=0), np.tile(np.arange(channels), (size, 1)), 7, *full)


@few
@given(st.floats(0.3, 2.0), st.floats(1, 1000), st.floats(0.5, 500))
def test_gain_is_the_largest_log_likelihood(measured, energy, stiffness):
    amplitude, gain = gain_of(measured * energy, energy, stiffness, 0.2, 3.0)

    def loss(a):
        return energy * (measured - a) ** 2 + stiffness * (a - 1) ** 2

    best = minimize_scalar(loss, bounds=(0.2, 3.0), method="bounded")
    assert amplitude == pytest.approx(best.x, abs=1e-2)
    assert gain == pytest.approx(energy * measured**2 - best.fun, rel=1e-3, abs=1e-2)
    assert gain_of(0.1 * energy, energy, stiffness, 0.2, 3.0)[1] == -np.inf


@pytest.mark.parametrize("length", [18, 19, 20, 21])
def test_waveforms_of_any_length_are_found_where_they_are(length):
    shape = np.random.default_rng(length).standard_normal((1, length, 3)).astype(np.float32)
    traces = np.zeros((80, 3), np.float32)
    traces[30 : 30 + length] = 5 * shape[0]
    tried = Proposals.at(np.array([30]), np.array([0]))
    take_greedily(traces, tried, model_of(5 * shape).library(0), RULES)
    assert tried.amplitudes == pytest.approx([1], abs=0.01)
    energy = (shape**2).sum() * 25
    assert tried.gains[0] == pytest.approx(energy, rel=1e-3)


def test_overlapping_spikes_are_told_apart(world):
    traces = np.zeros((100, 4), np.float32)
    traces[20:40] += world.waveforms[0]
    traces[24:44] += world.waveforms[2]
    library = model_of(world.waveforms).library(0)
    tried = Proposals.at(np.array([20, 21, 24, 60]), np.array([0, 1, 2, 0]))
    explain(traces, tried, library, RULES)
    assert (tried.amplitudes > 0.9).tolist() == [True, False, True, False]
    assert np.abs(traces).max() < 0.2


@pytest.mark.parametrize("likelier", [0, 1])
def test_of_two_units_that_fit_alike_the_likelier_one_gets_the_spike(world, likelier):
    traces = np.zeros((60, 4), np.float32)
    traces[20:40] = world.waveforms[0]
    priors = np.full(2, -5, np.float32)
    priors[likelier] = 5
    tried = Proposals.at(np.array([20, 20]), np.array([0, 1]), priors)
    explain(traces, tried, model_of(world.waveforms[[0, 0]]).library(0), RULES)
    assert np.flatnonzero(tried.amplitudes).tolist() == [likelier]


def test_what_is_unlikely_beforehand_needs_more_evidence(world):
    energy = float((world.waveforms[0] ** 2).sum())
    for prior, taken in ((1 - energy, False), (-energy / 2, True)):
        traces = np.zeros((60, 4), np.float32)
        traces[20:40] = world.waveforms[0]
        tried = Proposals.at(np.array([20]), np.array([0]), np.array([prior], np.float32))
        explain(traces, tried, model_of(world.waveforms).library(0), RULES)
        assert (tried.amplitudes > 0).tolist() == [taken]


def test_a_shift_of_part_of_a_sample_leaves_little(world):
    steps = np.arange(20)
    shifted = np.stack([np.interp(steps - 0.4, steps, world.waveforms[2][:, c]) for c in range(4)], axis=1)
    traces = np.zeros((60, 4), np.float32)
    traces[20:40] = shifted
    tried = Proposals.at(np.array([20]), np.array([2]))
    explain(traces, tried, model_of(world.waveforms).library(0), RULES)
    assert tried.tilts[0] < -0.2
    assert (traces**2).sum() < 0.1 * (shifted**2).sum()


def test_a_unit_does_not_fire_twice_at_once(world):
    traces = np.zeros((100, 4), np.float32)
    traces[20:40] += 1.4 * world.waveforms[0]
    tried = Proposals.at(np.array([19, 20, 22]), np.array([0, 0, 0]))
    explain(traces, tried, model_of(world.waveforms, low=0.3).library(0), RULES)
    assert (tried.amplitudes > 0).sum() == 1


def test_a_spike_passes_to_the_unit_that_explains_it_once_its_neighbour_is_known(world):
    traces = np.zeros((120, 4), np.float32)
    traces[40:60] += world.waveforms[1]
    traces[41:61] += world.waveforms[2]
    tried = Proposals.at(np.array([40, 40, 41]), np.array([0, 1, 2]))
    explain(traces, tried, model_of(world.waveforms).library(0), RULES)
    assert (tried.amplitudes > 0).tolist() == [False, True, True]


def test_a_spike_is_dropped_where_nothing_explains_the_place(world):
    traces = np.zeros((60, 4), np.float32)
    traces[20:40] -= world.waveforms[0]
    tried = Proposals.at(np.array([20]), np.array([0]))
    tried.amplitudes[0] = 1.0
    reconsider(traces, tried, model_of(world.waveforms).library(0), RULES)
    assert tried.amplitudes.tolist() == [0]
    assert np.abs(traces).max() == pytest.approx(0, abs=1e-5)


def hidden(world, small=1, loud=4.0, lag=1):
    """A small spike under a loud one that looks much like it, and the library of both."""
    both = np.stack([loud * world.waveforms[0], world.waveforms[small]])
    traces = np.zeros((100, 4), np.float32)
    traces[40:60] += both[0]
    traces[40 + lag : 60 + lag] += both[1]
    return traces, model_of(both, low=0.8).library(0)


def test_a_spike_hidden_by_a_louder_one_is_uncovered(world):
    traces, library = hidden(world)
    tried = Proposals.at(np.array([40, 41]), np.array([0, 1]))
    take_greedily(traces, tried, library, RULES)
    assert (tried.amplitudes > 0).tolist() == [True, False]
    uncover(traces, tried, library, RULES)
    assert tried.amplitudes == pytest.approx([1, 1], abs=0.1)


def test_nothing_is_uncovered_that_is_not_there(world):
    both = np.stack([4 * world.waveforms[0], world.waveforms[1]])
    traces = np.zeros((100, 4), np.float32)
    traces[40:60] += 1.1 * both[0]
    left = traces.copy()
    tried = Proposals.at(np.array([40, 41, 70]), np.array([0, 1, 1]))
    library = model_of(both, low=0.8).library(0)
    explain(traces, tried, library, RULES)
    assert (tried.amplitudes > 0).tolist() == [True, False, False]
    remove(left, tried.starts[:1] + tried.shifts[:1], tried.units[:1], tried.amplitudes[:1], tried.tilts[:1], library)
    assert traces == pytest.approx(left, abs=1e-3)


def test_a_loud_spike_must_leave_more_than_its_template_may_be_wrong_by(world):
    traces, _ = hidden(world, loud=60.0)
    both = np.stack([60 * world.waveforms[0], world.waveforms[1]])
    library = model_of(both, low=0.05).library(0)
    tried = Proposals.at(np.array([40]), np.array([0]))
    take_greedily(traces, tried, library, RULES)
    tried = Proposals(*(np.append(values, 0).astype(values.dtype) for values in tried))
    tried.starts[1], tried.units[1] = 41, 1
    before = [values.copy() for values in (traces, tried.amplitudes, tried.tilts, tried.shifts[:1], tried.gains[:1])]
    traces[41:61] += both[1]
    uncover(traces, tried, library, RULES)
    traces[41:61] -= both[1]
    for old, new in zip(before, (traces, tried.amplitudes, tried.tilts, tried.shifts[:1], tried.gains[:1]), strict=True):
        assert new == pytest.approx(old, abs=1e-2)


def test_the_loudest_of_several_spikes_makes_room(world):
    both = np.stack([4 * world.waveforms[0], world.waveforms[1], 1.5 * world.waveforms[2]])
    traces = np.zeros((120, 4), np.float32)
    for start, unit in ((40, 0), (41, 1), (47, 2)):
        traces[start : start + 20] += both[unit]
    tried = Proposals.at(np.array([40, 41, 47]), np.array([0, 1, 2]))
    explain(traces, tried, model_of(both, low=0.7).library(0), RULES)
    assert tried.amplitudes == pytest.approx([1, 1, 1], abs=0.15)


def test_two_neurons_take_the_place_of_their_sum(world):
    """The sum explains its own place best of all single units; the two neurons explain it better where their lag differs."""
    parts = 3 * world.waveforms[[0, 2]]
    total = parts[0].copy()
    total[2:] += parts[1][:-2]
    library = model_of(np.stack([*parts, total])).library(0)
    traces = np.zeros((120, 4), np.float32)
    traces[40:60] += parts[0]
    traces[46:66] += parts[1]
    tried = Proposals.at(np.array([40, 40, 46]), np.array([2, 0, 1]))
    take = Proposals.at(np.array([40]), np.array([2]))
    explain(traces.copy(), take, library, RULES)
    assert take.amplitudes[0] > 0
    tried.amplitudes[0] = take.amplitudes[0]
    remove(traces, tried.starts[:1], tried.units[:1], tried.amplitudes[:1], tried.tilts[:1], library)
    reconsider(traces, tried, library, RULES)
    assert (tried.amplitudes > 0.9).tolist() == [False, True, True]
    assert np.abs(traces).max() < 0.5


def test_a_spike_that_leaves_more_than_it_explains_is_a_stranger(world):
    library = model_of(3 * world.waveforms).library(0)
    stranger = 3 * (world.waveforms[0] + 4 * world.waveforms[2])
    traces = np.zeros((160, 4), np.float32)
    traces[20:40] += 3 * world.waveforms[0]
    traces[100:120] += stranger
    tried = Proposals.at(np.array([20, 100]), np.array([0, 0]))
    take_greedily(traces, tried, library, RULES)
    assert (tried.amplitudes > 0).all()
    drop_strangers(traces, tried, library)
    assert (tried.amplitudes > 0).tolist() == [True, False]
    assert traces[100:120] == pytest.approx(stranger, abs=1e-3)


def test_a_spike_that_leaves_less_than_it_explains_stays(world):
    library = model_of(3 * world.waveforms).library(0)
    traces = np.zeros((80, 4), np.float32)
    traces[20:40] += 3 * (world.waveforms[0] + 0.9 * world.waveforms[2])
    tried = Proposals.at(np.array([20]), np.array([0]))
    take_greedily(traces, tried, library, RULES)
    before = traces.copy()
    drop_strangers(traces, tried, library)
    assert tried.amplitudes[0] > 0
    assert traces == pytest.approx(before, abs=1e-3)


def tangled(world, templates, others=()):
    """Two neurons at once, and a third that looks like their sum: traces, proposals, library."""
    library = model_of(templates, stiffness=400.0, low=0.3, high=2.0).library(0)
    traces = np.zeros((120, 4), np.float32)
    traces[40:60] += templates[0]
    traces[41:61] += templates[1]
    starts, units = np.array([40, 40, 41, *(start for start, _ in others)]), np.array([2, 0, 1, *(unit for _, unit in others)])
    order = np.lexsort((units, starts))
    tried = Proposals.at(starts[order], units[order])
    return traces, tried, library


def test_two_neurons_that_fire_at_once_are_found_whichever_unit_looks_like_both(world):
    first, second = 3 * world.waveforms[0], 3 * world.waveforms[1]
    templates = np.stack([first, second, 0.7 * (first + second)])
    traces, tried, library = tangled(world, templates)
    sums = np.flatnonzero(tried.units == 2)
    tried.amplitudes[sums] = 1.4
    remove(traces, tried.starts[sums], tried.units[sums], tried.amplitudes[sums], tried.tilts[sums], library)
    disentangle(traces, tried, library, RULES)
    assert (tried.amplitudes > 0).tolist() == [unit != 2 for unit in tried.units.tolist()]
    assert tried.amplitudes[tried.units != 2] == pytest.approx([1, 1], abs=0.1)


def test_as_many_neurons_as_there_is_room_for_are_found_at_once():
    shapes = 2 * np.random.default_rng(1).standard_normal((4, 20, 4)).astype(np.float32)
    templates = np.stack([*shapes[:2], 0.7 * shapes[:2].sum(axis=0), *shapes[2:]])
    library = model_of(templates, low=0.3, high=2.0).library(0)
    traces = np.zeros((100, 4), np.float32)
    traces[40:60] = shapes[2:].sum(axis=0)
    tried = Proposals.at(np.full(5, 40), np.arange(5))
    tried.amplitudes[2] = 1.4
    traces[40:60] += shapes[:2].sum(axis=0) - 1.4 * templates[2]
    disentangle(traces, tried, library, RULES)
    assert tried.amplitudes == pytest.approx([1, 1, 0, 1, 1], abs=0.1)


@pytest.mark.parametrize("crowd", [0, 5])
def test_what_explains_a_place_best_stays(world, crowd):
    """A large spike that nothing else explains, or a crowd that is too large to be found anew: what is left of it is nothing."""
    templates = 3 * world.waveforms
    traces, tried, library = tangled(world, templates, [(40 + place, 2) for place in range(1, crowd + 1)])
    traces[:] = 0
    tried.amplitudes[tried.units == 2] = 1.6
    expected = tried.amplitudes.copy()
    disentangle(traces, tried, library, RULES)
    assert tried.amplitudes.tolist() == expected.tolist()
    assert np.abs(traces).max() < 1e-3


def test_a_neuron_stays_where_two_others_explain_it_less(world):
    library = model_of(np.stack([*(3 * world.waveforms), 3 * world.waveforms[0] + 0.3 * world.waveforms[2]])).library(0)
    traces = np.zeros((100, 4), np.float32)
    traces[40:60] += 3 * world.waveforms[0] + 0.3 * world.waveforms[2]
    tried = Proposals.at(np.array([40, 40, 40, 40]), np.array([3, 0, 1, 2]))
    explain(traces, tried, library, RULES)
    assert (tried.amplitudes > 0).tolist() == [True, False, False, False]


@few
@given(st.lists(st.tuples(st.integers(20, 160), st.integers(0, 2)), max_size=12), st.integers(0, 99))
def test_the_residual_is_the_traces_less_the_spikes_taken(world, places, seed):
    rng = np.random.default_rng(seed)
    traces = rng.standard_normal((220, 4)).astype(np.float32)
    for start, unit in places[::2]:
        traces[start : start + 20] += world.waveforms[unit] * rng.uniform(0.6, 1.3)
    expected = traces.copy()
    places = sorted(set(places))
    tried = Proposals.at(np.array([start for start, _ in places], np.int64), np.array([unit for _, unit in places], np.int64))
    library = model_of(world.waveforms, stiffness=300.0).library(0)
    explain(traces, tried, library, RULES)
    remove(expected, tried.starts + tried.shifts, tried.units, tried.amplitudes, tried.tilts, library)
    assert traces == pytest.approx(expected, abs=1e-2)


@few
@given(st.integers(0, 99))
def test_how_traces_lie_in_memory_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    templates = 2 * rng.standard_normal((3, 20, 7)).astype(np.float32)
    traces = rng.standard_normal((200, 7)).astype(np.float32)
    starts, units = np.sort(rng.integers(5, 170, 12)), rng.integers(0, 3, 12)
    for start, unit in zip(starts[::2], units[::2], strict=True):
        traces[start : start + 20] += templates[unit]
    tried, again = (Proposals.at(starts, units) for _ in range(2))
    turned = np.array(traces, order="F")
    explain(traces, tried, model_of(templates).library(0), RULES)
    explain(turned, again, model_of(templates).library(0), RULES)
    assert np.array_equal(traces, turned)
    assert all(np.array_equal(one, other) for one, other in zip(tried, again, strict=True))


def test_only_what_is_near_a_change_is_looked_at_again(world):
    library = model_of(world.waveforms).library(0)
    starts, units = np.array([20, 24, 50, 58, 90]), np.array([0, 1, 0, 2, 0])
    tried = Proposals.at(starts, units)
    tried.amplitudes[:] = 1
    before = tried.amplitudes.copy(), tried.tilts.copy(), tried.shifts.copy()

    def stirred():
        stir(*before, tried, library)
        return tried.stirred.tolist()

    assert not any(stirred())
    tried.amplitudes[0] += 1e-3
    assert not any(stirred())
    tried.shifts[0] = 1
    assert stirred() == [True, True, False, False, False]
    tried.shifts[0], tried.amplitudes[3] = 0, 0
    assert stirred() == [False, False, True, True, False]
    tried.amplitudes[3], tried.tilts[4] = 1, 0.5
    assert stirred() == [False, False, False, False, True]
    traces = np.zeros((120, 4), np.float32)
    tried.amplitudes[:4], tried.stirred[:] = 0, False
    traces[50:70] += world.waveforms[0]
    for look in (take_greedily, uncover, reconsider, disentangle):
        look(traces, tried, library, RULES)
    assert tried.amplitudes.tolist() == [0, 0, 0, 0, 1]


def test_spikes_beyond_the_traces_stay(world):
    traces = np.zeros((30, 4), np.float32)
    library = model_of(world.waveforms).library(0)
    ones = np.ones(2, np.float32)
    remove(traces, np.array([-3, 20]), np.array([0, 1]), ones, ones, library)
    assert (traces == 0).all()
    remove(traces, np.array([5]), np.array([0]), ones[:1], 0 * ones[:1], library)
    assert traces[5:25] == pytest.approx(-world.waveforms[0])


def proposals_of(world):
    noise = np.sort(np.random.default_rng(5).choice(np.arange(100, 39_000), 30, replace=False))
    trains = Flat.of([np.sort(np.concatenate([train, noise])) for train in world.trains])
    return Pool.of(trains, [[]] * len(trains), trains, 0)


def test_matching_finds_the_spikes_and_rejects_noise(world):
    found, _ = match(world.source, world.chunks, proposals_of(world), model_of(world.waveforms, 2), RULES)
    for unit, train in enumerate(world.trains):
        own = found.samples[found.units == unit]
        hit = np.array([np.abs(own - sample).min() <= 1 for sample in train])
        true = np.array([np.abs(train - sample).min() <= 1 for sample in own])
        assert hit.mean() > 0.95
        assert true.mean() > 0.95


def test_chunks_change_nothing(world):
    model = model_of(world.waveforms)
    one, _ = match(world.source, cut(world.source, 10**6, 10**6, 1), proposals_of(world), model, RULES)
    many, _ = match(world.source, cut(world.source, 3001, 10**6, 1), proposals_of(world), model, RULES)
    assert np.array_equal(one.samples, many.samples)
    assert np.array_equal(one.units, many.units)


def test_threads_change_nothing(world):
    model, chunks = model_of(world.waveforms, 2), cut(world.source, 3001, 20_000, 2)
    results = [match(replace(world.source, threads=threads), chunks, proposals_of(world), model, RULES) for threads in (1, 3)]
    (found, sums), (others, other_sums) = results
    assert all(np.array_equal(getattr(found, field.name), getattr(others, field.name)) for field in fields(Found))
    assert np.array_equal(sums.residuals, other_sums.residuals)
    assert np.array_equal(sums.weights, other_sums.weights)


def test_learning_mends_templates(world):
    wrong = world.waveforms * np.array([0.9, 1.1, 1.0], np.float32)[:, None, None]
    model = model_of(wrong, 2)
    found, sums = match(world.source, world.chunks, proposals_of(world), model, RULES)
    learned = relearn(model, sums)
    for unit in range(3):
        before = np.abs(wrong[unit] - world.waveforms[unit]).max()
        after = np.abs(learned[:, unit] - world.waveforms[unit]).max()
        assert after < max(before, 0.6)
    means, weights = halves_of(model, sums)
    centre, total = overall(means, weights)
    assert centre.shape == (3, 2, 20, 4)
    assert total == pytest.approx(weights.sum(axis=0))
    energies = (learned**2).sum(axis=(2, 3)).mean(axis=0)
    assert noise_gain(found, energies) == pytest.approx(1, abs=0.35)
    stiffness, low, high = amplitude_limits(found, energies, 1.0)
    assert (stiffness >= 50).all()
    assert ((low >= 0.3) & (low <= 0.7) & (high >= 1.3) & (high <= 2.0)).all()


def test_a_unit_that_changes_is_learned_block_by_block():
    rng = np.random.default_rng(0)
    true = np.stack([np.full((1, 10, 2), 10.0 + 4 * block) for block in range(4)]).astype(np.float32)
    model = Model(np.full((4, 1, 10, 2), 16.0, np.float32), np.array([[0, 1]]), 5, *np.ones((3, 1), np.float32))
    weights = np.full((4, 1, 2), 50.0, np.float32)
    noise = rng.normal(0, 1 / np.sqrt(50), (4, 1, 2, 10, 2))
    residuals = ((true - model.templates)[:, :, None] + noise) * weights[..., None, None]
    learned = relearn(model, Sums(residuals.astype(np.float32), weights))
    assert np.diff(learned.mean(axis=(1, 2, 3))).min() > 1
    same = Sums((noise * weights[..., None, None]).astype(np.float32), weights)
    learned = relearn(model, same)
    assert np.abs(learned - learned.mean(axis=0)).max() < 0.1


def test_templates_are_learned_from_as_far_around_as_predicts_best():
    """A unit that jumps in each block is learned from each alone, one that stays from all."""
    rng = np.random.default_rng(3)
    jumps = np.where(np.arange(8)[:, None] % 2, [5.0, 0.0], [-5.0, 0.0])
    means = np.zeros((8, 2, 2, 6, 3), np.float32) + jumps[:, :, None, None, None]
    weights = np.full((8, 2, 2), 20.0, np.float32)
    means += rng.normal(0, 1 / np.sqrt(20), means.shape).astype(np.float32)
    kernels = np.stack([nearness(8, width) for width in (0.5, 1.0, 4.0)])
    assert best_width(means, weights, kernels).tolist() == [0, 2]


def test_a_unit_without_spikes_keeps_its_template(world):
    model = model_of(world.waveforms)
    sums = Sums(np.zeros((1, 3, 2, 20, 4), np.float32), np.zeros((1, 3, 2), np.float32))
    assert np.array_equal(relearn(model, sums), model.templates)
    none = Found(*(np.empty(0, kind) for kind in (np.int64, np.int64, *[np.float32] * 3)))
    assert spreads(none, 2)[0].tolist() == [1, 1]
    assert noise_gain(none, np.ones(2)) == 1
    for width in (0.5, 4.0):
        near = nearness(5, width)
        assert (near.argmax(axis=1) == np.arange(5)).all()


def test_residuals_are_those_of_brute_force(world):
    model = model_of(world.waveforms)
    found, _ = match(world.source, cut(world.source, 3001, 10**6, 1), proposals_of(world), model, RULES)
    left = world.traces.copy()
    slopes = np.gradient(world.waveforms, axis=1)
    for sample, unit, fitted, tilt in zip(found.samples, found.units, found.fitted, found.tilts, strict=True):
        left[sample - 7 : sample + 13] -= fitted * world.waveforms[unit] + tilt * slopes[unit]
    chosen = np.flatnonzero(found.units == 1)
    all_one = listed(chosen, np.zeros(len(chosen), np.int64))
    chunks = cut(world.source, 3001, 10**6, 1)
    means, counts = mean_residuals(world.source, chunks, found, model, all_one, 1)
    for half in (0, 1):
        windows = [left[s - 7 : s + 13] for s in found.samples[chosen[half::2]]]
        assert counts[0, half] == len(windows)
        assert means[0, half] == pytest.approx(np.mean(windows, axis=0), abs=1e-3)
    axes = np.random.default_rng(0).normal(size=(1, 2, 20, 4)).astype(np.float32)
    values = projections(world.source, chunks, found, model, all_one, axes, np.array([len(chosen)]))[0]
    expected = [(left[s - 7 : s + 13] * axes[0, i % 2]).sum() for i, s in enumerate(found.samples[chosen])]
    assert values == pytest.approx(expected, abs=1e-2)
    assert not list(residuals(world.source, chunks, found, model, listed(*np.empty((2, 0), np.int64))))


def test_what_is_left_at_spikes_is_compared_with_what_is_left_at_any_time(world):
    chunks = cut(world.source, 3001, 10**6, 1)
    found, _ = match(world.source, chunks, proposals_of(world), model_of(world.waveforms), RULES)
    everything = np.arange(len(found.samples))
    assert leftovers(world.source, chunks, found, model_of(world.waveforms), everything, 2) == pytest.approx(np.ones(3), abs=0.1)
    wrong = model_of(world.waveforms * np.array([1.0, 1.0, 0.7], np.float32)[:, None, None])
    left = leftovers(world.source, chunks, found, wrong, np.flatnonzero(found.units == 2)[:50], 4)
    assert left[2] > 1.3
    assert left[:2].tolist() == [0, 0]


def test_models_can_be_picked_and_empty_templates_have_one_channel(world):
    model = model_of(world.waveforms).of(np.array([2, 0, 2]))
    assert len(model) == 3
    assert np.array_equal(model.templates[0, 0], world.waveforms[2])
    library = library_of(np.zeros((1, 5, 3), np.float32), np.arange(3)[None], *np.ones((3, 1), np.float32))
    assert library.widths.tolist() == [1]
