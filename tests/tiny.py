"""A tiny recording with known neurons, and a way to run the command on it."""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import probeinterface
from spikeinterface.core import NpzSortingExtractor, NumpySorting

from lussac import modules

CHANNELS, NEURONS, SECONDS, RATE, GAIN = 8, 6, 12.0, 30_000.0, 0.195


@dataclass(frozen=True)
class Case:
    """Files of a recording and of the analyses that imitate sorters."""

    folder: Path
    analyses: tuple[str, ...]

    @property
    def recording(self):
        return {
            "recording_extractor": "binary",
            "extractor_params": {
                "file_paths": str(self.folder / "recording.dat"),
                "num_channels": CHANNELS,
                "sampling_frequency": RATE,
                "dtype": "int16",
                "gain_to_uV": GAIN,
                "offset_to_uV": 0.0,
            },
            "probe_file": str(self.folder / "probe.json"),
        }

    def params(self, pipeline, *, analyses=None, **lussac):
        chosen = self.analyses if analyses is None else analyses
        jobs = {"n_jobs": lussac.pop("n_jobs", 1)}
        return {
            "recording": self.recording,
            "analyses": {name: str(self.folder / f"{name}.npz.json") for name in chosen},
            "lussac": {
                "logs_folder": "$PARAMS_FOLDER/logs",
                "tmp_folder": "$PARAMS_FOLDER/tmp",
                "si_global_job_kwargs": jobs,
                "pipeline": pipeline,
                **lussac,
            },
        }


def write_params(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "params.json"
    file.write_text(json.dumps(content, indent=1))
    return file


def write_analysis(sorting, file):
    """Write a SpikeInterface json that names an npz file."""
    NpzSortingExtractor.write_sorting(sorting, file)
    content = {
        "class": "spikeinterface.core.npzsortingextractor.NpzSortingExtractor",
        "module": "spikeinterface",
        "version": "0.105.3",
        "kwargs": {"file_path": str(file)},
        "relative_paths": False,
        "annotations": {},
        "properties": {},
    }
    Path(f"{file}.json").write_text(json.dumps(content))


def write_recording(traces, folder):
    """Write traces (samples, channels) in uV and a probe of two columns."""
    folder.mkdir(parents=True, exist_ok=True)
    (traces / GAIN).round().astype(np.int16).tofile(folder / "recording.dat")
    probe = make_probe(traces.shape[1])
    probeinterface.write_probeinterface(folder / "probe.json", probe)


def make_probe(channels):
    columns = 2 if channels % 2 == 0 else 1
    probe = probeinterface.generate_multi_columns_probe(
        num_columns=columns, num_contact_per_column=channels // columns, xpitch=32
    )
    probe.set_device_channel_indices(np.arange(channels))
    return probe


def imitate(sorting, seed):
    """Return an analysis as a sorter could give it: spikes missed, jittered and added, a unit split, a unit of noise."""
    rng = np.random.default_rng(seed)
    units = {}
    for number, unit in enumerate(sorting.unit_ids):
        train = sorting.get_unit_spike_train(unit, 0)
        train = train[rng.random(len(train)) > 0.05] + rng.integers(-1, 2)
        if number == seed % NEURONS:
            half = rng.random(len(train)) < 0.5
            units[2 * number], units[2 * number + 1] = train[half], train[~half]
        else:
            units[2 * number] = train
    units[100] = rng.integers(0, int(SECONDS * RATE), 200)
    clean = {unit: np.unique(np.clip(train, 0, int(SECONDS * RATE) - 1)) for unit, train in units.items()}
    return NumpySorting.from_unit_dict([clean], RATE)


class Command:
    """The command, running in a session of its own with everything imported already: that saves seconds per run."""

    def __init__(self, *arguments, folder):
        self.out, self.err = folder / "stdout.txt", folder / "stderr.txt"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["commentjson", "plotly.graph_objects", "lussac.console", *(f"lussac.modules.{name}" for name in modules.names())]
        )
        words = [str(word) for word in arguments]
        self.process = context.Process(target=_command, args=(words, str(self.out), str(self.err)))
        self.process.start()
        self.pid = self.process.pid

    def wait(self, timeout=120):
        """Return exit code, what it printed, and its errors; nothing of it is left."""
        self.process.join(timeout)
        code = self.process.exitcode
        self.kill()
        return code, self.out.read_text(), self.err.read_text()

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """Kill it and whatever it has started in its session, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.join()


def _command(words, out, err):
    os.setsid()
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    from lussac.cli import main  # imported in the child only

    sys.exit(main(words))


def lussac(*arguments, timeout=120):
    """Run the command to its end."""
    with tempfile.TemporaryDirectory() as folder:
        return Command(*arguments, folder=Path(folder)).wait(timeout)
