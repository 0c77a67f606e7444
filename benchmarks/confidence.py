"""Fits the confidence of fused units on generated cases, and tells how well it holds on cases that it was not fitted on.

    python benchmarks/confidence.py WORK fit CASE...      prints the coefficients, and how well they hold, leaving out a case, or
                                                          all cases of its family: the same difficulties, or the same origin
    python benchmarks/confidence.py WORK check CASE...    tells how well the confidence of this version holds on other cases

WORK is the folder of benchmarks/run.py, whose cases and sortings are used; what speaks for each unit is kept in
`WORK/CASE/evidence.json` once measured. The coefficients belong into lussac/algorithms/fusion/confidence.py.
"""

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from cases import CASES
from numpy.typing import NDArray
from run import IMITATED_CASES, best_pipeline, prepare, run_lussac
from scipy.optimize import minimize
from score import WELL_FOUND, agreement_with_truth

from lussac.algorithms.fusion.confidence import Evidence, confidence, features

Floats = NDArray[np.float64]

EDGES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
SHRINKAGE = 10.0
"""Weight of the squared coefficients, for features of unit variance: what few units say is not believed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What speaks for the units of a case, and which of them are right: the best of their neuron, with 0.8 of it."""

    evidence: Evidence
    right: NDArray[np.bool_]


def measured(name: str, work: Path) -> Measured:
    """Fuse the analyses of a case, keep all units, and compare them with the truth; read the result where it is there."""
    case = (work / name).absolute()
    file = case / "evidence.json"
    if not file.exists():
        pipeline = deepcopy(dict(best_pipeline()))
        pipeline["merge_sortings"]["all"]["fusion"]["min_confidence"] = 0.0
        sorting, _ = run_lussac(case, case / "all_units", prepare(name, case), pipeline)
        agreement = agreement_with_truth(case, sorting)
        neuron = agreement.argmax(axis=0)
        right = (agreement.max(axis=0) >= WELL_FOUND) & (agreement.argmax(axis=1)[neuron] == np.arange(len(neuron)))
        values = {field.name: sorting.get_property(f"lussac_{field.name}").tolist() for field in fields(Evidence)}
        file.write_text(json.dumps(values | {"right": right.tolist()}))
    content = json.loads(file.read_text())
    right = np.array(content.pop("right"), bool)
    return Measured(Evidence(**{name: np.array(values, float) for name, values in content.items()}), right)


def fit(cases: Sequence[Measured]) -> tuple[float, Mapping[str, float]]:
    """Fit a logistic regression: intercept, and a coefficient for each feature."""
    tables = [features(case.evidence) for case in cases]
    names = list(tables[0])
    values = np.concatenate([np.stack([table[name] for name in names], axis=1) for table in tables])
    sign = 2.0 * np.concatenate([case.right for case in cases]) - 1
    centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
    standard = (values - centre) / scale

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = sign * (weights[0] + standard @ weights[1:])
        slope = -sign / (1 + np.exp(np.clip(margin, -50, 50)))
        shrunk = np.concatenate([[0.0], weights[1:]])
        total = np.logaddexp(0, -margin).sum() + SHRINKAGE / 2 * (shrunk**2).sum()
        return float(total), np.concatenate([[slope.sum()], standard.T @ slope]) + SHRINKAGE * shrunk

    weights = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B").x
    coefficients = weights[1:] / scale
    return float(weights[0] - coefficients @ centre), dict(zip(names, coefficients.tolist(), strict=True))


def family(name: str) -> str:
    """Name what is special about a case, or where it comes from."""
    case = CASES.get(name)
    if case is None:
        return "imitated" if name in IMITATED_CASES else "shared"
    return " ".join(what for what in ("drift", "bursting", "synchrony") if getattr(case, what)) or "none"


def left_out(cases: Mapping[str, Measured], group: Callable[[str], str]) -> list[Floats]:
    """Return the confidence of each case's units by a fit on the cases of all other groups."""
    groups = {group(name) for name in cases}
    fits = {one: fit([case for name, case in cases.items() if group(name) != one]) for one in groups}
    return [confidence(case.evidence, *fits[group(name)]) for name, case in cases.items()]


def table(sure: Floats, right: NDArray[np.bool_]) -> str:
    """Return confidence against what is right, as markdown, and the mean loss."""
    lines = ["| confidence | units | mean confidence | right |", "|---|---:|---:|---:|"]
    for low, high in pairwise(EDGES):
        inside = (sure >= low) & ((sure < high) | (high == EDGES[-1]))
        if inside.any():
            lines.append(f"| {low:g} to {high:g} | {inside.sum()} | {sure[inside].mean():.2f} | {right[inside].mean():.2f} |")
    loss = -np.log(np.maximum(np.where(right, sure, 1 - sure), 1e-9)).mean()
    return "\n".join(
        [*lines, "", f"{len(sure)} units, {right.sum()} right; mean loss {loss:.3f} (negative log-likelihood per unit)."]
    )


def main() -> None:
    """Read the command line."""
    match sys.argv[1:]:
        case [work, "fit", *names] if len(names) > 1:
            cases = {name: measured(name, Path(work)) for name in names}
            intercept, coefficients = fit(list(cases.values()))
            print(f"INTERCEPT = {intercept:.2f}\nCOEFFICIENTS =", {name: round(one, 2) for name, one in coefficients.items()})
            sure = {"case": left_out(cases, str), "family": left_out(cases, family)}
        case [work, "check", *names] if names:
            cases = {name: measured(name, Path(work)) for name in names}
            sure = {"nothing": [confidence(case.evidence) for case in cases.values()]}
        case _:
            sys.exit(__doc__)
    right = np.concatenate([case.right for case in cases.values()])
    for what, values in sure.items():
        print(f"\nLeaving out {what}:\n\n{table(np.concatenate(values), right)}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
