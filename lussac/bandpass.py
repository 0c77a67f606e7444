"""A recording that is filtered when it is read, and how its traces are read."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseRecording, BaseRecordingSegment
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from lussac.algorithms.templates import bandpass_margin, gaussian_bandpass
from lussac.algorithms.windows import scale_into

Band = tuple[float | None, float | None]
"""Low and high cutoff in Hz."""
UNFILTERED: Band = (None, None)
BLOCK = 1 << 12
"""Samples that are filtered at once, margins included: as many as stay in a processor's cache."""
CHUNK_BYTES = 1 << 23
"""Traces that are read at once."""


class BandpassRecording(BasePreprocessor):
    """A recording that is filtered when it is read.

    It is filtered in blocks that start at fixed places, so that a sample has the same value whatever stretch it is read in.
    """

    def __init__(self, recording: BaseRecording, band: Band) -> None:
        as_integers = recording.dtype == np.int16 and recording.has_scaleable_traces()
        super().__init__(recording, dtype="int16" if as_integers else "float32")
        if band[0] is not None and recording.has_scaleable_traces():
            self.set_channel_offsets(0.0)  # the filter takes constants away
        for segment in recording.segments:
            self.add_recording_segment(_Segment(segment, recording, len(self.segments), band, self.dtype))
        self._kwargs = {"recording": recording, "band": band}

    def write_segment(self, index: int, folder: Path, threads: int) -> Path:
        """Write the filtered traces of a segment, samples x channels, and return the file."""
        file = folder / f"traces{index}.raw"
        file.touch()
        segment = self.segments[index]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda number: segment.write_block(number, file), range(segment.count_blocks())))
        return file


class _Segment(BasePreprocessorSegment):
    def __init__(self, parent: BaseRecordingSegment, recording: BaseRecording, index: int, band: Band, dtype: np.dtype) -> None:
        super().__init__(parent)
        self._recording, self._index, self._band, self._dtype = recording, index, band, dtype
        self._margin = margin_of(recording, band)
        # a block and the zeros behind it, as long as a margin, are a power of two together: the fastest lengths of transforms
        self._step = max(BLOCK, 1 << (4 * self._margin).bit_length()) - 3 * self._margin

    def count_blocks(self) -> int:
        return -(-self.get_num_samples() // self._step)

    def block(self, number: int) -> NDArray[np.number]:
        """Return the filtered traces of one block, samples x channels."""
        start = number * self._step
        traces = read(self._recording, self._index, start - self._margin, start + self._step + self._margin)
        filtered = gaussian_bandpass(traces, self._recording.sampling_frequency, *self._band)
        filtered = filtered[self._margin : self._margin + min(self._step, self.get_num_samples() - start)]
        if self._dtype.kind == "i":
            limits = np.iinfo(self._dtype)
            np.rint(filtered, out=filtered)
            np.clip(filtered, limits.min, limits.max, out=filtered)
        return filtered.astype(self._dtype)

    def write_block(self, number: int, file: Path) -> None:
        block = self.block(number)
        with file.open("r+b") as stream:
            stream.seek(number * self._step * block.shape[1] * block.itemsize)
            stream.write(block.tobytes())

    def get_traces(
        self, start_frame: int | None, end_frame: int | None, channel_indices: NDArray[np.int64] | slice | None
    ) -> NDArray[np.number]:
        start = start_frame or 0
        stop = self.get_num_samples() if end_frame is None else end_frame
        first, last = start // self._step, -(-stop // self._step)
        blocks = [self.block(number) for number in range(first, max(last, first + 1))]
        traces = np.concatenate(blocks)[start - first * self._step : stop - first * self._step]
        return traces if channel_indices is None else traces[:, channel_indices]


def cutoffs(band: Band | None) -> Band:
    """Return a band in its one form: a low cutoff of 0 lets everything pass, as None does."""
    return (band[0] or None, band[1]) if band else UNFILTERED


def margin_of(recording: BaseRecording, band: Band) -> int:
    """Return how many samples on each side of a stretch are needed to filter it."""
    return bandpass_margin(recording.sampling_frequency, *band)


def scaling(recording: BaseRecording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gains and offsets to uV, per channel."""
    channels = recording.get_num_channels()
    if not recording.has_scaleable_traces():
        return np.ones(channels), np.zeros(channels)
    return np.asarray(recording.get_channel_gains(), float), np.asarray(recording.get_channel_offsets(), float)


def read(recording: BaseRecording, segment: int, start: int, stop: int) -> NDArray[np.number]:
    """Return raw traces, samples x channels, as a copy; beyond its borders the segment goes on with its last value."""
    duration = recording.get_num_samples(segment)
    inside = (min(max(start, 0), duration), min(max(stop, 0), duration))
    traces = recording.get_traces(segment_index=segment, start_frame=inside[0], end_frame=inside[1])
    padding = (inside[0] - start, stop - inside[1])
    if any(padding):
        return np.pad(traces, (padding, (0, 0)), mode="edge")
    return np.array(traces, order="C")


def read_scaled(recording: BaseRecording, segment: int, start: int, stop: int, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return raw traces, samples x channels, times a factor per channel; borders as for `read`.

    The samples of a channel lie side by side (Fortran order).
    """
    duration = recording.get_num_samples(segment)
    first, last = min(max(start, 0), duration), min(max(stop, 0), duration)
    scaled = np.empty((stop - start, len(scale)), np.float32, order="F")
    inside = scaled[first - start : last - start]
    scale_into(inside, np.asarray(recording.get_traces(segment_index=segment, start_frame=first, end_frame=last)), scale)
    scaled[: first - start], scaled[last - start :] = inside[:1], inside[-1:]
    return scaled


def stretches(recording: BaseRecording) -> Iterator[tuple[int, int, int]]:
    """Yield segment, start and stop of stretches that fit into memory."""
    size = max(CHUNK_BYTES // (recording.dtype.itemsize * recording.get_num_channels()), BLOCK)
    for segment in range(recording.get_num_segments()):
        duration = recording.get_num_samples(segment)
        for start in range(0, duration, size):
            yield segment, start, min(start + size, duration)
