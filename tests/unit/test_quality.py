import logging
import math

import numpy as np
import pytest
from pydantic import ValidationError
from spikeinterface.core import NumpyRecording, create_sorting_analyzer
from spikeinterface.metrics import quality as si_quality

from lussac import quality
from lussac.params import WaveformExtraction
from lussac.quality import Criteria, Units
from lussac.sortings import build, keep
from lussac.traces import Traces
from tests.ground_truth import ground_truth, trains_of

BAND = (300.0, 6000.0)
ALL_SPIKES = WaveformExtraction(ms_before=1.0, ms_after=1.5, max_spikes_per_unit=10**6, filter_band=BAND)
LOG = logging.getLogger("test")


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """Units of a recording of two segments."""
    recording, sorting = ground_truth(6.0, 3.0, neurons=4)
    traces = Traces(recording, tmp_path_factory.mktemp("bands"), {}, LOG)
    return Units({"a": sorting}, traces, ALL_SPIKES, 0)


@pytest.fixture(scope="module")
def long_units(tmp_path_factory):
    recording, sorting = ground_truth(20.0, neurons=4, seed=1)
    traces = Traces(recording.astype("float32"), tmp_path_factory.mktemp("bands"), {}, LOG)
    return Units({"a": sorting}, traces, ALL_SPIKES, 0)


@pytest.fixture(scope="module")
def analyzer(long_units):
    """What SpikeInterface measures of the same units, on the filtered recording."""
    made = create_sorting_analyzer(
        long_units.sortings["a"],
        long_units.traces.band(BAND),
        sparse=False,
        peak_mode="extremum",
        job_kwargs={"progress_bar": False},
    )
    made.compute("random_spikes", method="all")
    made.compute("templates", ms_before=1.0, ms_after=1.5, progress_bar=False)
    made.compute("noise_levels", progress_bar=False)
    made.compute("spike_amplitudes", progress_bar=False)
    return made


def measured(name, units, **params):
    bounds = getattr(Criteria.model_validate({name: {"min": 0.0, **params}}), name)
    return list(quality.values(name, bounds, units).values())


def units_of(recording, trains, tmp_path, segments=1):
    """Return units with these spikes, all in the first segment where no segment is given."""
    spikes = [(sample, segment, unit) for unit, train in enumerate(trains) for segment, sample in train]
    vector = np.array(spikes, dtype=[("sample_index", "i8"), ("segment_index", "i8"), ("unit_index", "i8")])
    sorting = build(vector, list(range(len(trains))), recording.sampling_frequency, segments)
    return Units({"a": sorting}, Traces(recording, tmp_path, {}, LOG), ALL_SPIKES, 0)


def test_firing_rate(units):
    counts = [sum(len(train) for train in trains) for trains in trains_of(units.sortings["a"]).values()]
    assert measured("firing_rate", units) == pytest.approx([count / 9.0 for count in counts])


def test_contamination_of_true_neurons_is_low(units):
    assert max(measured("contamination", units, refractory_period=[0.3, 1.0])) < 0.05


def test_contamination_of_two_neurons_in_one_is_high(tmp_path):
    rng = np.random.default_rng(0)
    recording, _ = ground_truth(60.0, channels=2, neurons=2)
    train = [(0, sample) for sample in np.sort(rng.integers(0, 60 * 30_000, 3000))]
    assert measured("contamination", units_of(recording, [train], tmp_path), refractory_period=[0.3, 2.0])[0] > 0.5


@pytest.mark.parametrize("mode", ["extremum", "at_index", "peak_to_peak"])
def test_amplitude_is_that_of_spikeinterface(long_units, analyzer, mode):
    templates = analyzer.get_extension("templates").get_templates()
    sizes = {
        "extremum": np.abs(templates).max(axis=(1, 2)),
        "at_index": np.abs(templates[:, 30]).max(axis=1),
        "peak_to_peak": np.ptp(templates, axis=1).max(axis=1),
    }[mode]
    np.testing.assert_allclose(measured("amplitude", long_units, mode=mode), sizes, rtol=1e-4)


def test_amplitude_of_one_sign(long_units, analyzer):
    templates = analyzer.get_extension("templates").get_templates()
    assert measured("amplitude", long_units, peak_sign="neg") == pytest.approx(-templates.min(axis=(1, 2)), rel=1e-4)
    assert measured("amplitude", long_units, peak_sign="pos") == pytest.approx(templates.max(axis=(1, 2)), rel=1e-4)


@pytest.mark.parametrize("mode", ["extremum", "peak_to_peak"])
def test_snr_is_that_of_spikeinterface(long_units, analyzer, mode):
    expected = si_quality.compute_snrs(analyzer, method=mode)
    np.testing.assert_allclose(measured("SNR", long_units, peak_mode=mode), list(expected.values()), rtol=0.1)


@pytest.mark.parametrize("corrected", [True, False])
def test_sd_ratio_is_that_of_spikeinterface(long_units, analyzer, corrected):
    options = {"censored_period_ms": 4.0, "correct_for_drift": corrected, "correct_for_template_itself": corrected}
    # without this SpikeInterface takes other random stretches for the noise
    analyzer.recording.set_property("noise_level_std_scaled", long_units.traces.noise_sd(BAND))
    expected = si_quality.compute_sd_ratio(analyzer, **options)
    np.testing.assert_allclose(measured("sd_ratio", long_units, sd_ratio_kwargs=options), list(expected.values()), rtol=1e-3)


def test_isi_portion_skips_the_border_between_segments(tmp_path):
    recording, _ = ground_truth(1.0, 1.0, channels=2, neurons=2)
    trains = [[(0, 100), (0, 130), (0, 400), (1, 10), (1, 100)], [(0, 5), (1, 5)]]
    found = measured("ISI_portion", units_of(recording, trains, tmp_path, 2), range=[0.9, 3.0])
    assert found[0] == pytest.approx(2 / 3)
    assert math.isnan(found[1])


def test_what_cannot_be_computed_is_nan_and_fails(tmp_path):
    recording, _ = ground_truth(1.0, channels=2, neurons=2)
    units = units_of(recording, [[], [(0, 1000)], [(0, 3)]], tmp_path)
    criteria = Criteria.model_validate(
        {
            "contamination": {"refractory_period": [0.3, 1.0], "max": 1.0},
            "amplitude": {"min": 0.0},
            "SNR": {"min": 0.0},
            "sd_ratio": {"max": 100.0},
            "ISI_portion": {"range": [0.0, 10.0], "min": 0.0},
        }
    )
    failed = [set(quality.failures(criteria, numbers)) for numbers in quality.measure(criteria, units).values()]
    without_waveform = {"contamination", "amplitude", "SNR", "sd_ratio", "ISI_portion"}
    assert failed == [without_waveform, {"contamination", "sd_ratio", "ISI_portion"}, without_waveform]
    assert quality.explain("SNR", criteria.SNR, math.nan) == "SNR can't be computed"


def test_a_silent_channel_has_no_snr(tmp_path):
    _, sorting = ground_truth(1.0, channels=2, neurons=2)
    silent = NumpyRecording([np.zeros((30_000, 2), np.int16)], 30_000.0)
    units = Units({"a": sorting}, Traces(silent, tmp_path, {}, LOG), ALL_SPIKES, 0)
    assert np.isnan(measured("SNR", units)).all()
    assert np.isnan(measured("sd_ratio", units)).all()


def test_no_units(units):
    nothing = Units({"a": keep(units.sortings["a"], [])}, units.traces, ALL_SPIKES, 0)
    for name, params in {"contamination": {"refractory_period": [0.3, 1.0]}, "ISI_portion": {"range": [1, 2]}}.items():
        assert measured(name, nothing, **params) == []
    for name in ("firing_rate", "amplitude", "SNR", "sd_ratio"):
        assert measured(name, nothing) == []


@pytest.mark.parametrize(
    ("value", "accepted"), [(0.9, False), (1.0, True), (1.5, True), (2.0, True), (2.1, False), (math.nan, False)]
)
def test_both_bounds_are_included(value, accepted):
    assert quality.FiringRate(min=1.0, max=2.0).accept(value) is accepted


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"firing_rate": {}}, "give 'min', 'max' or both"),
        ({"firing_rate": {"min": 2, "max": 1}}, "can't exceed"),
        ({"contamination": {"refractory_period": [1.0, 1.0], "max": 0.1}}, "must be longer"),
        ({"ISI_portion": {"range": [2.0, 1.0], "max": 0.1}}, "from the shorter to the longer"),
        ({"snr": {"min": 1}}, "Extra inputs"),
    ],
)
def test_criteria_that_make_no_sense_are_refused(criteria, message):
    with pytest.raises(ValidationError, match=message):
        Criteria.model_validate(criteria)
