"""A small recording whose truth is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source, cut

RATE = 10_000.0
CHANNELS = 4
SECONDS = 4
BEFORE, AFTER = 7, 13


def waveforms(seed: int = 1, size: float = 12.0) -> NDArray[np.float32]:
    """Three waveforms (units, samples, channels); the first two lie on the same channels."""
    time = np.arange(-BEFORE, AFTER)[:, None]
    shapes = [
        -np.exp(-(time**2) / 4.0),
        -np.exp(-(time**2) / 4.0),
        -np.exp(-(time**2) / 9.0) + 0.5 * np.exp(-((time - 5) ** 2) / 8.0),
    ]
    places = [[1.0, 0.8, 0.1, 0.0], [0.8, 0.1, 1.0, 0.0], [0.0, 0.1, 0.5, 1.0]]
    return (size * np.stack([shape * np.array(place) for shape, place in zip(shapes, places, strict=True)])).astype(np.float32)


def spread_trains(counts: tuple[int, ...], seed: int, length: int) -> list[NDArray[np.int64]]:
    """Random trains without two spikes of one unit within 3 ms."""
    rng = np.random.default_rng(seed)
    trains = []
    for count in counts:
        train = np.sort(rng.choice(np.arange(60, length - 60), count, replace=False))
        trains.append(train[np.concatenate([[True], np.diff(train) > 30])])
    return trains


@dataclass(frozen=True)
class World:
    traces: NDArray[np.float32]
    waveforms: NDArray[np.float32]
    trains: list[NDArray[np.int64]]
    source: Source
    chunks: tuple[Chunk, ...]
    settings: Settings


def source_of(traces: NDArray[np.float32]) -> Source:
    traces.flags.writeable = False

    def read(start: int, stop: int) -> NDArray[np.float32]:
        out = np.zeros((stop - start, traces.shape[1]), np.float32, order="F")
        low, high = max(start, 0), min(stop, len(traces))
        out[low - start : high - start] = traces[low:high]
        return out

    return Source(read, ((0, len(traces)),), traces.shape[1], RATE)


def build(
    waveform: NDArray[np.float32], trains: list[NDArray[np.int64]], seed: int = 0, length: int = int(SECONDS * RATE)
) -> World:
    traces = np.random.default_rng(seed).standard_normal((length, CHANNELS)).astype(np.float32)
    for unit, train in enumerate(trains):
        for sample in train:
            traces[sample - BEFORE : sample + AFTER] += waveform[unit]
    source = source_of(traces)
    settings = Settings(before=0.7, after=1.3, channels=4, min_spikes=10, block=2.0, max_shift=0.4, unit_cost=5.0)
    chunks = cut(source, 10_000, int(settings.block * RATE), settings.max_blocks)
    for train in trains:
        train.flags.writeable = False
    return World(traces, waveform, trains, source, chunks, settings)


@pytest.fixture(scope="session")
def make() -> Callable[..., World]:
    return build


@pytest.fixture(scope="session")
def world() -> World:
    return build(waveforms(), spread_trains((60, 50, 40), 3, int(SECONDS * RATE)))
