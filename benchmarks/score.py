"""Compares sortings with the truth of a generated case.

    python benchmarks/score.py DIR SORTING...     DIR: a case; SORTING: anything that spikeinterface.load reads

One line per sorting: neurons found with an accuracy of at least 0.5, 0.8 and 0.95, the sum of all accuracies, and the errors.
"""

import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import spikeinterface.comparison as sc
import spikeinterface.core as si
from numpy.typing import NDArray

DELTA_MS = 0.4
WELL_FOUND, SPLIT, CHANCE = 0.8, 0.2, 0.1


@dataclass(frozen=True, slots=True)
class Score:
    """What a sorting is worth.

    Parameters
    ----------
    units
        How many it has.
    found_50, found_80, found_95
        Neurons found with at least this accuracy (in per cent).
    summed
        Sum of the accuracies of all neurons.
    bad
        Units that are no neuron's: false, redundant, or less than half right (as SpikeInterface counts them).
    missed
        Neurons that no unit has with an accuracy of at least 0.1.
    false
        Units that have no neuron with an agreement of at least 0.2.
    split, merged, redundant
        Neurons of which several units have a part (agreement of at least 0.2); units that have parts of several neurons; units
        whose neuron another unit has better.
    """

    units: int
    found_50: int
    found_80: int
    found_95: int
    summed: float
    bad: int
    missed: int
    false: int
    split: int
    merged: int
    redundant: int


def score(case: Path, sorting: si.BaseSorting) -> Score:
    """Compare a sorting with the truth of a case."""
    truth = si.load(case / "sortings" / "gt.json")
    if sorting.get_num_units() == 0:
        return Score(0, 0, 0, 0, 0.0, 0, truth.get_num_units(), 0, 0, 0, 0)
    comparison = sc.compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True, delta_time=DELTA_MS)
    accuracies = comparison.get_performance()["accuracy"].to_numpy(dtype=float)
    agreement = comparison.agreement_scores.to_numpy(dtype=float)
    parts = agreement >= SPLIT
    return Score(
        units=sorting.get_num_units(),
        found_50=int((accuracies >= 0.5).sum()),
        found_80=int((accuracies >= WELL_FOUND).sum()),
        found_95=int((accuracies >= 0.95).sum()),
        summed=round(float(accuracies.sum()), 2),
        bad=len(comparison.get_bad_units()),
        missed=int((agreement.max(axis=1) < CHANCE).sum()),
        false=int((~parts.any(axis=0)).sum()),
        split=int((parts.sum(axis=1) > 1).sum()),
        merged=int((parts.sum(axis=0) > 1).sum()),
        redundant=len(comparison.get_redundant_units()),
    )


def agreement_with_truth(case: Path, sorting: si.BaseSorting) -> NDArray[np.float64]:
    """Return the accuracy of every unit as each neuron: (neurons, units)."""
    truth = si.load(case / "sortings" / "gt.json")
    if sorting.get_num_units() == 0:
        return np.zeros((truth.get_num_units(), 0))
    comparison = sc.compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True, delta_time=DELTA_MS)
    return comparison.agreement_scores.loc[:, sorting.unit_ids].to_numpy(dtype=float)


def unit_accuracies(case: Path, sorting: si.BaseSorting) -> list[float]:
    """Return for each unit the largest accuracy that it has with any neuron."""
    return [float(best) for best in agreement_with_truth(case, sorting).max(axis=0, initial=0.0)]


def oracle(case: Path, sortings: Iterable[si.BaseSorting]) -> Mapping[str, float]:
    """Return what choosing the best unit of any analysis for each neuron would reach."""
    truth = si.load(case / "sortings" / "gt.json")
    best = np.zeros(truth.get_num_units())
    for sorting in sortings:
        comparison = sc.compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True, delta_time=DELTA_MS)
        best = np.maximum(best, comparison.agreement_scores.to_numpy(dtype=float).max(axis=1, initial=0.0))
    return {f"found_{share}": int((best >= share / 100).sum()) for share in (50, 80, 95)} | {
        "summed": round(float(best.sum()), 2)
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for path in sys.argv[2:]:
        print(f"{Path(path).name:24s} {json.dumps(asdict(score(Path(sys.argv[1]), si.load(path))))}", flush=True)
