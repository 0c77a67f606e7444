import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms.fusion.evidence import amplitudes, rewards, shrink
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.waveforms import Waveforms, measure, similarities, similarities_in_time, subset

few = settings(max_examples=25, deadline=None)


def measured(world, trains, **changes):
    options = {"before": 7, "after": 13, "max_shift": 4, "channels": 4, "limit": 1000} | changes
    return measure(world.source, world.chunks, Flat.of(trains), [np.arange(len(train)) for train in trains], **options)


def test_mean_waveforms_are_those_of_brute_force(world):
    waveforms, shifts = measured(world, world.trains)
    assert shifts.tolist() == [0, 0, 0]
    for unit, train in enumerate(world.trains):
        for half in (0, 1):
            expected = np.mean([world.traces[sample - 7 : sample + 13] for sample in train[half::2]], axis=0)
            assert waveforms.halves[unit, half] == pytest.approx(expected[:, waveforms.channels[unit]], abs=1e-4)
        assert waveforms.counts[unit].tolist() == [len(train[::2]), len(train[1::2])]
    energy = (waveforms.means**2).sum(axis=1)
    assert (np.diff(energy, axis=1) <= 1e-3).all()


def test_a_mean_is_taken_of_the_spikes_that_may_be_used_each_in_its_half(world):
    train = world.trains[0]
    usable = np.array([1, 2, 5, 6, 9])
    trains = Flat.of([train])
    waveforms, _ = measure(world.source, world.chunks, trains, [usable], before=7, after=13, max_shift=0, channels=4, limit=4)
    assert waveforms.counts.tolist() == [[2, 2]]
    for half, spikes in enumerate(([2, 6], [1, 5])):
        expected = np.mean([world.traces[sample - 7 : sample + 13] for sample in train[spikes]], axis=0)
        assert waveforms.halves[0, half] == pytest.approx(expected[:, waveforms.channels[0]], abs=1e-4)


def test_trains_are_shifted_onto_the_largest_deflection(world):
    _, shifts = measured(world, [world.trains[0] + 3, world.trains[1] - 2])
    assert shifts.tolist() == [-3, 2]


def test_batches_change_nothing(world):
    whole, shifts = measured(world, world.trains)
    parts, part_shifts = measured(world, world.trains, batch_bytes=1)
    assert np.array_equal(whole.halves, parts.halves)
    assert shifts.tolist() == part_shifts.tolist()


def test_a_subset_is_spread_evenly():
    train = np.arange(100)
    assert subset(train, 100) is train
    assert subset(train, 4).tolist() == [0, 25, 50, 75]


def test_spikes_at_the_border_are_left_out(world):
    waveforms, _ = measured(world, [np.array([0, 500, 900, len(world.traces) - 1])])
    assert waveforms.counts.sum() == 4  # the recording goes on with zeros beyond its borders


@few
@given(st.integers(0, 10_000))
def test_similarities_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(3, 8, 2)).astype(np.float32)
    channels = np.array([[0, 1], [1, 2], [3, 4]])
    for array in (means, channels):
        array.flags.writeable = False
    cosines, lags = similarities(means, channels, means, channels, 2)
    wide = np.zeros((3, 8 + 8, 5))
    for unit in range(3):
        wide[unit, 4:12, channels[unit]] = means[unit].T
    for u in range(3):
        for v in range(3):
            by_lag = {lag: (wide[u] * np.roll(wide[v], -lag, axis=0)).sum() for lag in range(-2, 3)}
            best = max(by_lag.values()) / np.sqrt((means[u] ** 2).sum() * (means[v] ** 2).sum())
            reachable = channels[u, 0] in channels[v] or channels[v, 0] in channels[u]
            assert cosines[u, v] == pytest.approx(max(best, 0) if reachable else 0, abs=1e-5)
            if reachable and best > 0:
                assert -lags[u, v] == max(by_lag, key=lambda lag: by_lag[lag])


def test_shrinkage_drops_channels_of_noise_and_keeps_signal():
    means = np.random.default_rng(0).normal(0, 0.1, (1, 50, 2)).astype(np.float32)
    means[0, :, 0] += 5
    shrunk = shrink(means, np.array([100]))
    assert shrunk[0, :, 0] == pytest.approx(means[0, :, 0], rel=1e-2)
    assert np.abs(shrunk[0, :, 1]).max() < np.abs(means[0, :, 1]).max() / 2


def test_amplitudes_are_one_on_average_and_zero_without_spikes(world):
    trains = [world.trains[0], world.trains[1]]
    waveforms, _ = measured(world, trains)
    found, energies = amplitudes(world.source, world.chunks, Flat.of(trains), waveforms)
    assert np.median(found) == pytest.approx(1, abs=0.05)
    true = (world.waveforms[:2] ** 2).sum(axis=(1, 2))
    assert energies == pytest.approx(true, rel=0.15)
    wrong = np.sort(np.concatenate([world.trains[0], [9001, 17003]]))
    waveforms, _ = measured(world, [wrong])
    found, _ = amplitudes(world.source, world.chunks, Flat.of([wrong]), waveforms)
    assert np.abs(found[np.isin(wrong, [9001, 17003])]).max() < 0.6


def test_chunks_without_spikes_are_not_read(world):
    train = world.trains[0][world.trains[0] < 10_000]
    waveforms, _ = measured(world, [train])
    found, _ = amplitudes(world.source, world.chunks, Flat.of([train]), waveforms)
    assert len(found) == len(train)


def test_a_unit_of_two_neurons_earns_less_than_each(world):
    merged = np.sort(np.concatenate(world.trains[:2]))
    trains = [world.trains[0], world.trains[1], merged]
    waveforms, _ = measured(world, trains)
    flat = Flat.of(trains)
    found, energies = amplitudes(world.source, world.chunks, flat, waveforms)
    means = shrink(waveforms.means, waveforms.counts.sum(axis=1))
    cosines, _ = similarities(means, waveforms.channels, means, waveforms.channels, 1)
    reward = rewards(flat, found, energies, cosines, min_cosine=0.5, window=4)
    mean = [reward[flat.slice(u)].mean() for u in range(3)]
    assert mean[2] < min(mean[:2]) - 0.1


def test_waveforms_without_spikes_are_zero():
    empty = Waveforms(np.zeros((1, 2, 3, 1), np.float32), np.zeros((1, 1), np.int64), np.zeros((1, 2), np.int64), 1)
    assert (empty.means == 0).all()


def test_a_unit_is_compared_as_it_looks_when_the_other_fires():
    rng = np.random.default_rng(0)
    early, late = rng.normal(size=(2, 20, 4)).astype(np.float32)
    templates, channels = np.stack([early, late])[:, None], np.arange(4)[None]
    others, other_channels = np.stack([early, late, late]), np.tile(np.arange(4), (3, 1))
    shares = np.array([[1, 0, 0.5], [0, 1, 0.5]], np.float32)
    cosines, lags = similarities_in_time(templates, channels, others, other_channels, shares, 2)
    assert cosines[0, :2] == pytest.approx([1, 1], abs=1e-5)
    assert 0.5 < cosines[0, 2] < 0.9
    assert lags[0, :2].tolist() == [0, 0]
    apart, _ = similarities_in_time(templates, channels, others, other_channels + 4, shares, 2)
    assert not apart.any()
    constant, _ = similarities_in_time(np.stack([early, early])[:, None], channels, others, other_channels, shares, 2)
    assert constant == pytest.approx(similarities(early[None], channels, others, other_channels, 2)[0], abs=1e-5)
