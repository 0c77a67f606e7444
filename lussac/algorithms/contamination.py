"""How many of a unit's spikes are not its neuron's, from the spikes that come too soon after another.

The estimates follow Llobet, Wyngaard and Barbour (2022), "Automatic post-processing and merging of multiple spike-sorting
analyses with Lussac", bioRxiv 2022.02.08.479192. Two spikes of one neuron are never nearer than its refractory period; two spikes
of which one is foreign are, by chance. Pairs within the censored period say nothing, since sorters and the removal of duplicated
spikes drop them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import betainc, gammaincinv

from lussac.algorithms.spiketrains import count_coincidences, frozen
from lussac.algorithms.timeline import Train


@dataclass(frozen=True, slots=True)
class CrossContamination:
    """How far the spikes of one unit are foreign to the neuron of another.

    Parameters
    ----------
    estimate
        Share of b's spikes that are not of a's neuron: about 0 for one neuron, about 1 for two. Unbiased, so that it may lie
        somewhat outside of 0 .. 1; NaN where it can't be told.
    p_value
        Probability of at least as many coincidences if the share were the limit: a small one says that it exceeds the limit.
    """

    estimate: float
    p_value: float


def refractory_violations(train: Train, censored: int, refractory: int) -> int:
    """Return the number of pairs of spikes with censored < interval <= refractory (samples), not only of neighbours."""
    return int(_refractory_violations(frozen(train), censored, refractory))


@njit(nogil=True, cache=True)
def _refractory_violations(train: Train, censored: int, refractory: int) -> int:
    violations = 0
    for first in range(len(train)):
        for second in range(first + 1, len(train)):
            interval = train[second] - train[first]
            if interval > refractory:
                break
            violations += interval > censored
    return violations


def contamination(train: Train, censored: int, refractory: int, duration: int) -> float:
    """Estimate the share of spikes that are not the neuron's, if these come from many other neurons.

    Parameters
    ----------
    train
        Spikes of the unit, free of duplicates within the censored period.
    censored, refractory
        Periods in samples; the second must be longer.
    duration
        Samples of the recording.

    Returns
    -------
    0 .. 1; 1 where there are more violations than a train without any refractory period would have. NaN for fewer than two
    spikes, where there is nothing to see.

    Raises
    ------
    ValueError
        The refractory period is not longer than the censored one.
    """
    return _contamination(train, censored, refractory, duration, float)


def contamination_at_least(train: Train, censored: int, refractory: int, duration: int, certainty: float) -> float:
    """Return the share of spikes that are not the neuron's at least: 0 where chance may have made the violations.

    The number of violations is taken for a Poisson count, and the smallest mean that gives as many or more with a probability of
    one less the certainty in the place of the number found: a single violation among few spikes shows little. The rest is as
    for `contamination`.
    """
    return _contamination(
        train, censored, refractory, duration, lambda found: float(gammaincinv(found, 1 - certainty)) if found else 0.0
    )


def _contamination(train: Train, censored: int, refractory: int, duration: int, believed: Callable[[int], float]) -> float:
    """Estimate contamination from what is believed of the number of violations."""
    _check_periods(censored, refractory)
    n_spikes = len(train)
    if n_spikes < 2:
        return math.nan
    violations = believed(refractory_violations(train, censored, refractory))
    free = max(duration - 2 * n_spikes * censored, 0)  # time that no spike's censored period covers
    pure = 1.0 - violations * free / (n_spikes**2 * (refractory - censored))
    return 1.0 - math.sqrt(pure) if pure > 0.0 else 1.0


def cross_contamination(a: Train, b: Train, censored: int, refractory: int, duration: int, limit: float) -> CrossContamination:
    """Estimate the share of b's spikes that are not of a's neuron, and test whether it exceeds a limit.

    Spikes of a's neuron, in a and in b, never meet within the refractory period; all other pairs do so by chance. The number of
    these coincidences is binomial, with a trial for each pair of spikes.

    Parameters
    ----------
    a, b
        Trains. Spikes that both share within the censored period don't count.
    censored, refractory
        Periods in samples; the second must be longer.
    duration
        Samples of the recording.
    limit
        Share of foreign spikes that would still do, 0 .. 1.

    Raises
    ------
    ValueError
        The refractory period is not longer than the censored one.
    """
    _check_periods(censored, refractory)
    pairs = len(a) * len(b)
    if pairs == 0:
        return CrossContamination(math.nan, 1.0)
    foreign = np.nan_to_num(contamination(a, censored, refractory, duration))
    violations = count_coincidences(a, b, refractory) - count_coincidences(a, b, censored)
    chance = min(2 * (refractory - censored) / duration, 1.0)
    observed = violations / (pairs * chance)
    estimate = (observed - foreign) / (1.0 - foreign) if foreign < 1.0 else math.nan
    allowed = foreign + (1.0 - foreign) * limit
    return CrossContamination(float(estimate), _at_least(violations, pairs, allowed * chance))


def _check_periods(censored: int, refractory: int) -> None:
    if not 0 <= censored < refractory:
        raise ValueError(
            f"the refractory period ({refractory} samples) must be longer than the censored one ({censored} samples)"
        )


def _at_least(successes: int, trials: int, probability: float) -> float:
    """Return the probability of this many successes or more (the survival function of the binomial distribution)."""
    if successes == 0:
        return 1.0
    return float(betainc(successes, trials - successes + 1, probability)) if successes <= trials else 0.0
