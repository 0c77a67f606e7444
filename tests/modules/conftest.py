"""What modules are run with in the tests: real recordings and sortings, small ones."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import probeinterface
import pytest
from numpy.typing import ArrayLike
from spikeinterface.core import BaseRecording, BaseSorting, NumpyRecording

from lussac.algorithms.timeline import Timeline
from lussac.modules.base import Context
from lussac.sortings import from_trains
from lussac.traces import Traces
from lussac.units import Selector, UnitId

FS = 30_000.0
MakeContext = Callable[..., Context]


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """Return a function that gives the context of a module for a recording."""

    def make(recording: BaseRecording, *, n_jobs: int = 1, seed: int = 0) -> Context:
        folder = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        log, jobs = logging.getLogger("lussac"), {"n_jobs": n_jobs, "chunk_duration": "1s", "progress_bar": False}
        return Context(
            recording=recording,
            source=recording,
            traces=Traces(recording, folder, jobs, log),
            selector=Selector.parse("all"),
            folder=folder,
            base=tmp_path,
            seed=seed,
            jobs=jobs,
            log=log,
        )

    return make


def silent_recording(*seconds: float, channels: int = 4, noise: float = 0.0) -> BaseRecording:
    """Return a recording without neurons, a segment for each duration."""
    rng = np.random.default_rng(0)
    shapes = [(round(duration * FS), channels) for duration in seconds]
    traces = [rng.normal(0.0, noise, shape).astype(np.float32) if noise else np.zeros(shape, np.float32) for shape in shapes]
    recording = NumpyRecording(traces, FS)
    probe = probeinterface.generate_linear_probe(channels, ypitch=20)
    probe.set_device_channel_indices(np.arange(channels))
    recording.set_probe(probe)
    return recording


def sorting_of(units: dict[UnitId, ArrayLike], durations: Sequence[int] = (30_000 * 3600,)) -> BaseSorting:
    """Return a sorting of trains given as positions on the timeline."""
    trains = {unit: np.sort(np.asarray(train, np.int64)) for unit, train in units.items()}
    return from_trains(trains, Timeline(tuple(durations)), FS)


def poisson_train(rng: np.random.Generator, rate: float, seconds: float, refractory_ms: float = 2.0) -> np.ndarray:
    """Return the samples of a neuron that fires at random after its refractory period."""
    mean = FS / rate - refractory_ms * FS / 1000
    times = np.cumsum(refractory_ms * FS / 1000 + rng.exponential(mean, int(2 * rate * seconds) + 10))
    return times[times < seconds * FS].astype(np.int64)
