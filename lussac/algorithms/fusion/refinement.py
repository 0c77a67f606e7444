"""Rounds of matching and learning: who owns which spike, and what do the owners look like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.candidates import MAX_LAG_MS, Candidates
from lussac.algorithms.fusion.echoes import LAG_MS, barred, echoes
from lussac.algorithms.fusion.fitting import Rules
from lussac.algorithms.fusion.learning import amplitude_limits, noise_gain, overall_halves, relearn
from lussac.algorithms.fusion.matching import Found, Model, match
from lussac.algorithms.fusion.pool import Member, Pool
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat, by_label, coincidences
from lussac.algorithms.fusion.waveforms import similarities_in_time

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

JITTER_MS = 0.067
POLISH = 2
FIRST_SPREAD = 0.15
FIRST_LIMITS = (0.5, 1.8)


@dataclass(frozen=True, slots=True)
class State:
    """Units, their spikes, and what is left at them.

    Parameters
    ----------
    model
        What the units look like, learned from the spikes found.
    used
        The model that the spikes were found with.
    found
        The spikes.
    halves
        (units, 2, samples, channels of the unit), mean waveforms of both halves of the spikes, less all other spikes.
    weights
        (blocks, units, 2), sums of the squared amplitudes of both halves.
    noise
        Standard deviation of the noise along a template.
    """

    model: Model
    used: Model
    found: Found
    halves: Floats
    weights: Floats
    noise: float

    @property
    def counts(self) -> Ints:
        """Number of spikes of every unit."""
        return np.bincount(self.found.units, minlength=len(self.model))

    @property
    def norms(self) -> NDArray[np.float64]:
        """Norm of the mean waveform of every unit in standard deviations of the noise along it; noise does not add to it."""
        energies = np.maximum((self.halves[:, 0] * self.halves[:, 1]).sum(axis=(1, 2)), 1.0)
        return np.asarray(np.sqrt(energies.astype(np.float64)) / self.noise)

    def keep(self, units: Ints) -> "State":
        """Return the state with these units only, in order; the spikes of the others are gone."""
        if len(units) == len(self.model):
            return self
        rank = np.full(len(self.model), -1, np.int32)
        rank[units] = np.arange(len(units))
        found = self.found.taken(rank[self.found.units] >= 0)
        found = replace(found, units=rank[found.units])
        return State(
            self.model.of(units), self.used.of(units), found, self.halves[units], self.weights[:, units], self.noise
        )  # fmt: skip

    def owned(self) -> list[Ints]:
        """Return for each unit where its spikes are among those found."""
        return by_label(self.found.units, len(self.model))

    def trains(self) -> Flat:
        """Return the spikes of each unit."""
        return trains_of(self.found.samples, self.found.units, len(self.model))


def first_model(candidates: Candidates, blocks: int) -> Model:
    """Return what the chosen candidates look like, the same in every block."""
    own = np.flatnonzero(candidates.chosen)
    templates = np.repeat(candidates.templates[own][None], blocks, axis=0)
    stiffness = np.full(len(own), 1 / FIRST_SPREAD**2, np.float32)
    low, high = (np.full(len(own), limit, np.float32) for limit in FIRST_LIMITS)
    return Model(templates, candidates.channels[own], candidates.before, stiffness, low, high)


def members(
    candidates: Candidates, model: Model, trains: Flat, window: int, max_lag: int, settings: Settings
) -> list[list[Member]]:
    """Return for every unit the candidates that may hold its spikes."""
    cosines, lags = similarities_in_time(
        model.templates, model.channels, candidates.templates, candidates.channels, candidates.shares, max_lag
    )
    near = coincidences(trains, candidates.trains, window)
    fewer = np.minimum(trains.counts[:, None], candidates.trains.counts[None])
    shares = (cosines >= settings.similar) & (near >= settings.shared * fewer) & (near > 0)
    return [
        [Member(int(c), -int(lags[u, c]), bool(shares[u, c])) for c in np.flatnonzero(shares[u] | (cosines[u] >= settings.alike))]
        for u in range(len(trains))
    ]


def trains_of(samples: Ints, units: NDArray[np.integer], size: int) -> Flat:
    """Sort spikes, given in order of time, by unit."""
    return Flat.one_after_another(samples[np.argsort(units, kind="stable")], np.bincount(units, minlength=size))


@dataclass(frozen=True, slots=True)
class Question:
    """What units look like, and what proposes spikes to them."""

    model: Model
    pool: Pool


def question(
    source: Source, candidates: Candidates, model: Model, trains: Flat, settings: Settings, proposed: Flat | None = None
) -> Question:
    """Find which candidates propose spikes to which unit.

    Parameters
    ----------
    source
        The recording.
    candidates
        They propose the spikes.
    model, trains
        What the units look like, and their spikes so far: they tell which candidates propose to which unit.
    settings
        Numbers of the method.
    proposed
        All spikes of the candidates, where these have some of theirs only.
    """
    window, gap = source.samples(settings.coincidence), source.samples(JITTER_MS) + 1
    own = members(candidates, model, trains, window, source.samples(MAX_LAG_MS), settings)
    return Question(model, Pool.of(candidates.trains if proposed is None else proposed, own, trains, gap, model.barred))


def refine(source: Source, chunks: Sequence[Chunk], asked: Question, settings: Settings) -> State:
    """Let all units compete for the spikes that are proposed, and learn what they look like.

    Parameters
    ----------
    source, chunks
        The recording.
    asked
        The units, and what proposes.
    settings
        Numbers of the method.
    """
    model, jitter = asked.model, source.samples(JITTER_MS)
    rules = Rules(settings.evidence, jitter, source.samples(settings.coincidence), POLISH, settings.unknown)
    found, sums = match(source, chunks, asked.pool, model, rules)
    templates = relearn(model, sums)
    energies = np.maximum((templates**2).sum(axis=(2, 3)).mean(axis=0), 1e-3)
    noise = noise_gain(found, energies)
    accepted = trains_of(found.samples, found.units, len(model))
    heard = echoes(accepted, energies, model.channels, source.samples(LAG_MS), source.samples(settings.overlap))
    used = replace(model, barred=barred(model.barred, heard, accepted))
    learned = Model(templates, model.channels, model.before, *amplitude_limits(found, energies, noise), used.barred)
    state = State(learned, used, found, overall_halves(model, sums), sums.weights, noise)
    return state.keep(np.flatnonzero(state.counts >= settings.min_spikes))
