"""What several unit tests are given."""

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Make the files that the examples name."""
    (tmp_path / "recording.dat").write_bytes(bytes(128))
    (tmp_path / "probe.json").write_text("{}")
    (tmp_path / "recording").mkdir()
    phy = tmp_path / "path/to/ks2_analysis"
    phy.mkdir(parents=True)
    for name in ("spike_times", "spike_clusters"):
        np.save(phy / f"{name}.npy", np.zeros(1, dtype=np.int64))
    (phy / "params.py").write_text("sample_rate = 30000.\n")
    described = {"class": "spikeinterface.core.numpyextractors.NumpySorting", "kwargs": {}}
    (tmp_path / "path/to/tridesclous_analysis.json").write_text(json.dumps(described))
    return tmp_path
