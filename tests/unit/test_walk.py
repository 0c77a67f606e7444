"""The way through the pipeline, with modules of three lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from lussac import sortings as srt
from lussac.modules import EXPORT_MARKER, MERGED
from lussac.modules.base import Module, ModuleParams, Outcome
from lussac.pipeline.walk import EXPORTS, Route, final, load, save, walk
from lussac.provenance import describe_files
from lussac.store import Store
from lussac.units import Selector

RATE = 1000.0


class Numbers(ModuleParams):
    number: int = 0
    table: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Order:
    """A pass as the plan has it."""

    step: int
    module: str
    selector: Selector = field(default_factory=lambda: Selector.parse("all"))
    params: Numbers = field(default_factory=Numbers)

    @property
    def label(self):
        return f"{self.step:02}-{self.module}.{self.selector.text}"


def make_sorting(trains, categories=None):
    timeline = srt.Timeline((100_000,))
    sorting = srt.from_trains({unit: np.array(train) for unit, train in trains.items()}, timeline, RATE)
    if categories:
        sorting.set_property(srt.CATEGORY, np.array(categories))
    return sorting


def drop_first(sortings, params, context):
    kept = {name: srt.keep(sorting, srt.unit_ids(sorting)[1:]) for name, sorting in sortings.items()}
    return Outcome(sortings=kept)


def fuse(sortings, params, context):
    """Join all units of all analyses, numbered anew."""
    trains = [sorting.get_unit_spike_train(unit, 0) for sorting in sortings.values() for unit in sorting.unit_ids]
    return Outcome(sortings={MERGED: make_sorting(dict(enumerate(trains)))})


MODULES = {
    "same": Module(Numbers, lambda sortings, params, context: Outcome(sortings=sortings)),
    "drop_first": Module(Numbers, drop_first),
    "vanish": Module(Numbers, lambda sortings, params, context: Outcome(sortings={})),
    "fuse": Module(Numbers, fuse, fuses=True),
}


def go(store, passes, start, modules=MODULES):
    """Walk and perform; return the visits."""

    def perform(node):
        outcome = node.module.run(node.given, node.order.params, None)
        with store.draft(node.key, node.order.label, node.ingredients) as folder:
            save(node.results(outcome.sortings), [], folder)
        return load(store.find(node.key))

    return list(walk(Route(passes, modules, start, "recording"), store, perform))


def units(sortings):
    return {name: srt.unit_ids(sorting) for name, sorting in sortings.items()}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "logs") as store:
        yield store


@pytest.fixture
def start():
    return {
        "b": make_sorting({1: [10, 20], 2: [30], 3: [40]}, ["CS", "", "SS"]),
        "a": make_sorting({5: [11], 6: [31]}, ["CS", "CS"]),
    }


def test_units_of_other_categories_pass_untouched(store, start):
    (visit,) = go(store, [Order(1, "drop_first", Selector.parse("CS"))], start)
    assert units(visit.node.given) == {"a": [5, 6], "b": [1]}
    assert units(visit.state.sortings) == {"b": [2, 3], "a": [6]}


def test_passes_run_on_the_result_of_the_one_before(store, start):
    visits = go(store, [Order(1, "drop_first"), Order(2, "drop_first")], start)
    assert units(final(visits[-1].state)) == {"b": [3], "a": []}


def test_an_analysis_that_a_module_leaves_out_loses_its_selected_units(store, start):
    (visit,) = go(store, [Order(1, "vanish", Selector.parse("CS"))], start)
    assert units(final(visit.state)) == {"b": [2, 3], "a": []}


def test_a_module_can_be_limited_to_some_analyses(store, start):
    (visit,) = go(store, [Order(1, "drop_first", params=Numbers(sortings=("b", "gone")))], start)
    assert units(final(visit.state)) == {"b": [2, 3], "a": [5, 6]}


def test_a_second_walk_finds_everything(store, start):
    passes = [Order(1, "drop_first"), Order(2, "fuse")]
    first = go(store, passes, start)
    second = go(store, passes, start)
    assert [visit.found is None for visit in first] == [True, True]
    assert [visit.found is None for visit in second] == [False, False]
    assert units(final(first[-1].state)) == units(final(second[-1].state))


def test_a_walk_ends_where_nothing_is_performed(store, start):
    visits = list(walk(Route([Order(1, "same"), Order(2, "same")], MODULES, start, "recording"), store, lambda node: None))
    assert [visit.results for visit in visits] == [None]


class TestKeys:
    def key(self, store, start, order=Order(1, "same"), modules=MODULES, recording="recording"):
        visits = walk(Route([order], modules, start, recording), store, lambda node: None)
        return next(visits).node.key

    def test_order_of_analyses_and_place_in_the_file_change_nothing(self, store, start):
        turned = dict(reversed(start.items()))
        assert self.key(store, start) == self.key(store, turned) == self.key(store, start, Order(7, "same"))

    def test_everything_else_that_matters_does(self, store, start):
        other = {**start, "a": make_sorting({5: [11], 6: [32]}, ["CS", "CS"])}
        newer = {"same": Module(Numbers, MODULES["same"].run, version=2)}
        keys = [
            self.key(store, start),
            self.key(store, other),
            self.key(store, start, modules=newer),
            self.key(store, start, recording="another"),
            self.key(store, start, Order(1, "vanish")),
            self.key(store, start, Order(1, "same", Selector.parse("CS"))),
            self.key(store, start, Order(1, "same", params=Numbers(number=1))),
            self.key(store, start, Order(1, "same", params=Numbers(sortings=("a",)))),
            self.key(store, start, Order(1, "same", params=Numbers(table={"x": 1, "y": 2}))),
            self.key(store, start, Order(1, "same", params=Numbers(table={"y": 2, "x": 1}))),
        ]
        assert len(set(keys)) == len(keys)

    def test_a_module_that_fuses_does_not_depend_on_other_categories(self, store, start):
        order = Order(1, "fuse", Selector.parse("CS"))
        other = {**start, "b": make_sorting({1: [10, 20], 2: [99], 3: [40]}, ["CS", "", "SS"])}
        assert self.key(store, start, order) == self.key(store, other, order)

    def test_equal_content_gives_equal_seeds(self, store, start):
        nodes = [visit.node for visit in go(store, [Order(1, "same"), Order(2, "same"), Order(3, "drop_first")], start)]
        assert nodes[0].seed == nodes[1].seed != nodes[2].seed


class TestFusing:
    def test_everything_becomes_one_sorting(self, store, start):
        (visit,) = go(store, [Order(1, "fuse")], start)
        assert units(final(visit.state)) == {MERGED: [0, 1, 2, 3, 4]}

    def test_units_that_no_pass_selected_stay_and_empty_analyses_go(self, store, start):
        (visit,) = go(store, [Order(1, "fuse", Selector.parse("CS"))], start)
        assert units(final(visit.state)) == {"b": [2, 3], MERGED: [0, 1, 2]}

    def test_passes_of_a_step_share_out_the_units_and_their_results_are_joined(self, store, start):
        passes = [Order(1, "fuse", Selector.parse("CS")), Order(1, "fuse", Selector.parse("rest"))]
        visits = go(store, passes, start)
        # the second pass still knows of the analysis that the first has emptied, and not of what the first has made
        assert units(visits[1].node.given) == {"a": [], "b": [2]}
        assert units(final(visits[1].state)) == {"b": [3], MERGED: [0, 1, 2, 3]}
        trains = final(visits[1].state)[MERGED]
        assert [trains.get_unit_spike_train(unit, 0).tolist() for unit in range(4)] == [[11], [31], [10, 20], [30]]

    def test_a_later_step_sees_what_was_fused(self, store, start):
        passes = [Order(1, "fuse", Selector.parse("CS")), Order(2, "drop_first"), Order(3, "fuse")]
        visits = go(store, passes, start)
        assert units(visits[1].node.given) == {"b": [2, 3], MERGED: [0, 1, 2]}
        assert units(final(visits[2].state)) == {MERGED: [0, 1, 2]}

    def test_analyses_that_are_not_named_stay(self, store, start):
        (visit,) = go(store, [Order(1, "fuse", params=Numbers(sortings=("a",)))], start)
        assert units(final(visit.state)) == {"b": [1, 2, 3], MERGED: [0, 1]}


def test_a_step_whose_export_another_one_has_replaced_is_performed_again(store, start, tmp_path):
    marker, edited = tmp_path / EXPORT_MARKER, tmp_path / "cluster_group.tsv"
    marker.write_text("first")
    edited.write_text("")
    (visit,) = go(store, [Order(1, "same")], start)
    (store.find(visit.node.key).folder / EXPORTS).write_text(json.dumps(describe_files([tmp_path])))
    edited.write_text("what the user thinks of the units")
    assert go(store, [Order(1, "same")], start)[0].found is not None
    marker.write_text("second")
    assert go(store, [Order(1, "same")], start)[0].found is None


def test_a_step_whose_export_is_gone_is_performed_again(store, start, tmp_path):
    export = tmp_path / "export.txt"
    export.write_text("x")
    (visit,) = go(store, [Order(1, "same")], start)
    folder = store.find(visit.node.key).folder
    (folder / EXPORTS).write_text(f'[{{"path": "{export}"}}]')
    assert go(store, [Order(1, "same")], start)[0].found is not None
    export.unlink()
    assert go(store, [Order(1, "same")], start)[0].found is None
