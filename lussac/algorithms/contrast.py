"""Evidence for and against two units being one neuron: their templates and their spikes.

Templates are taken in units of the noise (each channel divided by its noise level), so that the error of a mean over n spikes is
about 1 / sqrt(n) in every sample.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import bdtr

from lussac.algorithms import correlograms
from lussac.algorithms.contamination import cross_contamination
from lussac.algorithms.spiketrains import count_coincidences, match_spikes
from lussac.algorithms.timeline import Train

EXCESS_NOISE = 2.0
"""Energy of the difference of two means that noise explains, beyond its expectation: spikes of other neurons are noise too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still one neuron.

    Parameters
    ----------
    template_difference
        Largest difference of two templates of one neuron, 0 .. 1.
    template_distance
        Templates nearer than this are never called different, in standard deviations of the noise.
    correlogram_difference
        Largest difference of cross- and auto-correlograms.
    p_value
        Below this probability a test on coincidences decides.
    simultaneity
        Units that are active together less often than this are one neuron, whatever their templates: one that drifted.
    foreign_share
        Units whose foreign spikes are significantly fewer than this share are one neuron, whatever their templates.
    """

    template_difference: float
    template_distance: float
    correlogram_difference: float
    p_value: float
    simultaneity: float
    foreign_share: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """What speaks for or against two units being one neuron.

    Parameters
    ----------
    template_difference
        Summed absolute difference of the templates over their summed absolute values, 0 .. 1.
    template_distance
        Difference in shape only, in standard deviations of the noise.
    simultaneity
        How often they are active in the same stretch of time, spikes in common left out: about 1 for independent units, 0 for
        those that take turns.
    cross_contamination
        The larger of the two estimated shares of foreign spikes.
    p_foreign
        Probability of so many coincidences in the refractory period if no more spikes were foreign than allowed.
    p_same
        Probability of so few of them if the units had `Limits.foreign_share` foreign spikes.
    correlogram_difference
        NaN where no other value asked for it.
    """

    template_difference: float
    template_distance: float
    simultaneity: float
    cross_contamination: float
    p_foreign: float
    p_same: float
    correlogram_difference: float

    def different(self, limits: Limits) -> bool:
        """Tell whether these are two neurons.

        The templates must differ in size and significantly in shape. That proves nothing where the units take turns (a neuron
        that drifts away from one template towards another), or where the refractory period says that they are one (whose
        spikes shrink in bursts). Or the coincidences and the correlograms agree that there are two.
        """
        templates = self.template_difference > limits.template_difference and self.template_distance > limits.template_distance
        one_neuron = self.simultaneity < limits.simultaneity or self.p_same < limits.p_value
        spikes = self.p_foreign < limits.p_value and self.correlogram_difference > limits.correlogram_difference
        return bool((templates and not one_neuron) or spikes)


def template_contrast(
    a: NDArray[np.float32], b: NDArray[np.float32], n_spikes: tuple[int, int], num_channels: int, max_shift: int
) -> tuple[float, float]:
    """Return how far two templates differ, at the shift where they do so least.

    Parameters
    ----------
    a, b
        Mean waveforms of one shape (samples, channels), in units of the noise; zero beyond their ends.
    n_spikes
        How many spikes went into each.
    num_channels
        The channels with the largest amplitudes in either of them are compared.
    max_shift
        In samples.

    Returns
    -------
    difference
        Summed absolute difference over summed absolute values (as `templates.template_difference`), 0 .. 1.
    distance
        Norm of what is left of the smaller template when the larger one is scaled onto it, less what noise explains: insensitive
        to a change of amplitude, in standard deviations of the noise.
    """
    amplitudes = np.maximum(np.ptp(a, axis=0), np.ptp(b, axis=0))
    channels = np.argsort(-amplitudes, kind="stable")[:num_channels]
    left, right = (np.ascontiguousarray(template[:, channels], dtype=np.float64) for template in (a, b))
    total = np.abs(left).sum() + np.abs(right).sum()
    if total == 0.0 or min(n_spikes) == 0:
        return 0.0, 0.0
    shift, smallest = _best_fit(left, right, max_shift)
    return min(smallest / total, 1.0), _shape_distance(left, _shifted(right, shift), n_spikes)


@njit(nogil=True, cache=True)
def _best_fit(a: NDArray[np.float64], b: NDArray[np.float64], max_shift: int) -> tuple[int, float]:
    """Return the shift of b with the smallest summed absolute difference to a, the smallest shift of equal ones, and the sum."""
    best, smallest = 0, np.inf
    for step in range(2 * max_shift + 1):
        shift = (step + 1) // 2 * (1 if step % 2 == 0 else -1)
        summed = 0.0
        for sample in range(-max_shift, len(a) + max_shift):
            source = sample - shift
            for channel in range(a.shape[1]):
                left = a[sample, channel] if 0 <= sample < len(a) else 0.0
                right = b[source, channel] if 0 <= source < len(b) else 0.0
                summed += abs(left - right)
        if summed < smallest:
            best, smallest = shift, summed
    return best, smallest


def _shifted(template: NDArray[np.float64], shift: int) -> NDArray[np.float64]:
    moved = np.zeros_like(template)
    reach = max(len(template) - abs(shift), 0)
    start = max(shift, 0)
    moved[start : start + reach] = template[max(-shift, 0) : max(-shift, 0) + reach]
    return moved


def _shape_distance(a: NDArray[np.float64], b: NDArray[np.float64], n_spikes: tuple[int, int]) -> float:
    noise = [a.size / count for count in n_spikes]
    energies = [max(float(np.vdot(x, x)) - excess, 0.0) for x, excess in zip((a, b), noise, strict=True)]
    if min(energies) == 0.0:
        return 0.0
    cosine = float(np.vdot(a, b)) / np.sqrt(energies[0] * energies[1])
    remaining = min(energies) * (1.0 - np.clip(cosine, 0.0, 1.0) ** 2)
    return float(np.sqrt(max(remaining - EXCESS_NOISE * sum(noise), 0.0)))


def simultaneity(a: Train, b: Train, block: int, duration: int) -> float:
    """Return how often two units are active in the same stretch of time, as a share of what chance gives.

    Parameters
    ----------
    a, b
        Trains.
    block, duration
        Length of a stretch, and samples of the recording.

    Returns
    -------
    About 1 for units that fire independently of each other, 0 for those that are never active together; 1 where one is empty.
    """
    if min(len(a), len(b)) == 0:
        return 1.0
    first, last = min(a[0], b[0]) // block, max(a[-1], b[-1]) // block
    counts = [np.bincount(train // block - first, minlength=int(last - first) + 1) for train in (a, b)]
    together = int(counts[0] @ counts[1])
    return float(together * max(duration, block) / (block * len(a) * len(b)))


@dataclass(frozen=True, slots=True)
class SpikeStatistics:
    """How the spikes of two units are compared.

    Parameters
    ----------
    censored, refractory
        Periods in samples.
    duration
        Samples of the recording.
    block
        Stretch of time in which units are active together, in samples.
    reach, bin_size
        Half width and bin of the correlograms, in samples.
    std_bins, truncate
        Of the Gaussian that smoothes the correlograms, in bins and in standard deviations.
    shoulder
        Share of the maximum at which a correlogram has recovered (see `correlograms.adaptive_window`).
    """

    censored: int
    refractory: int
    duration: int
    block: int
    reach: int
    bin_size: int
    std_bins: float
    truncate: float
    shoulder: float = 0.5

    def foreign(self, a: Train, b: Train, allowed: float, share: float) -> tuple[float, float, float]:
        """Return the estimated share of foreign spikes and the two probabilities of `Contrast`."""
        tests = [cross_contamination(*pair, self.censored, self.refractory, self.duration, allowed) for pair in ((a, b), (b, a))]
        pairs = len(a) * len(b)
        violations = count_coincidences(a, b, self.refractory) - count_coincidences(a, b, self.censored)
        chance = min(share * 2 * (self.refractory - self.censored) / self.duration, 1.0)
        fewer = float(bdtr(violations, pairs, chance)) if violations < pairs else 1.0
        estimate = float(np.fmax(tests[0].estimate, tests[1].estimate))
        return estimate, min(test.p_value for test in tests), fewer

    def simultaneity(self, a: Train, b: Train) -> float:
        """Return how often each unit is active together with what the other one has besides: the smaller of the two values."""
        shared = match_spikes(a, b, self.censored)
        own = [np.delete(train, matches) for train, matches in zip((a, b), shared, strict=True)]
        pairs = ((a, own[1]), (b, own[0]))
        return min(simultaneity(whole, rest, self.block, self.duration) for whole, rest in pairs)

    def correlogram_difference(self, a: Train, b: Train) -> float:
        """Return the difference of the correlograms, shared spikes left out."""
        auto_a, auto_b = (self._smooth(correlograms.auto_correlogram(train, self.reach, self.bin_size)) for train in (a, b))
        cross = correlograms.cross_correlogram(a, b, self.reach, self.bin_size)
        middle, shared = len(cross) // 2, self.censored // self.bin_size
        cross[max(middle - shared, 0) : middle + shared + 1] = 0
        widths = (correlograms.adaptive_window(auto_a, self.shoulder), correlograms.adaptive_window(auto_b, self.shoulder))
        return correlograms.difference(self._smooth(cross), auto_a, auto_b, (len(a), len(b)), widths)

    def _smooth(self, histogram: NDArray[np.int64]) -> NDArray[np.float64]:
        if self.std_bins == 0:
            return histogram.astype(np.float64)
        return correlograms.smooth(histogram, self.std_bins, self.truncate)
