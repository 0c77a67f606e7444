"""How sure one can be of each unit: what speaks for it, and a probability made of that."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.contamination import contamination
from lussac.algorithms.fusion.candidates import Candidates
from lussac.algorithms.fusion.learning import halves_of, overall, spreads
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.trains import Flat, InTime, pair_counts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

AGREES = 0.5
WIDE, NARROW = 1.5, 0.5
COEFFICIENTS, INTERCEPT = (3.25, 2.27, -0.33, -0.09, 0.25), -4.56


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for or against each unit; one value per unit.

    Parameters
    ----------
    agreement, second_agreement
        Spikes in common over spikes of either, with the best unit of any analysis, and with the best unit of any other analysis.
    snr
        Largest deflection of the mean waveform in standard deviations of the channel's noise.
    detectability
        Norm of the mean waveform in standard deviations of the noise along it: how far spikes are from no spikes.
    spread
        Standard deviation of the amplitudes over that expected from noise alone: 1 for a neuron whose spikes are all alike.
    contamination
        Estimated share of foreign spikes from violations of the refractory period.
    """

    agreement: Floats
    second_agreement: Floats
    snr: Floats
    detectability: Floats
    spread: Floats
    contamination: Floats

    def table(self) -> dict[str, Floats]:
        """Return the values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def overlaps(trains: Flat, candidates: Candidates, window: int) -> Floats:
    """Agreement of every unit with every candidate, spikes in common over spikes of either: (units, candidates)."""
    size = len(trains)
    both = InTime.of(Flat.of([*(trains[u] for u in range(size)), *(candidates.trains[c] for c in range(len(candidates)))]))
    counts = pair_counts(both.samples, both.units, size + len(candidates), window)
    common = np.minimum(counts[:size, size:], counts[size:, :size].T)
    return common / np.maximum(trains.counts[:, None] + candidates.trains.counts[None] - common, 1)


def matches(trains: Flat, candidates: Candidates, window: int) -> list[list[int]]:
    """Return for every unit the candidates that agree with it, best first, one of each analysis."""
    agreement = overlaps(trains, candidates, window)
    rows = []
    for row in agreement:
        best: dict[int, int] = {}
        for candidate in np.argsort(-row, kind="stable"):
            if row[candidate] >= AGREES:
                best.setdefault(int(candidates.analyses[candidate]), int(candidate))
        rows.append(list(best.values()))
    return rows


def gather(state: State, candidates: Candidates, window: int, refractory: tuple[int, int], duration: int) -> Evidence:
    """Measure what speaks for each unit.

    Parameters
    ----------
    state
        Units, spikes and what is left at them.
    candidates
        The units of all analyses.
    window
        Spikes within it are the same, in samples.
    refractory
        Censored and refractory period, in samples.
    duration
        Of the recording, in samples.
    """
    trains = state.trains()
    each = overlaps(trains, candidates, window)
    analyses = range(max(int(candidates.analyses.max()) + 1, 2))
    by_analysis = [each[:, candidates.analyses == analysis].max(axis=1, initial=0.0) for analysis in analyses]
    agreement = np.sort(np.stack(by_analysis, axis=1), axis=1)[:, ::-1]
    halves, _ = overall(*halves_of(state.used, state.sums))
    energies = np.maximum((halves[:, 0] * halves[:, 1]).sum(axis=(1, 2)), 1.0).astype(np.float64)
    norms = np.sqrt(energies) / state.noise
    _, below, above = spreads(state.found, len(trains))
    return Evidence(
        agreement=agreement[:, 0],
        second_agreement=agreement[:, 1],
        snr=np.abs(halves.mean(axis=1)).max(axis=(1, 2)).astype(np.float64),
        detectability=norms,
        spread=(below + above) / 2 * norms,
        contamination=np.array([contamination(trains[u], *refractory, duration) for u in range(len(trains))]),
    )


def confidence(evidence: Evidence) -> Floats:
    """Return the probability that a unit is right: at least 0.8 of the spikes of it or of its neuron are the same.

    A logistic regression on generated recordings with drift, bursts and overlaps, and the outputs of four sorters on them
    (benchmarks/cases.py): agreement counts for a unit, amplitudes that vary more or less than noise lets them against it.
    """
    spread = np.log(np.maximum(evidence.spread, 0.1))
    features = (
        evidence.agreement,
        evidence.second_agreement,
        np.maximum(spread - np.log(WIDE), 0),
        np.maximum(np.log(NARROW) - spread, 0),
        np.log(np.maximum(evidence.detectability, 1)),
    )
    logit = INTERCEPT + np.tensordot(COEFFICIENTS, np.stack(features), axes=1)
    return np.asarray(1 / (1 + np.exp(-logit)))
