import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from memory import most_bytes
from spikeinterface.core import NumpyRecording, NumpySorting
from spikeinterface.core.base import minimum_spike_dtype

from lussac import sortings
from lussac.algorithms.timeline import Timeline
from lussac.errors import InputError
from lussac.sortings import (
    CATEGORY,
    build,
    check,
    content_hash,
    from_trains,
    gather,
    held,
    keep,
    load,
    save,
    select,
    shelve,
    trains,
)
from lussac.units import Selector

RATE = 30000.0


def make(units, properties=None, segments=1):
    """Make a sorting from {id: samples} or {id: [samples of each segment]}."""
    rows = [
        (sample, index, segment)
        for index, train in enumerate(units.values())
        for segment, part in enumerate(train if segments > 1 else [train])
        for sample in part
    ]
    spikes = np.array(rows, dtype=minimum_spike_dtype)
    spikes.flags.writeable = False
    values = {key: np.asarray(column) for key, column in (properties or {}).items()}
    return build(spikes, list(units), RATE, segments, values)


def spikes_of(sorting):
    return {unit: sorting.get_unit_spike_train(unit).tolist() for unit in sorting.unit_ids.tolist()}


def recording(*durations):
    return NumpyRecording([np.zeros((samples, 1), dtype=np.float32) for samples in durations], RATE)


# ---- check


def test_check_drops_spikes_outside_and_says_so():
    sorting, notes = check("a", make({3: [-1, 0, 99], 4: [100]}), recording(100))
    assert spikes_of(sorting) == {3: [0, 99], 4: []}
    assert notes == ("Analysis 'a': 2 of 4 spikes lie outside the recording and were dropped.",)


def test_check_sorts_spikes_and_says_so():
    unsorted = NumpySorting(make({1: [3, 5]}).to_spike_vector()[::-1], RATE, [1])
    sorting, notes = check("a", unsorted, recording(100))
    assert spikes_of(sorting) == {1: [3, 5]}
    assert notes == ("Analysis 'a': its spikes were not in the order of time and were sorted.",)


def test_check_is_silent_where_all_is_well():
    given = make({"ä": [[1, 1], []], "b": [[2], [3]]}, {CATEGORY: ["CS", ""]}, segments=2)
    sorting, notes = check("a", given, recording(10, 10))
    assert notes == ()
    assert content_hash(sorting) == content_hash(given)
    assert sorting.get_num_segments() == 2


@pytest.mark.parametrize(
    ("rate", "fine"), [(30000.009, True), (29999.991, True), (30000.011, False), (25000.0, False), (np.nan, False)]
)
def test_check_compares_the_sampling_frequency(rate, fine):
    sorting = NumpySorting(make({1: [1]}).to_spike_vector(), rate, [1])
    if fine:
        assert check("a", sorting, recording(10))[0].sampling_frequency == RATE
    else:
        with pytest.raises(InputError, match=r"Analysis 'a' has a sampling frequency of .*30000 Hz"):
            check("a", sorting, recording(10))


def test_check_compares_the_segments():
    with pytest.raises(InputError, match=r"Analysis 'a' has 1 segment\(s\), the recording has 2"):
        check("a", make({1: [1]}), recording(10, 10))
    with pytest.raises(InputError, match=r"Analysis 'a' has 2 segment\(s\), the recording has 1"):
        check("a", make({1: [[1], [2]]}, segments=2), recording(10))
    assert check("a", make({1: []}), recording(10, 10))[0].get_num_segments() == 2
    assert check("a", make({}), recording(10, 10))[0].get_num_units() == 0


def test_check_refuses_damaged_units():
    with pytest.raises(InputError, match="Analysis 'a' has two units with the id 3"):
        check("a", NumpySorting(make({1: [1], 2: [2]}).to_spike_vector(), RATE, [3, 3]), recording(10))
    with pytest.raises(InputError, match="Analysis 'a' is damaged"):
        check("a", NumpySorting(make({1: [1], 2: [2]}).to_spike_vector(), RATE, [3]), recording(10))


def test_check_makes_ids_plain():
    for ids in (np.array([1, 2], dtype=np.uint16), np.array(["x", "y"])):
        found = sortings.unit_ids(check("a", NumpySorting(make({1: [1], 2: [2]}).to_spike_vector(), RATE, ids), recording(10))[0])
        assert found == ids.tolist()
        assert {type(unit) for unit in found} <= {int, str}


# ---- select and gather

CATEGORIES = {
    CATEGORY: ["CS", "", "SS", "CS"],
    "gt_depth": [1.0, 2.0, 3.0, np.nan],
    "n": [1, 2, 3, 4],
    "flag": [True, False, True, True],
}


@pytest.fixture
def four():
    return make({1: [1, 11], 2: [2], 3: [], 5: [5, 15]}, CATEGORIES)


@pytest.mark.parametrize(
    ("text", "chosen"), [("all", [1, 2, 3, 5]), ("rest", [2]), ("CS", [1, 5]), ("CS+rest", [1, 2, 5]), ("nothing", [])]
)
def test_select_by_category(four, text, chosen):
    found = select(four, Selector.parse(text))
    assert sortings.unit_ids(found) == chosen
    assert spikes_of(found) == {unit: spikes_of(four)[unit] for unit in chosen}
    assert [found.get_property("n", [unit])[0] for unit in chosen] == [four.get_property("n", [unit])[0] for unit in chosen]


def test_rest_is_everything_before_there_are_categories():
    sorting = make({1: [1], 2: [2]})
    assert sortings.unit_ids(select(sorting, Selector.parse("rest"))) == [1, 2]
    assert sortings.categories(sorting) == {1: "", 2: ""}
    assert sortings.categories(make({1: []}, {CATEGORY: np.array([None])})) == {1: ""}


def test_gather_puts_everything_back(four):
    chosen = select(four, Selector.parse("CS"))
    back = gather(four, chosen, chosen)
    assert sortings.unit_ids(back) == [2, 3, 1, 5]
    assert spikes_of(back) == {unit: spikes_of(four)[unit] for unit in [2, 3, 1, 5]}
    for key, column in CATEGORIES.items():
        np.testing.assert_array_equal(back.get_property(key), np.array(column)[[1, 2, 0, 3]])
        assert back.get_property(key).dtype == np.array(column).dtype


def test_gather_when_nothing_is_left(four):
    back = gather(four, select(four, Selector.parse("CS")), None)
    assert spikes_of(back) == {2: [2], 3: []}
    nothing = gather(four, four, None)
    assert sortings.unit_ids(nothing) == []
    assert nothing.get_num_segments() == 1


def test_gather_gives_a_new_unit_a_fresh_id(four):
    back = gather(four, select(four, Selector.parse("CS")), make({2: [7], 1: [8], 9: [9]}))
    assert spikes_of(back) == {2: [2], 3: [], 10: [7], 1: [8], 9: [9]}


def test_a_fresh_id_is_used_nowhere_else():
    before = make({"a": [1], "b": [2], "a_2": [3]})
    back = gather(before, keep(before, ["b"]), make({"a": [7], "a_3": [8]}))
    assert spikes_of(back) == {"a": [1], "a_2": [3], "a_4": [7], "a_3": [8]}


def test_gather_with_ids_of_another_kind(four):
    back = gather(four, select(four, Selector.parse("CS")), make({"x": [7], "y": [8]}))
    assert spikes_of(back) == {2: [2], 3: [], 6: [7], 7: [8]}
    before = make({"a": [1], "1": [2], "b": [3]})
    back = gather(before, keep(before, ["b"]), make({1: [7], 2: [8]}))
    assert spikes_of(back) == {"a": [1], "1": [2], "1_2": [7], "2": [8]}
    assert spikes_of(gather(four, four, make({"x": [7]}))) == {"x": [7]}


def test_a_property_that_a_module_lost_comes_back(four):
    chosen = select(four, Selector.parse("CS"))
    back = gather(four, chosen, make({5: [7], 9: [8]}, {"new": ["p", "q"]}))
    assert sortings.unit_ids(back) == [2, 3, 5, 9]
    np.testing.assert_array_equal(back.get_property("gt_depth"), [2.0, 3.0, np.nan, np.nan])
    np.testing.assert_array_equal(back.get_property(CATEGORY), ["", "SS", "CS", ""])
    np.testing.assert_array_equal(back.get_property("n"), [2, 3, 4, np.nan])
    np.testing.assert_array_equal(back.get_property("flag"), [0, 1, 1, np.nan])
    np.testing.assert_array_equal(back.get_property("new"), ["", "", "p", "q"])


def test_a_property_that_a_module_changed_stays_changed(four):
    chosen = select(four, Selector.parse("CS"))
    back = gather(four, chosen, make({1: [1], 5: [5]}, {CATEGORY: ["new", ""]}))
    assert sortings.categories(back) == {2: "", 3: "SS", 1: "new", 5: ""}


def test_gather_joins_columns_of_different_kinds():
    before = make({1: [1], 2: [2]}, {"a": ["x", "y"], "b": np.array([[1.0, 2.0], [3.0, 4.0]]), "c": np.array([None, "z"])})
    back = gather(before, keep(before, [2]), make({2: [2]}, {"a": [5.0], "b": [7.0], "c": ["text"]}))
    assert back.get_property("a").tolist() == ["x", 5.0]
    assert back.get_property("b").tolist() == [[1.0, 2.0], 7.0]
    assert back.get_property("c").tolist() == [None, "text"]


def test_two_dimensional_properties_survive():
    before = make({1: [1], 2: [2]}, {"place": [[1.0, 2.0], [3.0, 4.0]]})
    np.testing.assert_array_equal(gather(before, keep(before, [1]), keep(before, [1])).get_property("place"), [[3, 4], [1, 2]])
    np.testing.assert_array_equal(gather(before, keep(before, [1]), make({7: [1]})).get_property("place"), [[3, 4], [np.nan] * 2])


def test_nothing_given_is_changed(four):
    for sorting in (four, select(four, Selector.parse("CS"))):
        sorting.to_spike_vector().flags.writeable = False
        for key in sorting.get_property_keys():
            sorting.get_property(key).flags.writeable = False
    before = content_hash(four)
    gather(four, select(four, Selector.parse("CS")), make({2: [7]}))
    trains(four, Timeline((100,)))
    assert content_hash(four) == before


# ---- trains

LINE = Timeline((100, 50), gap=1000)


def test_trains_and_back():
    sorting = make({"b": [[99], [0, 49]], "a": [[], []], "c": [[5], []]}, {CATEGORY: ["x", "y", "z"]}, segments=2)
    found = trains(sorting, LINE)
    assert {unit: train.tolist() for unit, train in found.items()} == {"b": [99, 1100, 1149], "a": [], "c": [5]}
    assert all(train.dtype == np.int64 for train in found.values())
    assert content_hash(from_trains(found, LINE, RATE, sorting)) == content_hash(sorting)


def test_trains_of_nothing():
    assert trains(make({}), LINE) == {}
    empty = from_trains({}, LINE, RATE)
    assert (empty.get_num_units(), empty.get_num_segments()) == (0, 2)


def test_from_trains_leaves_out_what_lies_in_no_segment():
    found = from_trains({1: np.array([-1, 0, 99, 100, 600, 1099, 1100, 1149, 1150, 9999])}, LINE, RATE)
    assert [found.get_unit_spike_train(1, segment).tolist() for segment in (0, 1)] == [[0, 99], [0, 49]]


def test_from_trains_keeps_the_properties_of_units_it_knows(four):
    found = from_trains({5: np.array([1]), 8: np.array([2])}, Timeline((100,)), RATE, four)
    np.testing.assert_array_equal(found.get_property("gt_depth"), [np.nan, np.nan])
    np.testing.assert_array_equal(found.get_property("n"), [4, np.nan])
    np.testing.assert_array_equal(found.get_property(CATEGORY), ["CS", ""])


# ---- save, load, content_hash

COLUMNS = {
    "float": np.array([1.5, np.nan, -np.inf]),
    "float32": np.array([0.1, np.nan, 3], dtype=np.float32),
    "int": np.array([1, -2, 1 << 62]),
    "uint8": np.array([1, 2, 255], dtype=np.uint8),
    "bool": np.array([True, False, True]),
    "text": np.array(["a", "", "ä€😀"]),
    "matrix": np.array([[1.0, np.nan], [3.0, 4.0], [5.0, np.inf]]),
    "objects": np.array(["a", None, np.nan], dtype=object),
    "lists": np.array([[1, 2], None, ["x", np.inf]], dtype=object),
    "words": np.array([["a", "b"], ["c", "d"], ["e", ""]]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_properties_come_back_as_they_were(tmp_path, column):
    save(make({"ä": [1], "b/c": [], "€": [2]}, {"name": column}), tmp_path)
    found = load(tmp_path).get_property("name")
    assert found.dtype == column.dtype
    assert found.shape == column.shape
    assert repr(found.tolist()) == repr(column.tolist())


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_properties_of_no_units_come_back(tmp_path, column):
    save(make({}, {"name": column[:0]}), tmp_path)
    found = load(tmp_path).get_property("name")
    assert found.shape == column[:0].shape
    assert found.dtype.kind == column.dtype.kind


def test_load_gives_what_was_saved(tmp_path):
    sorting = make({"ä": [[3, 1], [1]], "b": [[1], []], "c": [[], []]}, COLUMNS, segments=3)
    save(sorting, tmp_path / "new")
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["spikes.npy", "units.json"]
    found = load(tmp_path / "new")
    assert content_hash(found) == content_hash(sorting)
    assert found.get_num_segments() == 3
    assert [found.get_unit_spike_train("ä", segment).tolist() for segment in range(3)] == [[1, 3], [1], []]


def busy(spikes):
    """Make a sorting of two units with many spikes."""
    return make({1: np.arange(0, 2 * spikes, 4), 2: np.arange(1, 2 * spikes, 4)})


def test_the_spikes_of_a_stored_sorting_need_no_memory(tmp_path):
    sorting = busy(1 << 18)
    size = sorting.to_spike_vector().nbytes
    assert most_bytes(lambda: save(sorting, tmp_path)) < size / 2
    assert most_bytes(lambda: content_hash(sorting)) < size / 2
    assert most_bytes(lambda: load(tmp_path)) < size / 2
    stored = load(tmp_path)
    assert most_bytes(lambda: content_hash(stored)) < size / 2
    assert content_hash(stored) == content_hash(sorting)


def resident(file):
    """Return how much of the maps of a file is in this process's memory, in bytes."""
    maps = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    return sum(int(re.search(r"(?m)^Rss: +(\d+) kB", one)[1]) << 10 for one in maps if str(file) in one.partition("\n")[0])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what of a file is in memory")
def test_what_was_read_of_a_stored_sorting_leaves_the_memory(tmp_path):
    save(busy(1 << 18), tmp_path)
    stored = load(tmp_path)
    spikes = stored.to_spike_vector()
    assert spikes["sample_index"].sum() > 0
    assert resident(tmp_path / "spikes.npy") > spikes.nbytes / 2
    del spikes
    assert resident(tmp_path / "spikes.npy") < 1 << 20


def test_a_stored_sorting_is_like_any_other(tmp_path):
    sorting = make({"a": [[3, 1], []], "b": [[2], []]}, segments=2)
    save(sorting, tmp_path)
    stored = load(tmp_path)
    assert stored.to_spike_vector().tolist() == stored.to_spike_vector(use_cache=False).tolist()
    assert [len(part) for part in stored.to_spike_vector(concatenated=False)] == [3, 0]
    assert stored.count_num_spikes_per_unit() == {"a": 2, "b": 1}
    assert not stored.to_spike_vector().flags.writeable


def test_spikes_that_somebody_else_stored_in_another_order_are_read_in_order(tmp_path):
    sorting = make({1: [1, 5], 2: [3]})
    save(sorting, tmp_path)
    np.save(tmp_path / "spikes.npy", sorting.to_spike_vector()[::-1])
    assert content_hash(load(tmp_path)) == content_hash(sorting)


def test_shelved_sortings_are_the_same_and_those_that_are_held_outlive_their_files(tmp_path):
    sorting = make({1: [5], 2: [3, 7]}, {"a": [1.0, np.nan]})
    shelved = shelve({"one": sorting}, tmp_path / "shelf")
    kept = held(shelved["one"])
    assert content_hash(shelved["one"]) == content_hash(sorting)
    shutil.rmtree(tmp_path / "shelf")
    assert content_hash(kept) == content_hash(sorting)


def test_equal_sortings_give_equal_bytes(tmp_path):
    one = make({1: [5, 1], 2: [1, 5]}, {"b": np.array(["x", "y"]), "a": np.array([1.0, 2.0])})
    spikes = one.to_spike_vector()[[1, 0, 3, 2]].astype([(name, ">i4") for name in one.to_spike_vector().dtype.names])
    two = NumpySorting(spikes.astype(minimum_spike_dtype), RATE, np.array([1, 2], dtype=np.uint8))
    two.set_property("a", np.array([1.0, 2.0], dtype=">f8"))
    two.set_property("b", np.array(["x", "y"], dtype="<U20"))
    for name, sorting in {"one": one, "two": two}.items():
        save(sorting, tmp_path / name)
    for file in ("spikes.npy", "units.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert content_hash(one) == content_hash(two)


def test_the_hash_tells_sortings_apart():
    base = make({1: [1], 2: [2]}, {"a": [1.0, 2.0]})
    others = [
        make({1: [1], 2: [3]}, {"a": [1.0, 2.0]}),
        make({1: [1], 3: [2]}, {"a": [1.0, 2.0]}),
        make({"1": [1], "2": [2]}, {"a": [1.0, 2.0]}),
        make({1: [1], 2: [2]}, {"a": [1.0, np.nan]}),
        make({1: [1], 2: [2]}, {"b": [1.0, 2.0]}),
        make({1: [1], 2: [2]}),
        make({1: [2], 2: [1]}, {"a": [1.0, 2.0]}),
        make({1: [[1], []], 2: [[2], []]}, {"a": [1.0, 2.0]}, segments=2),
    ]
    assert len({content_hash(sorting) for sorting in [base, *others]}) == 1 + len(others)


def test_units_json_is_strict_json(tmp_path):
    save(make({1: [1]}, {"a": [np.nan], "b": np.array([np.inf], dtype=object)}), tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((tmp_path / "units.json").read_text(encoding="utf-8"), parse_constant=refuse)
