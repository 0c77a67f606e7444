"""Where traces come from: a recording that is read piece by piece, or some pieces of it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Traces = NDArray[np.float32]
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Source:
    """A band-passed recording on the timeline, in units of each channel's noise.

    Parameters
    ----------
    read
        Gives traces (samples, channels) float32 from a first to a last position (excluded); zeros outside of the segments.
        The array is the caller's to change; all is fastest where the samples of a channel lie side by side (Fortran order).
    segments
        First and last position (excluded) of every segment on the timeline, in order.
    channels
        Number of channels.
    sampling_frequency
        In Hz.
    threads
        How many chunks are worked on side by side, by others than the caller if more than one; no result depends on it.
    """

    read: Callable[[int, int], Traces]
    segments: tuple[tuple[int, int], ...]
    channels: int
    sampling_frequency: float
    threads: int = 1

    @property
    def total(self) -> int:
        """Number of samples, without the gaps between segments."""
        return sum(stop - start for start, stop in self.segments)

    def recorded(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return positions on the timeline as samples recorded before them: without the gaps between segments."""
        starts, stops = np.array(self.segments, np.int64).reshape(-1, 2).T
        before = np.concatenate([[0], np.cumsum(stops - starts)])
        segment = np.maximum(np.searchsorted(starts, positions, side="right") - 1, 0)
        return np.clip(before[segment] + positions - starts[segment], 0, before[segment + 1] - 1)

    def samples(self, milliseconds: float) -> int:
        """Return a time as a count of samples."""
        return round(milliseconds * 1e-3 * self.sampling_frequency)

    def in_order(self, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield what a function makes of each item, in their order; threads are at most one item each ahead.

        What is added up of it thus is added in the same order whatever the number of threads. One thread is the caller's: which
        kernel numba compiles first, and so the bytes that it caches, then depends on no clock.
        """
        if self.threads == 1:
            yield from map(work, items)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            ahead: deque[Future[Made]] = deque()
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) > self.threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()


def excerpt(source: Source, pieces: int, size: int) -> Source:
    """Return so many pieces of a recording, evenly spread; what lies beside them is still read.

    Parameters
    ----------
    source
        The recording.
    pieces, size
        How many, and their length in samples; a piece that lies in two segments is cut there.
    """
    firsts = [(source.total * (2 * piece + 1) // pieces - size) // 2 for piece in range(pieces)]
    kept, before = [], 0
    for start, stop in source.segments:
        for first in firsts:
            low, high = max(start, start + first - before), min(stop, start + first + size - before)
            if low < high:
                kept.append((low, high))
        before += stop - start
    return replace(source, segments=tuple(kept))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a segment, and the block of time that it belongs to."""

    start: int
    stop: int
    block: int


def cut(source: Source, chunk: int, block: int, max_blocks: int) -> tuple[Chunk, ...]:
    """Cut the segments into chunks of at most `chunk` samples; no chunk reaches into two blocks.

    Parameters
    ----------
    source
        Gives the segments.
    chunk
        Largest length of a chunk, in samples.
    block
        Wanted length of a block (the time within which a template is taken as constant), in samples.
    max_blocks
        Blocks get longer where there would be more than this many, so that memory does not grow with the recording.
    """
    blocks = int(np.clip(source.total // max(block, 1), 1, max_blocks))
    edges = [source.total * index // blocks for index in range(1, blocks + 1)]
    return tuple(_chunks(source.segments, edges, chunk))


def _chunks(segments: tuple[tuple[int, int], ...], edges: list[int], size: int) -> Iterator[Chunk]:
    passed, block = 0, 0
    for first, last in segments:
        position = first
        while position < last:
            while passed >= edges[block]:
                block += 1
            stop = min(position + size, last, position + edges[block] - passed)
            yield Chunk(position, stop, block)
            passed += stop - position
            position = stop


def blocks_of(samples: NDArray[np.int64], chunks: Sequence[Chunk]) -> NDArray[np.int64]:
    """Block of time that each position lies in; positions before the first chunk count to its block."""
    starts = np.array([chunk.start for chunk in chunks], np.int64)
    blocks = np.array([chunk.block for chunk in chunks], np.int64)
    return blocks[np.maximum(np.searchsorted(starts, samples, side="right") - 1, 0)]
