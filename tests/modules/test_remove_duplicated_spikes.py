from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from spikeinterface.curation import find_duplicated_spikes

from lussac.modules.remove_duplicated_spikes import MODULE, Method, Params, without_duplicates
from lussac.sortings import content_hash
from lussac.units import Action, UnitRef
from tests.modules.conftest import silent_recording, sorting_of

METHODS = get_args(Method)


def remove(context, sorting, **params):
    outcome = MODULE.run({"a": sorting}, Params(**params), context)
    return outcome.sortings["a"], outcome.decisions


def spikes(sorting, unit, segment=0):
    return sorting.get_unit_spike_train(unit, segment_index=segment).tolist()


def test_the_first_of_close_spikes_stays(make_context):
    sorting = sorting_of({1: [100, 109, 118, 500], 2: [7]})
    cleaned, decisions = remove(make_context(silent_recording(1)), sorting)
    assert spikes(cleaned, 1) == [100, 118, 500]
    assert spikes(cleaned, 2) == [7]
    assert [(d.unit, d.action, d.numbers) for d in decisions] == [
        (UnitRef("a", 1), Action.CHANGED, {"removed": 1.0, "spikes": 4.0})
    ]
    assert spikes(sorting, 1) == [100, 109, 118, 500]


@pytest.mark.parametrize("method", METHODS)
@given(train=st.lists(st.integers(0, 60), max_size=20).map(sorted), censored=st.integers(0, 8))
@settings(max_examples=30)
def test_methods_are_those_of_spikeinterface(method, train, censored):
    given_ = np.array(train, np.int64)
    given_.flags.writeable = False
    left = np.delete(given_, find_duplicated_spikes(given_, censored, method, 5))
    assert without_duplicates(given_, censored, method, 5).tolist() == left.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_close_is_left(make_context, method):
    train = np.random.default_rng(0).integers(0, 30_000, 500)
    cleaned, _ = remove(make_context(silent_recording(1)), sorting_of({1: train}), method=method, censored_period=0.5)
    assert (np.diff(spikes(cleaned, 1)) > 15).all()


def test_the_seed_decides_what_random_removes(make_context):
    sorting = sorting_of({1: np.random.default_rng(0).integers(0, 30_000, 300)})
    runs = [remove(make_context(silent_recording(1), seed=seed), sorting, method="random")[0] for seed in (1, 1, 2)]
    hashes = [content_hash(cleaned) for cleaned in runs]
    assert hashes[0] == hashes[1] != hashes[2]


def test_spikes_on_both_sides_of_a_border_are_no_duplicates(make_context):
    recording = silent_recording(1, 1)
    context = make_context(recording)
    durations = [30_000, 30_000]
    sorting = sorting_of({1: [29_999, 30_000 + (1 << 22), 30_003 + (1 << 22)]}, durations)
    cleaned, _ = remove(context, sorting)
    assert (spikes(cleaned, 1, 0), spikes(cleaned, 1, 1)) == ([29_999], [0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("units", [{}, {1: []}, {1: [5]}, {1: [], 2: [3]}])
def test_few_spikes_and_no_units(make_context, units, method):
    cleaned, decisions = remove(make_context(silent_recording(1)), sorting_of(units), method=method)
    assert [spikes(cleaned, unit) for unit in cleaned.unit_ids] == list(units.values())
    assert decisions == ()


def test_properties_survive(make_context):
    sorting = sorting_of({1: [0, 3], 2: [9]})
    sorting.set_property("lussac_category", ["CS", ""])
    sorting.set_property("gt_label", [4, 5])
    cleaned, _ = remove(make_context(silent_recording(1)), sorting)
    assert cleaned.get_property("lussac_category").tolist() == ["CS", ""]
    assert cleaned.get_property("gt_label").tolist() == [4, 5]


@pytest.mark.parametrize("params", [{"censored_period": -0.1}, {"method": "keep"}, {"period": 1.0}])
def test_wrong_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        Params(**params)
