from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from lussac.algorithms.fusion.candidates import prepare
from lussac.algorithms.fusion.matching import Found
from lussac.algorithms.fusion.pool import Member
from lussac.algorithms.fusion.refinement import first_model, refine
from lussac.algorithms.fusion.sizes import apart_in_size, pairs
from lussac.algorithms.fusion.splits import split
from lussac.algorithms.fusion.trains import Flat

LARGE, SMALL = 1.3, 0.8
LIMITS = {"one": 2.0, "two": 4.0, "size": 6.0, "least": 0.1, "most_hidden": 0.5, "most_beside": 0.5, "reach": 6}


def found_of(first, second, sizes=(LARGE, SMALL)):
    """Spikes of one unit with two sizes, in the order of time, and which have the second."""
    rng = np.random.default_rng(1)
    samples = np.concatenate([first, second])
    amplitudes = np.repeat(np.array(sizes), [len(first), len(second)]) + rng.normal(0, 0.05, len(samples))
    order = np.argsort(samples, kind="stable")
    values = amplitudes[order].astype(np.float32)
    none = np.zeros(len(samples), np.int64)
    return Found(samples[order], none, values, values, 0 * values, values), (order >= len(first))


def drawn(rng, count, start, stop):
    return np.sort(rng.choice(np.arange(start, stop), count, replace=False))


@pytest.mark.parametrize(
    ("kind", "is_apart"), [("independent", True), ("burst", False), ("turns", False), ("few", False), ("one size", False)]
)
def test_sizes_that_come_independently_are_two_neurons(world, kind, is_apart):
    rng, total = np.random.default_rng(2), world.source.total
    first, second, sizes = drawn(rng, 90, 0, total - 100), drawn(rng, 110, 0, total), (LARGE, SMALL)
    match kind:
        case "burst":
            second = first + 50
        case "turns":
            first, second = drawn(rng, 90, 0, total // 2), drawn(rng, 110, total // 2, total)
        case "few":
            first, second = first[::10], second[::10]
        case "one size":
            sizes = (1.0, 1.0)
    found, inside = found_of(first, second, sizes)
    assert (apart_in_size(found, np.arange(len(inside)), inside, world.source) > 6) == is_apart


@limits(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12), st.lists(st.integers(0, 60), max_size=12), st.integers(0, 9))
def test_pairs_are_those_of_brute_force(first, second, window):
    expected = sum(abs(a - b) <= window for a in first for b in second)
    assert pairs(np.sort(np.array(first, np.int64)), np.sort(np.array(second, np.int64)), window) == expected


@pytest.mark.parametrize("in_bursts", [False, True])
def test_a_unit_of_two_sizes_is_split_but_not_a_burst(make, world, in_bursts):
    shape, large = world.waveforms[0], world.trains[0]
    small = large + 40 if in_bursts else world.trains[1]
    both = make(np.stack([shape, 0.5 * shape]), [large.copy(), small.copy()])
    merged = np.unique(np.concatenate([large, small]))
    candidates = prepare(both.source, both.chunks, [merged, large], [0, 1], both.settings)
    candidates = replace(candidates, chosen=np.array([True, False]))
    start = Flat.of([candidates.trains[0]])
    state = refine(both.source, both.chunks, candidates, first_model(candidates, 2), start, both.settings)
    parts = [[Member(0, 0, shares=True), Member(1, 0, shares=True)]]
    model, trains = split(both.source, both.chunks, state, candidates.trains, parts, 4, **LIMITS)
    if in_bursts:
        assert len(model) == 1
        return
    assert len(model) == 2
    assert sorted(trains.counts.tolist()) == pytest.approx(sorted([len(large), len(small)]), abs=3)
    norms = np.sort(np.linalg.norm(model.templates.mean(axis=0).reshape(2, -1), axis=1))
    assert norms[0] / norms[1] == pytest.approx(0.5, abs=0.03)
