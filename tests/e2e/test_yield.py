"""How many neurons come out of imitated analyses whose truth is known; fails when fewer do."""

import importlib.util
import json
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from spikeinterface.core import BaseSorting

import lussac
from lussac.modules import MERGED

ANALYSES = [f"imitated{number}" for number in range(6)]


@pytest.fixture(scope="module")
def bench(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench", shared / "bench" / "bench.py")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():  # it silences all of them when it is imported
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    with warnings.catch_warnings(action="ignore"):
        bench.generate("small", folder)
        bench.perturb(folder, len(ANALYSES))
    return folder


def sections(bench: ModuleType, case: Path, folder: Path) -> dict:
    params = json.loads(bench.params(case, folder, ANALYSES).read_text())
    pipeline = params["lussac"]["pipeline"]
    params["lussac"]["pipeline"] = {key: step for key, step in pipeline.items() if not key.startswith("export")}
    return params


def score(bench: ModuleType, case: Path, sorting: BaseSorting) -> tuple[int, int]:
    """Return the neurons found with an accuracy of at least 0.8, and the units that are none."""
    with warnings.catch_warnings(action="ignore"):
        comparison = bench.compare(case, sorting)
        accuracies = comparison.get_performance()["accuracy"].to_numpy(dtype=float)
        return int(np.count_nonzero(accuracies >= 0.8)), len(comparison.get_bad_units())


def test_small(bench, small, tmp_path):
    result = lussac.run(sections(bench, small, tmp_path / "run"), base=tmp_path)
    good, bad = score(bench, small, result.sortings[MERGED])
    assert good >= 15
    assert bad == 0
