import numpy as np
import pytest
from pydantic import ValidationError

from lussac.modules.units_categorization import MODULE, Params
from lussac.sortings import CATEGORY, categories
from lussac.units import Action, UnitRef
from tests.modules.conftest import silent_recording, sorting_of

FAST, SLOW = {"firing_rate": {"min": 10.0}}, {"firing_rate": {"max": 2.0}}


def categorize(context, sorting, **params):
    outcome = MODULE.run({"a": sorting}, Params.model_validate(params), context)
    return categories(outcome.sortings["a"]), outcome


@pytest.fixture
def context(make_context):
    return make_context(silent_recording(1))


@pytest.fixture
def sorting():
    """Units that fire 20, 5 and 1 times a second."""
    return sorting_of({1: np.arange(20) * 1000, 2: np.arange(5) * 1000, 3: [7]})


def test_units_take_the_first_category_that_fits(context, sorting):
    found, outcome = categorize(context, sorting, fast=FAST, any={}, slow=SLOW)
    assert found == {1: "fast", 2: "any", 3: "any"}
    assert outcome.decisions[0].unit == UnitRef("a", 1)
    assert outcome.decisions[0].action is Action.CATEGORIZED
    assert outcome.decisions[0].reason == "category fast"
    assert outcome.decisions[0].numbers == {"firing_rate": 20.0}
    assert set(categories(sorting).values()) == {""}


def test_all_criteria_of_a_category_must_be_met(context, sorting):
    both = {"firing_rate": {"min": 2.0}, "ISI_portion": {"range": [30.0, 40.0], "max": 0.5}}
    assert categorize(context, sorting, regular=both)[0] == {1: "", 2: "", 3: ""}


def test_a_category_is_kept(context, sorting):
    sorting.set_property(CATEGORY, np.array(["mine", "", ""]))
    found, outcome = categorize(context, sorting, fast=FAST, slow=SLOW)
    assert found == {1: "mine", 2: "", 3: "slow"}
    assert len(outcome.decisions) == 1


def test_clear_removes_labels_in_its_place_in_the_order(context, sorting):
    sorting.set_property(CATEGORY, np.array(["mine", "other", ""]))
    assert categorize(context, sorting, clear={})[0] == {1: "", 2: "", 3: ""}
    found, outcome = categorize(context, sorting, clear={}, fast=FAST)
    assert found == {1: "fast", 2: "", 3: ""}
    assert [decision.reason for decision in outcome.decisions] == ["category fast", "category none"]
    assert categorize(context, sorting, fast=FAST, clear={})[0] == {1: "", 2: "", 3: ""}


def test_other_properties_survive(context, sorting):
    sorting.set_property("gt_unit", np.array([7, 8, 9]))
    outcome = categorize(context, sorting, fast=FAST)[1]
    assert outcome.sortings["a"].get_property("gt_unit").tolist() == [7, 8, 9]


@pytest.mark.parametrize("units", [{}, {1: []}, {1: [3]}])
def test_nothing_to_label(context, units):
    assert set(categorize(context, sorting_of(units), fast=FAST, loud={"SNR": {"min": 1}})[0].values()) <= {""}


@pytest.mark.parametrize("name", ["all", "rest", "A+B", "A;B", " "])
def test_names_with_a_meaning_are_refused(name):
    with pytest.raises(ValidationError, match="can't be the name of a category"):
        Params.model_validate({name: FAST})


def test_clear_takes_no_criteria():
    with pytest.raises(ValidationError, match="takes no criteria"):
        Params.model_validate({"clear": FAST})
