import numpy as np

from lussac.algorithms.fusion.fitting import Proposals, Rules
from lussac.algorithms.fusion.matching import Model
from lussac.algorithms.fusion.pursuit import _take_both, stir

RULES = Rules(10.0, 1, 4, 2)


def library_of(world, channels):
    full = [np.full(2, value, np.float32) for value in (400.0, 0.5, 1.5)]
    templates = np.ascontiguousarray(world.waveforms[None, :2, :, : channels.shape[1]])
    return Model(templates, channels, 7, *full).library(0)


def test_a_spike_on_other_channels_is_not_looked_at_again(world):
    tried = Proposals.at(np.array([20, 24]), np.array([0, 1]))
    nothing = np.zeros(2, np.float32), np.zeros(2, np.float32), tried.shifts.copy()
    tried.amplitudes[0] = 1
    stir(*nothing, tried, library_of(world, np.array([[0, 1], [2, 3]])))
    assert tried.stirred.tolist() == [True, False]
    stir(*nothing, tried, library_of(world, np.array([[0, 1], [1, 0]])))
    assert tried.stirred.tolist() == [True, True]


def test_two_spikes_that_explain_too_little_are_put_back(world):
    library = library_of(world, np.tile(np.arange(4), (2, 1)))
    traces = np.zeros((100, 4), np.float32)
    traces[40:60] += world.waveforms[0]
    traces[45:65] += world.waveforms[1]
    before = traces.copy()
    tried = Proposals.at(np.array([40, 45]), np.array([0, 1]))
    assert not _take_both(traces, 0, 1, 1e9, tried, library, RULES)
    assert tried.amplitudes.tolist() == [0, 0]
    assert np.allclose(traces, before, atol=1e-4)
    assert _take_both(traces, 0, 1, 10.0, tried, library, RULES)
    assert tried.amplitudes.min() > 0.9
