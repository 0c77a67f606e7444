import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lussac.algorithms.templates import aligned_peak, template_difference

small = st.integers(-8, 8)
templates = arrays(np.float32, (6, 2), elements=small)
waveforms = arrays(np.float32, st.integers(1, 12), elements=st.floats(-9, 9, width=32), unique=True)


@given(templates, templates, st.integers(0, 3))
def test_template_difference_is_the_best_shift_of_zero_padded_templates(a, b, max_shift):
    def at(template, sample):
        return template[sample] if 0 <= sample < len(template) else np.zeros(2)

    total = np.abs(a).sum() + np.abs(b).sum()
    candidates = [
        sum(np.abs(at(a, sample) - at(b, sample - shift)).sum() for sample in range(-10, 20))
        for shift in range(-max_shift, max_shift + 1)
    ]
    expected = min(candidates) / total if total else 0.0
    found = template_difference(a, b, np.arange(2), max_shift)
    assert found == pytest.approx(expected)
    assert 0.0 <= found <= 1.0
    assert found == template_difference(b, a, np.arange(2), max_shift)


@given(waveforms, st.floats(0, 1), st.integers(0, 5))
def test_aligned_peak_reaches_the_threshold_and_is_the_highest_near_it(waveform, threshold, check_next):
    size = np.abs(waveform)
    peak = aligned_peak(waveform, threshold, check_next)
    assert size[peak] >= threshold * size.max()
    first = aligned_peak(waveform, threshold, 0)
    assert first <= peak <= first + check_next
    assert size[peak] == size[first : first + check_next + 1].max()
