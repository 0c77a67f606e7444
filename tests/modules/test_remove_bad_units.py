import numpy as np
import pytest
from pydantic import ValidationError

from lussac.modules.remove_bad_units import MODULE, Params
from lussac.sortings import content_hash, unit_ids
from lussac.units import Action, UnitRef
from tests.ground_truth import ground_truth
from tests.modules.conftest import silent_recording, sorting_of

SECOND = 30_000


def remove(context, sorting, **params):
    outcome = MODULE.run({"a": sorting}, Params.model_validate(params), context)
    return unit_ids(outcome.sortings["a"]), outcome


def test_units_that_fail_a_criterion_go(make_context):
    sorting = sorting_of({1: np.arange(10) * 2000, 2: [5], 3: []})
    left, outcome = remove(make_context(silent_recording(2)), sorting, firing_rate={"min": 0.5, "max": 4.9})
    assert left == [2]
    assert [(d.unit, d.action, d.reason, d.numbers) for d in outcome.decisions] == [
        (UnitRef("a", 1), Action.REMOVED, "firing_rate 5 is above 4.9", {"firing_rate": 5.0}),
        (UnitRef("a", 3), Action.REMOVED, "firing_rate 0 is below 0.5", {"firing_rate": 0.0}),
    ]
    assert outcome.arrays["firing_rate"].tolist() == [5.0, 0.5, 0.0]
    assert unit_ids(sorting) == [1, 2, 3]


def test_all_reasons_are_given(make_context):
    recording, truth = ground_truth(2.0)
    noise = np.sort(np.random.default_rng(0).integers(100, 59_000, 400))
    before = content_hash(truth)
    criteria = {
        "wvf_extraction": {"filter_band": [300, 6000]},
        "SNR": {"min": 2.0},
        "contamination": {"refractory_period": [0.3, 2.0], "max": 0.3},
        "sd_ratio": {"max": 1e6},
    }
    left, outcome = remove(make_context(recording), sorting_of({1: noise}, (60_000,)), **criteria)
    assert left == []
    (decision,) = outcome.decisions
    assert set(decision.numbers) == {"SNR", "contamination"}
    assert "SNR" in decision.reason
    assert "contamination" in decision.reason
    assert content_hash(truth) == before


def test_everything_can_be_removed(make_context):
    left, outcome = remove(make_context(silent_recording(1)), sorting_of({1: [5], 2: []}), all={})
    assert left == []
    assert {decision.reason for decision in outcome.decisions} == {"all units are removed"}


def test_without_a_criterion_nothing_is_removed_and_the_log_says_so(make_context, caplog):
    left, outcome = remove(make_context(silent_recording(1)), sorting_of({1: [5]}))
    assert left == [1]
    assert not outcome.decisions
    assert "No criterion" in caplog.text


@pytest.mark.parametrize("sortings", [{}, {"a": sorting_of({})}, {"a": sorting_of({1: []}), "b": sorting_of({})}])
def test_nothing_to_judge(make_context, sortings):
    criteria = {"SNR": {"min": 1}, "sd_ratio": {"max": 2}, "contamination": {"refractory_period": [0.3, 1], "max": 1}}
    outcome = MODULE.run(sortings, Params.model_validate(criteria), make_context(silent_recording(1, 1, channels=1)))
    assert [unit_ids(sorting) for sorting in outcome.sortings.values()] == [[] for _ in sortings]


def test_unknown_attributes_are_refused():
    with pytest.raises(ValidationError):
        Params.model_validate({"firing_rates": {"min": 1}})
