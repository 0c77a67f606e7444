"""How sure one can be of each unit: what speaks for it, and a probability made of that."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.contamination import contamination, contamination_at_least
from lussac.algorithms.fusion.learning import SMALLEST_SPREAD
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.regularity import absence, motion, spread_of_like
from lussac.algorithms.fusion.residuals import leftovers
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.sums import left_by_two
from lussac.algorithms.fusion.support import Support
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.unclaimed import Left
from lussac.algorithms.fusion.waveforms import subset

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

PAST_MS, BURST_MS = 50.0, 100.0
"""Time before a spike that its amplitude depends on, and time within which spikes are of one burst."""
CERTAINTY = 0.999
LOOKED_AT, STRONGEST = 300, 8
MOVING = 0.05
"""Change of the waveforms from which on the tissue moves so far that a unit which is gone may have been lost."""
WIDE = 1.25
MOST_FOREIGN, MOST_LOST, LEAST_EXCESS, MOST_UNCLAIMED = 0.1, 0.1, 0.9, 1.7
COPIES, SUREST_COPIES = 0.7, 0.05
SUM, SUREST_SUM = 0.03, 0.003
INTERCEPT = -4.48
COEFFICIENTS: Mapping[str, float] = {
    "agreement": 3.57,
    "second_agreement": 3.36,
    "wide": -3.03,
    "detectability": 0.72,
    "excess": -6.11,
    "copies": -1.51,
    "unclaimed": -3.63,
    "sum": -1.96,
    "lost": -58.73,
    "foreign": -32.1,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for or against each unit; one value per unit.

    Parameters
    ----------
    agreement, second_agreement
        Spikes in common over spikes of either, with the best analysis, and with the best of the others. What an analysis has of
        a unit is one of its units, or several that take turns. Spikes that the unit got of what is left do not count.
    snr
        Largest deflection of the mean waveform in standard deviations of the channel's noise.
    detectability
        Norm of the mean waveform in standard deviations of the noise along it: how far spikes are from no spikes.
    spread
        Standard deviation of the amplitudes of spikes with the same past, over that expected from noise and from what a neuron's
        spikes vary by: 1 for a neuron or less, more for a mixture.
    excess
        Energy that is left at the spikes when all spikes are subtracted, over what is left at any time: more than 1 where the
        spikes are not all alike, or lie under others that nobody found; much less where they are copies of each other, which no
        neuron's are, as what a device put there.
    unclaimed
        Spikes like the unit's that are left when all spikes are subtracted, for each of its own: many where a part of a neuron
        was found.
    rest
        Share of the waveform's energy that two other units with more spikes leave: 0 for what neighbours that fire together make.
    lost
        Share of the time that the unit is not there for, where the tissue moves; 0 where it does not.
    contamination
        Estimated share of foreign spikes from violations of the refractory period.
    foreign
        The same at least, with a certainty of 0.999.
    """

    agreement: Floats
    second_agreement: Floats
    snr: Floats
    detectability: Floats
    spread: Floats
    excess: Floats
    unclaimed: Floats
    rest: Floats
    lost: Floats
    contamination: Floats
    foreign: Floats

    def table(self) -> dict[str, Floats]:
        """Return the values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def followed_by(self, other: "Evidence") -> "Evidence":
        """Return the values of these units, then those of others."""
        return Evidence(*(np.concatenate([mine, others]) for mine, others in zip(astuple(self), astuple(other), strict=True)))


def gather(
    source: Source,
    chunks: Sequence[Chunk],
    state: State,
    trains: Flat,
    supported: Sequence[Sequence[Support]],
    left: Left,
    settings: Settings,
) -> Evidence:
    """Measure what speaks for each unit.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        Units, the spikes that the recording shows, and what is left at them.
    trains
        All spikes of the units.
    supported
        What each analysis has of each unit, best first.
    left
        Spikes like the units' that none of them has.
    settings
        Numbers of the method.
    """
    found, owned, halves = state.found, state.owned(), state.halves
    looked_at = np.sort(np.concatenate([subset(own, LOOKED_AT) for own in owned]))
    norms = state.norms
    past, burst = source.samples(PAST_MS), source.samples(BURST_MS)
    spreads = np.array([spread_of_like(found.samples[own], found.amplitudes[own], past) for own in owned])
    silent = np.array([absence(source.recorded(found.samples[own]), source.total, burst) for own in owned])
    moving = min(motion(state.used.templates, state.weights.sum(axis=2)) / MOVING, 1.0)
    return Evidence(
        **agreement_of(supported),
        snr=np.abs(halves.mean(axis=1)).max(axis=(1, 2)).astype(np.float64),
        detectability=norms,
        spread=spreads / np.sqrt(1 / norms**2 + SMALLEST_SPREAD**2),
        excess=leftovers(source, chunks, found, state.used, looked_at, STRONGEST),
        unclaimed=left.unclaimed,
        rest=left_by_two(halves.mean(axis=1), state.used.channels, trains.counts, source.samples(settings.overlap)),
        lost=moving * silent,
        **contaminations(source, trains, settings),
    )


def gather_of_spikes(
    source: Source, trains: Flat, templates: Floats32, supported: Sequence[Sequence[Support]], settings: Settings
) -> Evidence:
    """Measure what speaks for units that are known by their spikes alone; what is not measured speaks neither way.

    Parameters
    ----------
    source
        The recording.
    trains
        Spikes of the units.
    templates
        (units, samples, channels of the unit), waveforms less what is noise.
    supported, settings
        As for `gather`.
    """
    norms = np.sqrt((templates**2).sum(axis=(1, 2))).astype(np.float64)
    one, none = np.ones(len(trains)), np.zeros(len(trains))
    return Evidence(
        **agreement_of(supported),
        snr=np.abs(templates).max(axis=(1, 2)).astype(np.float64),
        detectability=norms,
        spread=one,
        excess=one,
        unclaimed=none,
        rest=one,
        lost=none,
        **contaminations(source, trains, settings),
    )


def agreement_of(supported: Sequence[Sequence[Support]]) -> dict[str, Floats]:
    """Return how far the best two analyses agree with each unit."""
    best = np.array([[one.agreement for one in row[:2]] + [0.0] * (2 - len(row)) for row in supported]).reshape(-1, 2)
    return {"agreement": best[:, 0], "second_agreement": best[:, 1]}


def contaminations(source: Source, trains: Flat, settings: Settings) -> dict[str, Floats]:
    """Return what violations of the refractory period say of each unit."""
    periods = (source.samples(settings.censored), source.samples(settings.refractory), source.total)
    return {
        "contamination": np.array([contamination(train, *periods) for train in trains]),
        "foreign": np.array([contamination_at_least(train, *periods, CERTAINTY) for train in trains]),
    }


def features(evidence: Evidence) -> dict[str, Floats]:
    """Return what the confidence is computed from, by name; (units,) each.

    Numbers that tell nothing in the range of most right units count beyond it only.
    """
    return {
        "agreement": evidence.agreement,
        "second_agreement": evidence.second_agreement,
        "wide": np.log(np.maximum(evidence.spread, WIDE) / WIDE),
        "detectability": np.log(np.maximum(evidence.detectability, 1)),
        "excess": np.log(np.maximum(evidence.excess, LEAST_EXCESS)),
        "copies": np.maximum(np.log(COPIES / np.maximum(evidence.excess, SUREST_COPIES)), 0),
        "unclaimed": np.log1p(np.minimum(evidence.unclaimed, MOST_UNCLAIMED)),
        "sum": np.maximum(np.log(SUM / np.maximum(evidence.rest, SUREST_SUM)), 0),
        "lost": np.minimum(evidence.lost, MOST_LOST),
        "foreign": np.minimum(evidence.foreign, MOST_FOREIGN),
    }


def confidence(evidence: Evidence, intercept: float = INTERCEPT, coefficients: Mapping[str, float] = COEFFICIENTS) -> Floats:
    """Return the probability that a unit is right: at least 0.8 of the spikes of it or of its neuron are the same.

    A logistic regression on generated recordings with drift, bursts and overlaps, and the outputs of sorters on them
    (benchmarks/confidence.py fits it): agreement counts for a unit; against it count amplitudes that vary more than noise and the
    past of the spikes let them, more or much less than noise left at its spikes, spikes like them that it does not have, a
    waveform that is the sum of two others, times without it where the tissue moves, and spikes within the refractory period.

    Parameters
    ----------
    evidence
        What speaks for each unit.
    intercept, coefficients
        Of the regression; one coefficient for each of the `features`.
    """
    logit = intercept + sum(coefficients[name] * values for name, values in features(evidence).items())
    return np.asarray(1 / (1 + np.exp(-logit)))
