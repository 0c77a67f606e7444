"""Do two units take turns: parts of a neuron that changes are hardly ever active at the same time."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from lussac.algorithms.contrast import simultaneity

Ints = NDArray[np.int64]

CERTAINTY = 0.999


def together_at_most(a: Ints, b: Ints, stretch: int, duration: int) -> float:
    """Return how often two units are active in the same stretch of time at most, as a share of what chance gives.

    Parameters
    ----------
    a, b
        Sorted trains.
    stretch, duration
        Length of a stretch, and of the recording, in samples.

    Returns
    -------
    Upper limit of `simultaneity` with a certainty of 0.999, the pairs of spikes in one stretch being a Poisson count: two units
    with few spikes may never meet by chance, and are not said to take turns.
    """
    expected = len(a) * len(b) * stretch / max(duration, stretch)
    if not expected:
        return 1.0
    met = simultaneity(a, b, stretch, duration) * expected
    return float(gammaincinv(met + 1, CERTAINTY) / expected)
