"""What is drawn of units, from their spikes and templates: small arrays, packed for the page."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lussac.algorithms.correlograms import auto_correlogram, cross_correlogram
from lussac.algorithms.timeline import Timeline, Train
from lussac.report.templates import Pictures
from lussac.units import UnitRef

BIN, REACH = 0.5, 50.0
"""Width of a bin and half of the width of a correlogram, in ms."""
ISI_BIN, ISI_LONGEST = 1.0, 100.0
"""Width of a bin and longest inter-spike interval that is shown, in ms."""
RATE_BINS = 120
NEIGHBOURS = 4
"""Units that each is compared with."""
MOST_AMPLITUDES = 200_000
"""Spikes whose amplitude the page holds, of all units together: keeps it small."""
STEP = 0.1
"""Resolution of waveforms and amplitudes, in uV."""

SEEN = ("near", "waveforms", "times", "amplitudes")
"""What only the traces show."""

Curves = dict[str, Any]


def packed(values: ArrayLike, dtype: str) -> str:
    """Return numbers as base64 of their little-endian bytes; what is out of the range of a whole number becomes its border."""
    array, kind = np.asarray(values), np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        array = np.clip(np.rint(array), limits.min, limits.max)
    return base64.b64encode(array.astype(kind).tobytes()).decode()


def of_trains(trains: Sequence[Train], timeline: Timeline, rate: float) -> Curves:
    """Return what spikes alone show of units.

    Parameters
    ----------
    trains
        Of each unit.
    timeline
        The segments of the recording.
    rate
        Sampling frequency in Hz.

    Returns
    -------
    For each unit the half of the auto-correlogram from lag 0 on, the histogram of inter-spike intervals (both counts, uint32)
    and the firing rate in Hz (float32) over the recording, whose segments lie one after the other without gaps.
    """
    return {
        "bin": bin_width(rate),
        "isi_bin": ISI_BIN,
        "auto": [packed(_auto(train, rate), "<u4") for train in trains],
        "intervals": [packed(_intervals(train, rate), "<u4") for train in trains],
        "rates": [packed(_rates(train, timeline, rate), "<f4") for train in trains],
    }


def of_pictures(refs: Sequence[UnitRef], pictures: Pictures, timeline: Timeline, rate: float, units: int) -> Curves:
    """Return what the traces show of some of the units that the page draws.

    Returns
    -------
    Lists with a value for each unit, under the names in `SEEN`: int16, in steps of `STEP` uV, but for the times, in s (float32).
    """
    places = [pictures.places[ref] for ref in refs]
    most = max(MOST_AMPLITUDES // max(units, 1), 1)
    shown = [_some(pictures.samples[place], pictures.amplitudes[place], most) for place in places]
    starts = np.cumsum([0, *timeline.durations[:-1]])
    return {
        "step": STEP,
        "before": pictures.before,
        "ms": 1e3 / rate,
        "near": [pictures.near[place].tolist() for place in places],
        "waveforms": [packed(pictures.waveforms[place] / STEP, "<i2") for place in places],
        "times": [packed((starts[samples[:, 0]] + samples[:, 1]) / rate, "<f4") for samples, _ in shown],
        "amplitudes": [packed(amplitudes / STEP, "<i2") for _, amplitudes in shown],
    }


def neighbours(trains: Mapping[UnitRef, Train], pictures: Pictures, rate: float) -> Curves:
    """Return for each unit those of its sorting that look most alike on the probe, with their cross-correlograms.

    Returns
    -------
    `near`: for each unit rows of [place of the other, cosine of their sizes on all channels, distance in um, place of the
    pair]. `counts`: for each pair, the smaller place first, the cross-correlogram: spikes of the second at lags from the first.
    """
    refs, places = list(trains), [pictures.places[ref] for ref in trains]
    sizes, spots = pictures.sizes[places].astype(np.float64), spots_of(pictures)[places]
    unit = sizes / np.maximum(np.linalg.norm(sizes, axis=1, keepdims=True), np.finfo(float).tiny)
    names = np.array([ref.sorting for ref in refs])
    pairs: dict[tuple[int, int], int] = {}
    near: list[list[list[float]]] = []
    for place in range(len(refs)):
        likeness = unit @ unit[place]
        others = [other for other in np.argsort(-likeness, kind="stable").tolist() if other != place]
        chosen = [other for other in others if names[other] == names[place]][:NEIGHBOURS]
        numbers = [pairs.setdefault((min(place, other), max(place, other)), len(pairs)) for other in chosen]
        away = np.linalg.norm(spots[chosen] - spots[place], axis=1).tolist()
        near.append(
            [
                [other, round(float(likeness[other]), 3), round(distance, 1), number]
                for other, distance, number in zip(chosen, away, numbers, strict=True)
            ]
        )
    return {"near": near, "counts": [packed(cross(trains[refs[a]], trains[refs[b]], rate), "<u4") for a, b in pairs]}


def spots_of(pictures: Pictures) -> NDArray[np.float64]:
    """Return where units are: the mean place of the channels around the largest, by the squares of the sizes; units x 2, um."""
    weights = np.take_along_axis(pictures.sizes, pictures.near, axis=1).astype(np.float64) ** 2
    total = np.maximum(weights.sum(axis=1), np.finfo(float).tiny)
    return np.asarray(np.einsum("uc,ucd->ud", weights, pictures.positions[pictures.near]) / total[:, None])


def cross(a: Train, b: Train, rate: float) -> NDArray[np.int64]:
    """Return the cross-correlogram of two units, in spike pairs per bin."""
    return cross_correlogram(a, b, *_window(rate))


def bin_width(rate: float) -> float:
    """Return the width of a correlogram's bin in ms: a whole number of samples."""
    return _window(rate)[1] / rate * 1e3


def _auto(train: Train, rate: float) -> NDArray[np.int64]:
    counts = auto_correlogram(train, *_window(rate))
    return counts[len(counts) // 2 :]


def _intervals(train: Train, rate: float) -> NDArray[np.int64]:
    edges = np.arange(0.0, ISI_LONGEST + ISI_BIN, ISI_BIN)
    return np.histogram(np.diff(train) / rate * 1e3, edges)[0]


def _rates(train: Train, timeline: Timeline, rate: float) -> NDArray[np.float64]:
    if timeline.total == 0:
        return np.zeros(0)
    joined = Timeline(timeline.durations, gap=0).flatten(*timeline.restore(train))
    return np.histogram(joined, RATE_BINS, range=(0, timeline.total))[0] * (RATE_BINS * rate / timeline.total)


def _some(
    samples: NDArray[np.int64], amplitudes: NDArray[np.float32], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return at most so many spikes, evenly among those that there are."""
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), most)).round().astype(np.int64)
    return samples[chosen], amplitudes[chosen]


def _window(rate: float) -> tuple[int, int]:
    return round(REACH * 1e-3 * rate), max(round(BIN * 1e-3 * rate), 1)
