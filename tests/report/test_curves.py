"""What is drawn of units: packed numbers, on one axis of time for all segments, and neighbours that are found both ways."""

import base64

import numpy as np
import pytest

from lussac.algorithms.timeline import Timeline
from lussac.report import curves
from lussac.report.templates import Pictures
from lussac.units import UnitRef

RATE = 30_000.0
LINE = Timeline((30_000, 60_000))


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def pictures(sizes, samples, amplitudes):
    units, channels = sizes.shape
    return Pictures(
        places={UnitRef("s", unit): unit for unit in range(units)},
        sizes=sizes.astype(np.float32),
        near=np.argsort(-sizes, axis=1)[:, :2],
        waveforms=np.full((units, 2, 5), 12.34, np.float32),
        before=2,
        samples=samples,
        amplitudes=amplitudes,
        noise=np.ones(channels, np.float32),
        positions=np.array([[0.0, 20.0 * channel] for channel in range(channels)]),
        channels=tuple(str(channel) for channel in range(channels)),
        bad_channels=(),
    )


def test_numbers_out_of_range_become_the_border():
    assert numbers(curves.packed([-40_000, 1.6, 40_000], "<i2"), "<i2").tolist() == [-32_768, 2, 32_767]
    assert numbers(curves.packed([0.25, 1e9], "<f4"), "<f4").tolist() == [0.25, 1e9]
    assert curves.packed([], "<u4") == ""


def test_segments_lie_one_after_the_other_on_the_axis_of_time():
    samples = np.array([[0, 0], [0, 29_999], [1, 0], [1, 30_000]])
    seen = pictures(np.array([[5.0, 1.0, 0.0]]), [samples], [np.array([-1.0, 2.0, 3.05, -4.0], np.float32)])
    made = curves.of_pictures([UnitRef("s", 0)], seen, LINE, RATE, 1)
    assert numbers(made["times"][0], "<f4") == pytest.approx([0.0, 29_999 / RATE, 1.0, 2.0])
    assert numbers(made["amplitudes"][0], "<i2") * made["step"] == pytest.approx([-1.0, 2.0, 3.0, -4.0], abs=0.051)
    assert made["near"] == [[0, 1]]
    rates = numbers(curves.of_trains([LINE.flatten([0, 1, 1], [100, 50, 59_999])], LINE, RATE)["rates"][0], "<f4")
    assert np.flatnonzero(rates).tolist() == [0, 40, 119]
    assert rates.sum() * 3.0 / len(rates) == pytest.approx(3)  # spikes, of 3 s


def test_the_page_holds_fewer_spikes_of_each_unit_the_more_units_it_draws(monkeypatch):
    monkeypatch.setattr(curves, "MOST_AMPLITUDES", 30)
    samples = np.column_stack([np.zeros(100, np.int64), np.arange(100) * 10])
    seen = pictures(np.eye(3) + 1, [samples] * 3, [np.arange(100, dtype=np.float32)] * 3)
    made = curves.of_pictures([UnitRef("s", unit) for unit in range(3)], seen, LINE, RATE, 3)
    kept = numbers(made["amplitudes"][0], "<i2") * made["step"]
    assert len(kept) == 10
    assert kept[[0, -1]] == pytest.approx([0, 99])  # evenly, from the first to the last


def test_neighbours_are_those_that_look_most_alike_and_share_a_correlogram():
    sizes = np.array([[9.0, 3.0, 0.0, 0.0], [8.0, 4.0, 0.0, 0.0], [0.0, 0.0, 5.0, 6.0]])
    trains = {UnitRef("s", unit): np.arange(1, 40) * 3000 + 300 * unit for unit in range(3)}
    found = curves.neighbours(trains, pictures(sizes, [], []), RATE)
    assert [len(rows) for rows in found["near"]] == [2, 2, 2]
    assert found["near"][0][0][0] == 1
    assert found["near"][1][0][0] == 0
    assert found["near"][0][0][3] == found["near"][1][0][3]  # one correlogram for the pair
    counts = numbers(found["counts"][found["near"][0][0][3]], "<u4")
    lags = (np.arange(len(counts)) - len(counts) // 2) * curves.bin_width(RATE)
    assert lags[counts.argmax()] == pytest.approx(10.0)  # the second fires 10 ms after the first
    place = curves.spots_of(pictures(sizes, [], []))[0]
    assert place == pytest.approx([0.0, 20 * 9 / (81 + 9)])


def test_units_of_another_sorting_are_no_neighbours():
    seen = pictures(np.ones((2, 2)), [], [])
    seen.places.clear()
    seen.places.update({UnitRef("a", 0): 0, UnitRef("b", 0): 1})
    found = curves.neighbours({ref: np.array([10, 500]) for ref in seen.places}, seen, RATE)
    assert found == {"near": [[], []], "counts": []}
