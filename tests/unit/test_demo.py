import numpy as np
import pytest
from spikeinterface.core import NumpySorting

from lussac import demo, sortings
from lussac.errors import UsageError

RATE = demo.RATE


def make(trains):
    return NumpySorting.from_unit_dict([{unit: np.asarray(train) for unit, train in enumerate(trains)}], RATE)


TRAINS = [np.sort(np.random.default_rng(unit).choice(300_000, 100, replace=False)) for unit in range(3)]


def test_score_counts_neurons_found_and_units_that_are_none():
    noise = np.sort(np.random.default_rng(9).choice(300_000, 80, replace=False))
    assert demo.score(make(TRAINS), make([TRAINS[0], TRAINS[2], noise])) == demo.Score(units=3, found=2, bad=1)
    assert demo.score(make(TRAINS), make([])) == demo.Score(0, 0, 0)


def test_the_example_describes_the_recording_of_the_demo(tmp_path, monkeypatch):
    from lussac import params
    from lussac.pipeline.inputs import check_inputs
    from lussac.plan import compile_plan

    monkeypatch.setattr(demo, "SECONDS", 1.0)
    file = demo.prepare(tmp_path / "demo")
    import logging

    check_inputs(compile_plan(params.read(file)), logging.getLogger("lussac.test"))
    truth = sortings.load(tmp_path / "demo" / demo.TRUTH)
    assert truth.get_num_units() == demo.NEURONS
    assert demo.scores(tmp_path / "demo", {"truth": truth})["truth"].found > 0
    changed = file.stat().st_mtime_ns
    assert demo.prepare(tmp_path / "demo") == file
    assert file.stat().st_mtime_ns == changed


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="holds something else"):
        demo.prepare(tmp_path)
