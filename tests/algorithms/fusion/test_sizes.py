import numpy as np
import pytest

from lussac.algorithms.fusion.matching import Found
from lussac.algorithms.fusion.sizes import apart_in_size

LARGE, SMALL = 1.3, 0.8


def found_of(first, second, sizes=(LARGE, SMALL)):
    """Spikes of one unit with two sizes, in the order of time, and which have the second."""
    rng = np.random.default_rng(1)
    samples = np.concatenate([first, second])
    amplitudes = np.repeat(np.array(sizes), [len(first), len(second)]) + rng.normal(0, 0.05, len(samples))
    order = np.argsort(samples, kind="stable")
    values = amplitudes[order].astype(np.float32)
    none = np.zeros(len(samples), np.int64)
    return Found(samples[order], none, values, values, 0 * values), (order >= len(first))


def drawn(rng, count, start, stop):
    return np.sort(rng.choice(np.arange(start, stop), count, replace=False))


@pytest.mark.parametrize(
    ("kind", "is_apart"), [("independent", True), ("burst", False), ("turns", False), ("few", False), ("one size", False)]
)
def test_sizes_that_come_independently_are_two_neurons(world, kind, is_apart):
    rng, total = np.random.default_rng(2), world.source.total
    first, second, sizes = drawn(rng, 90, 0, total - 100), drawn(rng, 110, 0, total), (LARGE, SMALL)
    match kind:
        case "burst":
            second = first + 50
        case "turns":
            first, second = drawn(rng, 90, 0, total // 2), drawn(rng, 110, total // 2, total)
        case "few":
            first, second = first[::10], second[::10]
        case "one size":
            sizes = (1.0, 1.0)
    found, inside = found_of(first, second, sizes)
    assert (apart_in_size(found, np.arange(len(inside)), inside, world.source) > 6) == is_apart
