"""Parts of the runner, which no other code imports."""

import ast
import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpySorting

from lussac.engines.base import WORK
from lussac.sorters.run import RUNNER


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("runner", RUNNER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def generators():
    """Put NumPy's own generators back after the test."""
    default_rng, state, python_state = np.random.default_rng, np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    np.random.default_rng = default_rng
    np.random.set_state(state)  # noqa: NPY002
    random.setstate(python_state)


def sorting(samples: list[int], labels: list[int]) -> NumpySorting:
    return NumpySorting.from_samples_and_labels([np.array(samples)], [np.array(labels)], 30_000.0)


def test_is_python_3_8():
    ast.parse(RUNNER.read_text(), feature_version=(3, 8))


def test_spikes_of_joined_segments_go_back_to_theirs(runner):
    arrays = runner.spikes(sorting([0, 9, 10, 29, 30, 31], [0, 1, 0, 1, 0, 1]), [10, 20, 5])
    assert arrays["segment_index"].tolist() == [0, 0, 1, 1, 2, 2]
    assert arrays["sample_index"].tolist() == [0, 9, 0, 19, 0, 1]


def test_segments_that_the_sorter_kept_stay(runner):
    arrays = runner.spikes(sorting([3, 12], [0, 0]), [10])
    assert arrays["segment_index"].tolist() == [0, 0]
    assert arrays["sample_index"].tolist() == [3, 12]


def test_no_spikes(runner):
    arrays = runner.spikes(sorting([], []), [10, 10])
    assert len(arrays["unit_ids"]) == len(arrays["segment_index"]) == 0


def test_everything_is_plain(runner, tmp_path):
    found = sorting([1, 2], [0, 1])
    found = found.rename_units(["a", "b"])
    found.set_property("quality", np.array(["good", None], dtype=object))
    found.set_property("amplitude", np.array([1.5, 2.5]))
    np.savez(tmp_path / "x.npz", **runner.spikes(found, [10]))
    with np.load(tmp_path / "x.npz", allow_pickle=False) as data:
        assert data["unit_ids"].tolist() == ["a", "b"]
        assert data["property/quality"].tolist() == ["good", "None"]


@pytest.mark.usefixtures("generators")
def test_unseeded_choices_repeat_and_differ_from_each_other(runner):
    def choices():
        runner.seed_everything(7)
        return [np.random.default_rng().integers(1 << 40) for _ in range(2)] + [
            np.random.default_rng(seed=3).integers(1 << 40),
            np.random.rand(),  # noqa: NPY002
            random.random(),  # noqa: S311
        ]

    own = np.random.default_rng
    first = choices()
    np.random.default_rng = own
    assert choices() == first
    assert first[0] != first[1]
    assert first[2] == own(3).integers(1 << 40)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no spikes"), "ValueError: no spikes"),
        (
            RuntimeError(
                "Spike sorting error trace:\nTraceback (most recent call last):\n  File \"x.py\", line 1\nKeyError: 'ch'\n\n"
                f"Spike sorting failed. You can inspect the runtime trace in {WORK}/sorter/spikeinterface_log.json."
            ),
            "KeyError: 'ch'",
        ),
    ],
)
def test_the_sorters_own_last_error(runner, error, said):
    assert runner.last_error(error) == said


def test_a_file_is_whole_or_not_there(runner, tmp_path):
    runner.write(tmp_path / "x", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_versions_and_freeze(runner):
    assert runner.versions("simple")["spikeinterface"]
    assert "unknown" in runner.versions("kilosort4")["sorter"]
    assert "numpy==" in runner.freeze()
    assert Path(RUNNER).name == "runner.py"
