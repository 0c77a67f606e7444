from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lussac.algorithms.fusion.candidates import prepare
from lussac.algorithms.fusion.excerpt import learned, learned_from
from lussac.algorithms.fusion.fuse import fuse
from lussac.algorithms.fusion.joins import contrasts_of
from lussac.algorithms.fusion.refinement import first_model, question, refine
from lussac.algorithms.fusion.settling import settle
from lussac.algorithms.fusion.source import Source, cut, excerpt
from lussac.algorithms.fusion.trains import Flat

from .conftest import RATE, build, spread_trains, waveforms

SECONDS = 12
BETWEEN = np.arange(36_100, 46_900, 400)
"""Spikes of a neuron that fires in one second only, which lies between the pieces."""


def segments(*edges: int) -> Source:
    return Source(lambda start, stop: np.zeros((stop - start, 1), np.float32), tuple(pairwise(edges)), 1, RATE)


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(1, 8), st.data())
def test_pieces_have_the_length_asked_for_and_are_evenly_spread(lengths, pieces, data):
    gaps, position, own = data.draw(st.lists(st.integers(0, 50), min_size=5, max_size=5)), 0, []
    for length, gap in zip(lengths, gaps, strict=False):
        own.append((position + gap, position + gap + length))
        position = own[-1][1]
    source = Source(lambda _start, _stop: np.empty((0, 1), np.float32), tuple(own), 1, RATE)
    size = data.draw(st.integers(0, source.total // pieces))
    part = excerpt(source, pieces, size)
    assert part.total == pieces * size
    inside = np.concatenate([np.arange(start, stop) for start, stop in own])
    taken = np.concatenate([np.empty(0, np.int64), *(np.arange(start, stop) for start, stop in part.segments)])
    places = np.flatnonzero(np.isin(inside, taken))
    assert len(places) == part.total
    expected = (np.arange(pieces) + 0.5) * source.total / pieces
    if size:
        assert np.abs(places.reshape(pieces, size).mean(axis=1) - expected).max() <= 1.5


def test_a_piece_that_lies_in_two_segments_is_cut_there():
    assert excerpt(segments(0, 100, 200), 1, 20).segments == ((90, 100), (100, 110))


@given(st.lists(st.integers(0, 100), max_size=20), st.lists(st.integers(1, 9), max_size=9), st.integers(-5, 5))
def test_spikes_inside_are_those_of_brute_force(train, steps, shift):
    spikes, edges = np.array(sorted(set(train)), np.int64), np.cumsum([0, *steps])
    stretches = [(int(edges[i]), int(edges[i + 1])) for i in range(0, len(edges) - 1, 2)]
    moved = Flat.of([spikes, spikes]).moved(np.array([0, shift])).inside(stretches)
    for unit, by in enumerate((0, shift)):
        assert moved[unit].tolist() == [s + by for s in spikes.tolist() if any(a <= s + by < b for a, b in stretches)]


@pytest.fixture(scope="module")
def long():
    """Three neurons, the last of which fires between the pieces only, and one analysis that has them."""
    first, second = spread_trains((180, 150), 3, int(SECONDS * RATE))
    world = build(waveforms(), [first, second, BETWEEN], length=int(SECONDS * RATE))
    return replace(world, settings=replace(world.settings, learned=3.0, learned_share=0.0, piece=1.0))


def share(train, other):
    common = np.isin(train, (other[:, None] + np.arange(-2, 3)).ravel()).sum()
    return common / (len(train) + len(other) - common)


def pieces_of(world):
    return excerpt(world.source, 3, int(RATE))


def test_units_learned_from_pieces_have_their_spikes_in_all_of_the_recording(long):
    assert not any(start <= spike < stop for start, stop in pieces_of(long).segments for spike in BETWEEN)
    fused = fuse(long.source, long.trains, [0, 0, 0], long.settings)
    assert len(fused.trains) == 3
    for train in long.trains:
        assert max(share(own, train) for own in fused.trains) > 0.95
    assert sorted(fused.members) == [(0,), (1,), (2,)]


def test_most_of_the_recording_is_read_only_where_spikes_are_found(long):
    reads = []

    def read(start, stop):
        reads.append((start, stop))
        return long.source.read(start, stop)

    def passes(settings):
        reads.clear()
        learned(replace(long.source, read=read), long.chunks, Flat.of(long.trains[:2]), [0, 0], settings)
        return sum(start <= 38_000 < stop for start, stop in reads)

    assert passes(long.settings) == 2
    assert passes(replace(long.settings, learned=7.0)) > 6


def test_what_is_short_is_learned_whole(long):
    trains, whole = Flat.of(long.trains), replace(long.settings, learned=7.0)
    candidates, state = learned(long.source, long.chunks, trains, [0, 0, 0], whole)
    expected = settle(long.source, long.chunks, prepare(long.source, long.chunks, trains, [0, 0, 0], whole), whole)
    assert len(candidates) == 3
    assert np.array_equal(state.found.samples, expected.found.samples)
    assert np.array_equal(state.used.templates, expected.used.templates)


def test_units_that_are_in_no_piece_are_learned_from_the_whole(long):
    candidates, state = learned_from(
        pieces_of(long), long.source, long.chunks, Flat.of([BETWEEN]), np.array([0]), long.settings
    )  # fmt: skip
    assert candidates.origins.tolist() == [0]
    assert share(state.trains()[0], BETWEEN) > 0.95


def test_parts_of_what_was_learned_come_in_as_candidates_but_not_as_units(long):
    first = long.trains[0]
    rare = first[(first >= 36_000) & (first < 47_000)]
    trains = Flat.of([*long.trains[:2], rare])
    candidates, state = learned(long.source, long.chunks, trains, [0, 0, 1], replace(long.settings, min_spikes=5))
    assert candidates.origins.tolist() == [0, 1, 2]
    assert candidates.trains[2].tolist() == rare.tolist()
    assert len(state.model) == 2


def test_models_and_trains_of_two_groups_follow_each_other(long):
    candidates = prepare(long.source, long.chunks, Flat.of(long.trains), [0, 0, 0], long.settings)
    candidates.chosen[:] = True
    model = first_model(candidates, 2)
    both = model.of(np.array([2])).followed_by(replace(model, barred=(BETWEEN, BETWEEN[:1], BETWEEN[:0])).of(np.array([0, 1])))
    assert np.array_equal(both.templates, model.templates[:, [2, 0, 1]])
    assert [len(one) for one in both.barred] == [0, len(BETWEEN), 1]
    assert model.followed_by(model).barred == ()
    flat, other = Flat.of(long.trains), Flat.of([BETWEEN + 1])
    assert flat.only(np.array([1])).followed_by(flat.only(np.array([0]))).samples is flat.samples
    assert [train.tolist() for train in flat.followed_by(other)] == [
        *(train.tolist() for train in long.trains), (BETWEEN + 1).tolist(),
    ]  # fmt: skip


def test_units_that_are_always_active_do_not_take_turns_in_pieces(long):
    part = pieces_of(long)
    some, inside = cut(part, int(RATE), part.total // 3, 3), Flat.of(long.trains[:2]).inside(part.segments)
    candidates = prepare(part, some, inside, [0, 0], long.settings)
    candidates.chosen[:] = True
    asked = question(part, candidates, first_model(candidates, 3), inside, long.settings)
    state = refine(part, some, asked, long.settings)
    (contrast,) = contrasts_of(part, some, state, np.zeros((2, 2), np.int64), long.settings, 1)
    assert contrast.together > 0.9
    assert contrast.distance > 2 * long.settings.two
