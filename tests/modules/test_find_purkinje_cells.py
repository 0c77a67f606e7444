import numpy as np
import pytest
from pydantic import ValidationError

from lussac.modules.find_purkinje_cells import MODULE, PURKINJE, Params, measure_pause
from lussac.sortings import content_hash
from lussac.units import Action, UnitRef
from tests.modules.conftest import FS, poisson_train, silent_recording, sorting_of

SECONDS = 120


@pytest.fixture(scope="module")
def recording():
    return silent_recording(SECONDS, channels=1)


def purkinje_cell(seed, pause_ms=12.0):
    """Return simple spikes that pause after complex spikes, and these."""
    rng = np.random.default_rng(seed)
    simple, complex_ = poisson_train(rng, 60, SECONDS), poisson_train(rng, 1.2, SECONDS, refractory_ms=100)
    since = simple - complex_[np.maximum(np.searchsorted(complex_, simple, side="right") - 1, 0)]
    return simple[(since < 0) | (since > pause_ms * FS / 1000)], complex_


def find(context, units, **params):
    outcome = MODULE.run({"a": sorting_of(units, [30_000 * SECONDS])}, Params(**params), context)
    sorting = outcome.sortings["a"]
    return dict(zip(sorting.unit_ids.tolist(), sorting.get_property(PURKINJE).tolist(), strict=True)), outcome


def test_the_units_of_a_cell_are_paired_and_no_others(make_context, recording):
    (ss_a, cs_a), (ss_b, cs_b) = purkinje_cell(1), purkinje_cell(2)
    labels, outcome = find(make_context(recording), {10: ss_a, 11: cs_a, 12: ss_b, 13: cs_b})
    assert labels == {10: "10-11", 11: "10-11", 12: "12-13", 13: "12-13"}
    assert {(d.unit, d.action) for d in outcome.decisions} == {(UnitRef("a", unit), Action.PAIRED) for unit in labels}
    numbers = outcome.decisions[0].numbers
    assert numbers["pause"] < 0.1
    assert numbers["before"] == pytest.approx(1.0, abs=0.4)


def test_a_pair_without_a_pause_is_no_cell(make_context, recording):
    labels, outcome = find(make_context(recording), {1: purkinje_cell(1)[0], 2: purkinje_cell(2)[1]})
    assert labels == {1: "", 2: ""}
    assert outcome.decisions == ()


def test_a_pause_on_both_sides_is_that_of_one_neuron(make_context, recording):
    rng = np.random.default_rng(3)
    train = poisson_train(rng, 60, SECONDS, refractory_ms=10)
    rare = rng.random(len(train)) < 0.02
    labels, _ = find(make_context(recording), {1: train[~rare], 2: train[rare]})
    assert labels == {1: "", 2: ""}


def test_two_simple_spike_units_of_one_cell(make_context, recording):
    ss, cs = purkinje_cell(4)
    labels, _ = find(make_context(recording), {"a": ss, "b": ss[::2], "c": cs}, ss_min_fr=20.0)
    assert labels == {"a": "a-c", "b": "b-c", "c": "a-c ; b-c"}


def test_complex_spikes_that_simple_spikes_hold_too_do_not_hide_the_pause(make_context, recording):
    ss, cs = purkinje_cell(5)
    labels, _ = find(make_context(recording), {1: np.sort(np.concatenate([ss, cs + 2])), 2: cs})
    assert labels[1] == "1-2"


def test_too_few_complex_spikes_are_not_judged(make_context, recording, caplog):
    ss, cs = purkinje_cell(6)
    caplog.set_level("INFO", logger="lussac")
    labels, _ = find(make_context(recording), {1: ss, 2: cs[:5]}, cs_min_fr=0.01)
    assert labels == {1: "", 2: ""}
    assert "too few spikes" in caplog.text


def test_rates_choose_the_candidates(make_context, recording):
    ss, cs = purkinje_cell(7)
    assert find(make_context(recording), {1: ss, 2: cs}, ss_min_fr=100.0)[0] == {1: "", 2: ""}
    assert find(make_context(recording), {1: ss, 2: cs}, cs_min_fr=2.5)[0] == {1: "", 2: ""}


def test_segments_are_not_mixed(make_context):
    (ss, cs), half = purkinje_cell(8), 30_000 * SECONDS // 2
    gap = 1 << 22
    split = {unit: np.where(train < half, train, train + gap) for unit, train in {1: ss, 2: cs}.items()}
    sorting = sorting_of(split, [half, half])
    outcome = MODULE.run({"a": sorting}, Params(), make_context(silent_recording(SECONDS / 2, SECONDS / 2, channels=1)))
    assert outcome.sortings["a"].get_property(PURKINJE).tolist() == ["1-2", "1-2"]


@pytest.mark.parametrize("units", [{}, {1: []}, {1: [5]}, {1: [], 2: [3]}])
def test_few_spikes_and_no_units(make_context, recording, units):
    labels, _ = find(make_context(recording), units, cs_min_fr=0.0)
    assert labels == dict.fromkeys(units, "")


def test_the_sorting_given_keeps_its_labels_and_other_properties_survive(make_context, recording):
    ss, cs = purkinje_cell(9)
    sorting = sorting_of({1: ss, 2: cs}, [30_000 * SECONDS])
    sorting.set_property("lussac_category", ["SS", "CS"])
    before = content_hash(sorting)
    labelled = MODULE.run({"a": sorting}, Params(), make_context(recording)).sortings["a"]
    assert content_hash(sorting) == before
    assert labelled.get_property("lussac_category").tolist() == ["SS", "CS"]


def test_the_pause_is_measured_in_shares_of_the_baseline():
    cs = np.arange(1, 200) * 15_000
    lags = np.concatenate([np.arange(-1500, -240, 3), np.arange(-240, 0, 6)])  # as often, and half as often
    simple = np.sort((cs[:, np.newaxis] + lags).ravel())
    pause = measure_pause(simple, cs, Params(), lambda ms: round(ms * 30))
    assert pause.after == 0.0
    assert pause.before == pytest.approx(0.5, abs=0.02)
    assert pause.expected == pytest.approx(199 * 10 * 7, rel=0.02)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"ss_min_fr": 3.0}, "must exceed 'cs_max_fr'"),
        ({"cs_min_fr": 4.0}, "can't exceed 'cs_max_fr'"),
        ({"cross_corr_pause": (0.0, 1.0)}, "at least two bins"),
        ({"baseline_ms": 8.0}, "beyond the pause"),
    ],
)
def test_parameters_that_contradict_each_other(params, told):
    with pytest.raises(ValidationError, match=told):
        Params(**params)
