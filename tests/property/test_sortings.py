"""Sortings against brute force on dicts of lists."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from spikeinterface.core import NumpyRecording
from spikeinterface.core.base import minimum_spike_dtype

from lussac.algorithms.timeline import Timeline
from lussac.sortings import CATEGORY, build, check, content_hash, from_trains, gather, load, save, select, trains, unit_ids
from lussac.units import Selector

RATE, DURATIONS = 1000.0, (40, 25)
IDS = st.one_of(
    st.lists(st.integers(0, 12), unique=True, max_size=5),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=3), unique=True, max_size=5),
)
SPIKES = st.lists(st.tuples(st.integers(-3, 43), st.integers(0, len(DURATIONS) - 1)), max_size=15)


@st.composite
def cases(draw):
    """Return {id: (spikes, category, depth)} and the sorting made of it, in a random order of the spikes."""
    units = {unit: (draw(SPIKES), draw(st.sampled_from(["", "CS", "SS"])), draw(st.floats(width=32))) for unit in draw(IDS)}
    rows = [(*spike, index) for index, (spikes, *_) in enumerate(units.values()) for spike in spikes]
    spikes = np.array(
        [(sample, unit, segment) for sample, segment, unit in draw(st.permutations(rows))], dtype=minimum_spike_dtype
    )
    spikes.flags.writeable = False
    values = {
        CATEGORY: np.array([category for _, category, _ in units.values()], dtype=str),
        "gt_depth": np.array([depth for *_, depth in units.values()], dtype=np.float64),
    }
    return units, build(spikes, list(units), RATE, len(DURATIONS), values)


def plain(sorting):
    """Return {id: (sorted (segment, sample) pairs, category, depth as text)}."""
    spikes = sorting.to_spike_vector()
    columns = zip(sorting.get_property(CATEGORY).tolist(), map(repr, sorting.get_property("gt_depth").tolist()), strict=True)
    return {
        unit: (sorted((s, t) for t, u, s in spikes.tolist() if u == index), *values)
        for index, (unit, values) in enumerate(zip(unit_ids(sorting), columns, strict=True))
    }


def expected(units):
    return {
        unit: (sorted((segment, sample) for sample, segment in spikes), category, repr(depth))
        for unit, (spikes, category, depth) in units.items()
    }


@given(cases())
def test_build_holds_what_was_given(case):
    units, sorting = case
    assert plain(sorting) == expected(units)


@given(cases())
def test_check_keeps_what_lies_inside(case):
    units, sorting = case
    recording = NumpyRecording([np.zeros((samples, 1), dtype=np.float32) for samples in DURATIONS], RATE)
    inside = {
        unit: ([spike for spike in spikes if 0 <= spike[0] < DURATIONS[spike[1]]], *rest)
        for unit, (spikes, *rest) in units.items()
    }
    checked, notes = check("a", sorting, recording)
    assert plain(checked) == expected(inside)
    assert bool(notes) == (inside != units)


@given(cases())
def test_save_and_load(case):
    _, sorting = case
    with tempfile.TemporaryDirectory() as folder:
        save(sorting, Path(folder))
        found = load(Path(folder))
        assert plain(found) == plain(sorting)
        assert content_hash(found) == content_hash(sorting)


@given(cases())
def test_trains_there_and_back(case):
    units, sorting = case
    line = Timeline(DURATIONS, gap=100)
    inside = from_trains(trains(sorting, line), line, RATE, sorting)
    assert plain(inside) == plain(check("a", sorting, NumpyRecording([np.zeros((n, 1)) for n in DURATIONS], RATE))[0])
    assert list(trains(sorting, line)) == list(units)


@given(cases(), cases(), st.sampled_from(["all", "rest", "CS", "SS+rest"]))
def test_gather_loses_nothing_and_renames_only_the_new(case, other, text):
    (_, before), (_, after) = case, other
    selector = Selector.parse(text)
    selected = select(before, selector)
    untouched = {unit: values for unit, values in plain(before).items() if not selector.matches(values[1])}
    together = plain(gather(before, selected, after))
    assert {unit: together[unit] for unit in untouched} == untouched
    added = [values for unit, values in together.items() if unit not in untouched]
    assert added == list(plain(after).values())
    assert len(together) == len(untouched) + after.get_num_units()
    if untouched and {type(unit) for unit in untouched} == {type(unit) for unit in plain(after)}:
        kept = [unit for unit in plain(after) if unit not in untouched]
        assert [unit for unit in together if unit in kept] == kept
    elif not untouched:
        assert list(together) == list(plain(after))
