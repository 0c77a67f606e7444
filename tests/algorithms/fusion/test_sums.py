import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms.fusion.candidates import prepare, sums_among
from lussac.algorithms.fusion.sums import Sum, confirmed, left_by_two, shadows, sums_of_two
from lussac.algorithms.fusion.trains import Flat

LENGTH, REACH = 20, 6
few = settings(max_examples=15, deadline=None)


def shape(width, place, seed):
    """A smooth waveform on four channels, largest at one of them."""
    time = np.arange(-7, LENGTH - 7)[:, None]
    channels = np.exp(-((np.arange(4) - place) ** 2) / (0.5 + 0.2 * seed))
    return (30 * -np.exp(-(time**2) / width) * channels).astype(np.float32)


def shifted(waveform, lag):
    out = np.zeros_like(waveform)
    if lag >= 0:
        out[lag:] = waveform[: LENGTH - lag]
    else:
        out[:lag] = waveform[-lag:]
    return out


def found(units, counts, parts=None, most=0.06):
    templates = np.stack(units)
    channels = np.tile(np.arange(4), (len(units), 1))
    whole = np.arange(len(units)) if parts is None else np.array(parts, np.int64)
    return sums_of_two(templates, channels, np.array(counts), whole, REACH, most)


@few
@given(st.integers(-5, 5), st.floats(0.85, 1.15), st.floats(2, 6))
def test_a_sum_is_found_with_its_parts_and_lags(lag, amplitude, width):
    a, b = shape(width, 1, 1), shape(width + 5, 2, 2)
    both = a + amplitude * shifted(b, lag)
    (one,) = found([a, b, both], [900, 800, 40])
    assert one.unit == 2
    where = dict(zip(one.parts, one.lags, strict=True))
    assert set(where) == {0, 1}
    assert abs(where[0]) <= 1
    assert abs(where[1] - lag) <= 1


def test_two_others_leave_nothing_of_a_sum_but_most_of_a_neuron():
    a, b = shape(4, 1, 1), shape(9, 2, 2)
    units = np.stack([a, b, a + shifted(b, 3), -shape(5, 1, 1)])
    rest = left_by_two(units, np.tile(np.arange(4), (4, 1)), np.array([900, 800, 40, 700]), REACH)
    assert rest[2] < 0.03
    assert rest[[0, 1, 3]].tolist() == [1, 1, 1]


def test_a_unit_of_its_own_is_no_sum():
    assert found([shape(4, 0, 1), shape(9, 3, 1), -shape(5, 1, 1)], [900, 800, 40]) == []


def test_a_part_of_which_hardly_anything_shows_makes_no_sum():
    a, b = shape(4, 1, 1), shape(9, 2, 2)
    (one,) = found([a, b, a + b], [900, 800, 40])
    assert one.unit == 2
    assert found([a, 0.1 * b, a + 0.1 * b], [900, 800, 40]) == []


def test_a_louder_unit_is_no_sum():
    assert found([shape(4, 1, 1), shape(9, 2, 1), 1.5 * shape(4, 1, 1)], [900, 800, 40]) == []


@pytest.mark.parametrize(("counts", "parts"), [([30, 800, 40], None), ([900, 800, 40], [0]), ([900, 800, 40], [])])
def test_parts_must_be_units_with_more_spikes(counts, parts):
    a, b = shape(4, 1, 1), shape(9, 2, 2)
    assert found([a, b, a + shifted(b, 3)], counts, parts) == []


def test_parts_far_away_are_not_tried():
    a, b, c = (np.zeros((LENGTH, 8), np.float32) for _ in range(3))
    a[:, :2], b[:, 6:], c[:, :2] = shape(4, 0, 1)[:, :2], shape(4, 3, 1)[:, 2:], shape(9, 1, 1)[:, :2]
    channels = np.array([[0, 1], [6, 7], [0, 1]])
    templates = np.stack([a[:, :2], b[:, 6:], c[:, :2]])
    assert sums_of_two(templates, channels, np.array([900, 800, 40]), np.arange(3), REACH, 0.5) == []


def test_a_unit_that_fires_only_with_a_louder_one_is_its_shadow():
    trains = Flat.of([np.arange(0, 1000, 10), np.arange(0, 500, 10), np.arange(0, 1000, 10), np.arange(5, 900, 10)])
    counts = np.array([[0, 50, 0, 0], [45, 0, 0, 0], [79, 0, 0, 0], [0, 0, 0, 0]], np.int32)
    energies = np.array([9.0, 2.0, 3.0, 1.0], np.float32)
    assert shadows(trains, energies, counts, 0.8).tolist() == [False, True, False, False]
    assert shadows(trains, energies[::-1].copy(), counts, 0.8).tolist() == [False, False, False, False]


def test_no_units():
    assert sums_of_two(np.zeros((0, LENGTH, 4), np.float32), np.zeros((0, 4), np.int64), np.zeros(0), np.arange(0), 3, 0.1) == []


def test_a_sum_proposes_its_spikes_to_both_parts(make, world):
    rng = np.random.default_rng(8)
    first = np.sort(rng.choice(np.arange(100, 39_000, 40), 200, replace=False))
    together = first[::4]
    second = np.sort(np.concatenate([together + 5, rng.choice(np.arange(120, 39_000, 40), 120, replace=False)]))
    second = second[np.concatenate([[True], np.diff(second) > 30])]
    world = make(world.waveforms, [first, second])
    with_second = np.array([sample for sample in together if sample + 5 in set(second.tolist())])
    alone = [np.setdiff1d(first, with_second), np.setdiff1d(second, with_second + 5)]
    unresolved = prepare(world.source, world.chunks, [*alone, with_second], [0, 0, 0], world.settings)
    assert unresolved.origins.tolist() == [0, 1, 2]
    trains, analyses = [*alone, with_second, first, second], [0, 0, 0, 1, 1]
    candidates = prepare(world.source, world.chunks, trains, analyses, world.settings)
    assert candidates.origins.tolist() == [0, 1, 3, 4, 2, 2]
    assert candidates.chosen.sum() == 2
    offsets = [int(np.median(candidates.trains[unit] - with_second)) for unit in (4, 5)]
    assert sorted(offsets) == pytest.approx([0, 5], abs=1)


def test_a_sum_that_another_one_explains_is_found_once_that_is_gone(make, world, monkeypatch):
    first = np.arange(200, 39_500, 50)
    early, late, apart = first[::12], first[5::12][:40], first[2::4] + 25
    second = np.sort(np.concatenate([early, late + 3, apart]))
    world = make(world.waveforms, [first, second])
    trains = [np.setdiff1d(first, np.union1d(early, late)), apart, early, late, first, second]
    asked = []

    def among(units, chosen, *rest):
        asked.append((set(units.tolist()), set(chosen.tolist())))
        return sums_among(units, chosen, *rest)

    monkeypatch.setattr("lussac.algorithms.fusion.candidates.sums_among", among)
    candidates = prepare(world.source, world.chunks, trains, [0, 0, 0, 0, 1, 1], world.settings)
    assert candidates.origins.tolist() == [0, 1, 4, 5, 2, 2, 3, 3]
    assert candidates.chosen.sum() == 2
    assert len(asked) > 1
    assert not asked[-1][0] & {2, 3}


SPIKES = np.arange(100, 6100, 100)


def resolved(*found_by):
    """Tell whether a sum is confirmed where analyses have found its parts at these of its spikes: (analysis, part, which)."""
    trains = Flat.of([SPIKES, *(SPIKES[which] + 3 for _, _, which in found_by)])
    analyses = np.array([0, *(analysis for analysis, _, _ in found_by)])
    kinds = np.array([0, *(part for _, part, _ in found_by)])
    looks = np.eye(3) + 0.5 * (1 - np.eye(3))
    one = Sum(0, (1, 2), (3, 3))
    return confirmed(one, trains, analyses, looks[kinds][:, kinds], 0.9, 2, 0.3, 0.1)


@pytest.mark.parametrize(
    ("found_by", "expected"),
    [
        ([(1, 1, slice(0, 20)), (2, 2, slice(20, 40))], True),
        ([(1, 1, slice(0, 20)), (2, 2, slice(20, 37))], False),
        ([(1, 1, slice(0, 20)), (1, 2, slice(14, 20))], True),
        ([(1, 1, slice(0, 20)), (1, 2, slice(18, 25))], False),
        ([(1, 1, slice(0, 20)), (2, 2, slice(14, 20))], False),
        ([(1, 1, slice(0, 60)), (1, 2, slice(0, 5))], False),
    ],
    ids=["often", "not often", "both at once", "at once by chance", "never at once", "rarely"],
)
def test_a_sum_is_confirmed_where_its_parts_are_found(found_by, expected):
    assert resolved(*found_by) is expected
