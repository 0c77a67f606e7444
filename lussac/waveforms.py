"""Waveforms of single spikes, written while the recording is read: however many, they never are in memory together."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseRecording

from lussac.algorithms.windows import gather_windows
from lussac.bandpass import read, scaling, stretches
from lussac.spikes import Spikes


def save_waveforms(
    file: Path, recording: BaseRecording, spikes: Spikes, window: tuple[int, int], channels: NDArray[np.int64]
) -> None:
    """Write the waveforms of spikes as a `.npy` file: float32, in uV, spikes x samples x channels.

    Parameters
    ----------
    file
        Written or overwritten.
    recording, spikes
        Where they are taken; beyond the border of a segment its last sample goes on.
    window
        Samples before the spike, and from the spike on.
    channels
        Units x channels to take, -1 where a unit has fewer: there the waveforms are zero.
    """
    before, width = window[0], sum(window)
    gains, offsets = scaling(recording)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(spikes.samples), width, channels.shape[1])}
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for segment, start, stop in stretches(recording):
            chosen = spikes.between(segment, start, stop)
            traces = read(recording, segment, start - before, stop + window[1])
            starts = spikes.samples[chosen] - start
            windows = gather_windows(traces, starts, width, channels[spikes.slots[chosen]], gains, offsets)
            stream.write(windows.astype("<f4", copy=False).tobytes())
