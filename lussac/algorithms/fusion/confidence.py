"""How sure one can be of each unit: what speaks for it, and a probability made of that."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.contamination import contamination
from lussac.algorithms.fusion.candidates import Candidates
from lussac.algorithms.fusion.learning import spreads
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.residuals import leftovers
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat, coincidences
from lussac.algorithms.fusion.turns import together_at_most
from lussac.algorithms.fusion.waveforms import subset

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

INSIDE = 0.5
WIDE, NARROW = 1.5, 0.5
LOOKED_AT, STRONGEST = 300, 8
COEFFICIENTS, INTERCEPT = (4.93, 3.83, -1.75, -5.87, 1.59, -6.95), -8.68


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for or against each unit; one value per unit.

    Parameters
    ----------
    agreement, second_agreement
        Spikes in common over spikes of either, with the best analysis, and with the best of the others. What an analysis has of
        a unit is one of its units, or several that take turns.
    snr
        Largest deflection of the mean waveform in standard deviations of the channel's noise.
    detectability
        Norm of the mean waveform in standard deviations of the noise along it: how far spikes are from no spikes.
    spread
        Standard deviation of the amplitudes over that expected from noise alone: 1 for a neuron whose spikes are all alike.
    excess
        Energy that is left at the spikes when all spikes are subtracted, over what is left at any time: more than 1 where the
        spikes are not all alike, or lie under others that nobody found.
    contamination
        Estimated share of foreign spikes from violations of the refractory period.
    """

    agreement: Floats
    second_agreement: Floats
    snr: Floats
    detectability: Floats
    spread: Floats
    excess: Floats
    contamination: Floats

    def table(self) -> dict[str, Floats]:
        """Return the values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def counts_in_common(trains: Flat, candidates: Candidates, window: int) -> Floats:
    """Spikes that every unit has in common with every candidate: (units, candidates)."""
    return coincidences(trains, candidates.trains, window).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Support:
    """What an analysis has of a unit: one of its units, or several that take turns, and how far these agree with the unit."""

    parts: tuple[int, ...]
    agreement: float


def supports(
    trains: Flat, candidates: Candidates, common: Floats, together: float, turn: int, duration: int
) -> list[list[Support]]:
    """Return for every unit what each analysis has of it, best first.

    Parameters
    ----------
    trains, candidates, common
        The units, the units of all analyses, and the spikes that they have in common.
    together, turn, duration
        Units of one analysis are taken together that are active at the same time less often than this share of chance: parts of
        a neuron that the analysis lost and found again. What counts as the same time, and the recording's length: in samples.
    """
    analyses = [np.flatnonzero(candidates.analyses == analysis) for analysis in np.unique(candidates.analyses)]
    sizes = candidates.trains.counts

    def support(unit: int, own: Ints) -> Support:
        size = int(trains.counts[unit])
        shared = common[unit]
        alone = shared[own] / (size + sizes[own] - shared[own])
        first = int(own[np.argmax(alone)])
        parts, union, found, more = [first], candidates.trains[first], shared[first], float(sizes[first])
        for part in own[np.argsort(-shared[own], kind="stable")]:
            inside = shared[part] >= max(INSIDE * sizes[part], 1) and part != first
            if inside and together_at_most(union, candidates.trains[int(part)], turn, duration) < together:
                parts.append(int(part))
                union = np.sort(np.concatenate([union, candidates.trains[int(part)]]))
                found, more = found + shared[part], more + sizes[part]
        return Support(tuple(parts), float(min(found / max(size + more - found, 1), 1)))

    rows = [[support(unit, own) for own in analyses] for unit in range(len(trains))]
    return [sorted(row, key=lambda one: (-one.agreement, one.parts)) for row in rows]


def gather(
    source: Source, chunks: Sequence[Chunk], state: State, supported: Sequence[Sequence[Support]], refractory: tuple[int, int]
) -> Evidence:
    """Measure what speaks for each unit.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        Units, spikes and what is left at them.
    supported
        What each analysis has of each unit, best first.
    refractory
        Censored and refractory period, in samples.
    """
    trains, found = state.trains(), state.found
    looked_at = np.sort(np.concatenate([subset(own, LOOKED_AT) for own in state.owned()]))
    halves = state.halves
    energies = np.maximum((halves[:, 0] * halves[:, 1]).sum(axis=(1, 2)), 1.0).astype(np.float64)
    norms = np.sqrt(energies) / state.noise
    _, below, above = spreads(found, len(trains))
    return Evidence(
        agreement=np.array([row[0].agreement for row in supported]),
        second_agreement=np.array([row[1].agreement if len(row) > 1 else 0.0 for row in supported]),
        snr=np.abs(halves.mean(axis=1)).max(axis=(1, 2)).astype(np.float64),
        detectability=norms,
        spread=(below + above) / 2 * norms,
        excess=leftovers(source, chunks, found, state.used, looked_at, STRONGEST),
        contamination=np.array([contamination(trains[u], *refractory, source.total) for u in range(len(trains))]),
    )


def confidence(evidence: Evidence) -> Floats:
    """Return the probability that a unit is right: at least 0.8 of the spikes of it or of its neuron are the same.

    A logistic regression on generated recordings with drift, bursts and overlaps, and the outputs of four sorters on them
    (benchmarks/cases.py): agreement counts for a unit, amplitudes that vary more or less than noise lets them against it, as does
    what is left at its spikes.
    """
    spread = np.log(np.maximum(evidence.spread, 0.1))
    features = (
        evidence.agreement,
        evidence.second_agreement,
        np.maximum(spread - np.log(WIDE), 0),
        np.maximum(np.log(NARROW) - spread, 0),
        np.log(np.maximum(evidence.detectability, 1)),
        np.log(np.maximum(evidence.excess, 0.5)),
    )
    logit = INTERCEPT + np.tensordot(COEFFICIENTS, np.stack(features), axes=1)
    return np.asarray(1 / (1 + np.exp(-logit)))
