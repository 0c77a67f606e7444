"""Units that nobody can tell apart are one, and so are parts of a neuron that take turns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.matching import Model
from lussac.algorithms.fusion.meetings import meetings
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.splits import separation
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.turns import together_at_most
from lussac.algorithms.fusion.waveforms import similarities

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

LEAST_WEIGHT = 5.0
LEAST_SHARE = 0.01
HASTE = 2.0


@dataclass(frozen=True, slots=True)
class Contrast:
    """How two units differ.

    Parameters
    ----------
    unit, other
        The units.
    overall, local
        Distances of their mean waveforms, over all their spikes (less what chance may do where these are few) and where they are
        nearest in time; standard deviations of the noise.
    sizes
        Logarithms of the ratio of their sizes, likewise.
    change
        How far they go, each at its own pace, in the time between the spikes that are nearest: the larger of the two.
    norm
        Norm of the smaller waveform.
    together
        How often they are active at the same time at most, as a share of chance.
    resolved
        Analyses that have a unit for each.
    """

    unit: int
    other: int
    overall: float
    local: float
    sizes: tuple[float, float]
    change: float
    norm: float
    together: float
    resolved: int

    @property
    def distance(self) -> float:
        """The smaller of the two distances."""
        return min(self.overall, self.local)

    def one(self, settings: Settings) -> bool:
        """Tell whether they are one neuron.

        Nobody can tell them apart, over the whole recording or where they are nearest in time: what a neuron looked like early
        and late may be far apart, but it gets there step by step. Where several analyses have found the same two units, chance
        has not made them: these must be nearer to each other. Units that take turns may differ more, since nothing shows two
        neurons at one time: by a share of the waveform, and by what they may change between the spikes that are nearest, twice as
        fast as before or after, since drift is not uniform. Of one shape, they may also differ more in size.
        """
        one = settings.one if self.resolved < settings.agreed else settings.one_resolved
        if self.overall < one and abs(self.sizes[0]) < settings.same_size:
            return True
        if self.together >= settings.together:
            return self.local < one and abs(self.sizes[1]) < settings.same_size
        limit = float(np.linalg.norm([settings.two, HASTE * self.change, settings.turned * self.norm]))
        return (self.local < limit and abs(self.sizes[1]) < settings.same_size) or (
            self.local < settings.one and abs(self.sizes[1]) < settings.turned_size
        )

    def two(self, settings: Settings) -> bool:
        """Tell whether they are two neurons, both active, that can be told apart."""
        return self.together >= settings.together and self.distance >= settings.two


def joined(source: Source, chunks: Sequence[Chunk], state: State, resolved: Ints, settings: Settings, max_lag: int) -> Ints:
    """Tell which unit each unit belongs to: itself, or the largest of the units that are one neuron with it.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        Units, spikes and residuals.
    resolved
        (units, units), how many analyses have a unit for each of two units.
    settings
        Numbers of the method.
    max_lag
        Largest shift between two units, in samples.
    """
    contrasts = contrasts_of(source, chunks, state, resolved, settings, max_lag)
    links = sorted((c for c in contrasts if c.one(settings)), key=lambda c: (c.distance, c.unit, c.other))
    apart = {(c.unit, c.other) for c in contrasts if c.two(settings)}
    return grouped([(c.unit, c.other) for c in links], apart, state.counts)


def grouped(links: Sequence[tuple[int, int]], apart: set[tuple[int, int]], counts: Ints) -> Ints:
    """Join what is linked, in this order, but never two units that are apart; each unit's group is named by its largest.

    Single linkage with cannot-link constraints: parts of a neuron that changes are linked from one to the next.
    """
    groups = [[unit] for unit in range(len(counts))]
    for unit, other in links:
        if groups[unit] is groups[other] or any((a, b) in apart or (b, a) in apart for a in groups[unit] for b in groups[other]):
            continue
        union = groups[unit] + groups[other]
        for member in union:
            groups[member] = union
    return np.array([max(group, key=lambda member: (counts[member], -member)) for group in groups], np.int64)


def contrasts_of(
    source: Source, chunks: Sequence[Chunk], state: State, resolved: Ints, settings: Settings, max_lag: int
) -> list[Contrast]:
    """Compare all pairs of units that look similar; parameters as for `joined`."""
    halves, total = state.halves, state.weights.sum(axis=0)
    mean = np.einsum("uh,uhsc->usc", total / np.maximum(total.sum(axis=1, keepdims=True), 1e-6), halves)
    channels = state.used.channels
    cosines, lags = similarities(mean, channels, mean, channels, max_lag)
    pairs = [(int(u), int(v)) for u, v in np.argwhere(np.triu(np.maximum(cosines, cosines.T) >= settings.similar, 1))]
    if not pairs:
        return []
    turn, duration = source.samples(1e3 * settings.turn), source.total
    local = meetings(source, chunks, state, pairs, settings.meeting, turn=turn, least=mean.shape[1])
    trains = [source.recorded(train) for train in state.trains()]
    contrasts = []
    for (u, v), means, gaps in zip(pairs, local.means, local.gaps, strict=True):
        own, lag = (channels[u], channels[v]), int(lags[u, v])
        far, size, values = difference(halves[u], halves[v], own, lag)
        near, near_size, _ = difference(means[0, 0], means[1, 0], own, lag)
        far = float(np.sqrt(max(far**2 - chance(total[u], total[v], values), 0.0)))
        change = max(pace(means[side], channels[unit], gaps[side]) for side, unit in enumerate((u, v))) * float(gaps[:, 0].sum())
        norm = min(float(np.linalg.norm(mean[u])), float(np.linalg.norm(mean[v])))
        together = together_at_most(trains[u], trains[v], turn, duration)
        contrasts.append(
            Contrast(
                unit=u,
                other=v,
                overall=far / state.noise,
                local=near / state.noise,
                sizes=(size, near_size),
                change=change / state.noise,
                norm=norm / state.noise,
                together=together,
                resolved=int(resolved[u, v]),
            )
        )
    return contrasts


def pace(rings: Floats, channels: Ints, gaps: NDArray[np.float64]) -> float:
    """Distance that a unit goes in a sample of time: from its spikes nearest to another unit to those that come next."""
    apart, _, _ = difference(rings[0], rings[1], (channels, channels), 0)
    return apart / max(float(gaps[1] - gaps[0]), 1.0)


def chance(weights: Floats, others: Floats, values: int) -> float:
    """Return the standard deviation of the squared distance of two mean waveforms by noise alone: large for a unit of few spikes.

    Parameters
    ----------
    weights, others
        (2,), spikes that each half of either mean is made of.
    values
        Number of values compared.
    """
    spreads = 1 / np.maximum(weights, 1) + 1 / np.maximum(others, 1)
    return float(np.sqrt(values * spreads.prod()))


def difference(a: Floats, b: Floats, channels: tuple[Ints, Ints], lag: int) -> tuple[float, float, int]:
    """Distance of two mean waveforms (2 halves, samples, channels), logarithm of the ratio of their amplitudes, values compared.

    On the channels that both have, where either holds signal: what one unit shows on a channel and the other does not tells most.

    Parameters
    ----------
    a, b, channels
        Waveforms on the channels of each.
    lag
        What to add to positions of the first so that they lie where the second's would.
    """
    _, first, second = np.intersect1d(channels[0], channels[1], assume_unique=True, return_indices=True)
    either = holds_signal(a)[first] | holds_signal(b)[second]
    wide_a, wide_b = a[:, :, first[either]], b[:, :, second[either]]
    reach, length = abs(lag), a.shape[1]
    wide_a = wide_a[:, reach : length - reach]
    wide_b = wide_b[:, reach - lag : length - reach - lag]
    size_a, size_b = (max(float((wide[0] * wide[1]).sum()), 1e-6) for wide in (wide_a, wide_b))
    squared = separation(wide_a - wide_b, (wide_a + wide_b).mean(axis=0))
    return float(np.sqrt(max(squared, 0.0))), float(np.log(size_a / size_b) / 2), wide_a[0].size


def holds_signal(halves: Floats) -> NDArray[np.bool_]:
    """Tell on which channels a mean waveform (2 halves, samples, channels) has at least a hundredth of its energy."""
    energy = (halves[0] * halves[1]).sum(axis=0)
    return np.asarray(energy > energy.sum() * LEAST_SHARE)


def on_all(halves: Floats, channels: Ints, width: int) -> Floats:
    """Lay waveforms (..., samples, channels of the unit) on all channels of the recording."""
    out = np.zeros((*halves.shape[:-1], width), np.float32)
    out[..., channels] = halves
    return out


def join(model: Model, trains: Flat, target: Ints, counts: Ints, width: int) -> tuple[Model, Flat]:
    """Give each unit the spikes of those that belong to it, and where it has none of its own, their waveform.

    Parameters
    ----------
    model, trains
        All units.
    target
        (units,), the unit that each belongs to.
    counts
        (blocks, units), spikes.
    width
        Number of channels of the recording.
    """
    kept = np.flatnonzero(target == np.arange(len(target)))
    templates = model.templates.copy()
    parts = [[train] for train in trains]
    barred = list(model.barred)
    for unit in np.flatnonzero(target != np.arange(len(target))):
        into = target[unit]
        parts[into].append(trains[int(unit)])
        if barred:
            barred[into] = np.union1d(barred[into], barred[unit])
        missing = np.flatnonzero((counts[:, into] < LEAST_WEIGHT) & (counts[:, unit] >= LEAST_WEIGHT))
        templates[missing, into] = on_all(templates[missing, unit], model.channels[unit], width)[..., model.channels[into]]
    joined_model = replace(model, templates=templates, barred=tuple(barred))
    return joined_model.of(kept), Flat.of([np.sort(np.concatenate(parts[unit])) for unit in kept])
