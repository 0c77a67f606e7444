"""A recording that whole runs start from, and logs folders of any size written by the parts that write them in a run."""

import logging

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, NumpySorting
from tiny import CHANNELS, NEURONS, RATE, SECONDS, Case, imitate, make_probe, write_analysis, write_recording

from lussac import sortings as srt
from lussac.provenance import Provenance
from lussac.report.templates import BadChannel, write_templates
from lussac.store import Store
from lussac.traces import Traces

SAMPLES = int(SECONDS * RATE)
NASTY = """<script>document.title="run"</script><img src=x onerror="document.title='run'"> & "é" 'q' 🧠"""


def trains(units, seed=0):
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.integers(90, 5000, 140)) for _ in range(units)]


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    write_recording(np.random.default_rng(0).normal(0, 10, (SAMPLES, CHANNELS)), folder)
    truth = NumpySorting.from_unit_dict([dict(enumerate(trains(NEURONS)))], RATE)
    names = ("alpha", "beta", "gamma")
    for seed, name in enumerate(names):
        write_analysis(imitate(truth, seed), folder / f"{name}.npz")
    return Case(folder, names)


@pytest.fixture
def logs(tmp_path):
    """Return a function that writes the logs of a run with so many merged units; seen: with what the traces show of them."""

    def write(
        units,
        *,
        status="done",
        sorters=(),
        ids=None,
        properties=None,
        decisions="",
        step="merge_sortings",
        seen=False,
        image=None,
    ):
        folder = tmp_path / f"logs-{units}"
        sorting = NumpySorting.from_unit_dict([dict(enumerate(trains(units)))], RATE)
        spikes = sorting.to_spike_vector()
        sorting = srt.build(spikes, ids or list(range(units)), RATE, 1, properties)
        with Store(folder) as store:
            provenance = Provenance(folder)
            provenance.start(params={"file": f"/data/{NASTY}/params.json", "sha256": "0" * 64}, jobs={})
            recording = {"hash": "0", "channels": CHANNELS, "sampling_frequency": RATE, "samples": [SAMPLES]}
            provenance.add("run", recording=recording)
            for name, message in sorters:
                provenance.add("sorter", name=name, sorter="simple", key="0", outcome="failed", message=message, image=image)
            with store.draft("0" * 64, f"01-{step}.all") as draft:
                srt.save(sorting, draft / "sortings" / "merged_sorting")
                (draft / "decisions.jsonl").write_text(decisions)
            results = {"merged_sorting": {"hash": "0", "units": units}}
            facts = {"module": step, "selector": "all", "params": {}, "inputs": {"alpha": {"hash": "0", "units": units}}}
            place = str(folder / "steps" / f"01-{step}.all.00000000")
            provenance.add("step", label=f"01-{step}.all", **facts, outcome="done", folder=place, seconds=1.5, results=results)
            if status != "running":
                provenance.end(status, 0 if status == "done" else 130, "" if status == "done" else f"{status} {NASTY}")
        if seen:
            recording = NumpyRecording([np.random.default_rng(1).normal(0, 10, (SAMPLES, CHANNELS))], RATE)
            recording.set_probe(make_probe(CHANNELS))
            traces = Traces(recording, tmp_path, {}, logging.getLogger())
            write_templates(folder, {"merged_sorting": sorting}, "0", lambda: traces, [BadChannel(NASTY, 0.0, 300.0, "dead")])
        return folder

    return write
