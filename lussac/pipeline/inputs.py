"""What a run starts from: the recording and the analyses, read and checked before anything is written."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from spikeinterface.core import BaseRecording, BaseSorting

from lussac import loading, preprocessing
from lussac import recording as rec
from lussac import sortings as srt
from lussac.analyses import load_analysis
from lussac.errors import InputError
from lussac.modules.base import Sortings
from lussac.pipeline.result import Given
from lussac.plan import Plan
from lussac.store import files_below

HASHES_FILE = "hashes.json"
LARGE = 1 << 26
"""Bytes above which a file in an analysis' folder (a copy of the recording, most likely) is left out of the record."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run starts from.

    Parameters
    ----------
    loaded
        The recording before its preprocessing.
    recording
        The recording after its preprocessing, computed when it is read.
    analyses
        Checked against the recording.
    steps
        The preprocessing.
    """

    loaded: BaseRecording
    recording: BaseRecording
    analyses: Sortings
    steps: preprocessing.Steps


def read_inputs(plan: Plan, given: Given, hashes: MutableMapping[str, str], log: logging.Logger) -> Inputs:
    """Read the recording and the analyses; nothing is written but what the preprocessing step `cache` asks for.

    Parameters
    ----------
    plan
        Says what to read.
    given
        Used instead of what the plan says.
    hashes
        What is known of files that were read before.
    log
        Told what was corrected or left out.

    Raises
    ------
    InputError
        Something can't be read or doesn't fit.
    ParamsError
        A pass works on a category that no analysis carries and no module makes.
    """
    analyses = read_analyses(plan, given)
    loaded = read_recording(plan, given, log)
    steps = _steps(plan, given)
    jobs = plan.params.lussac.si_global_job_kwargs.kwargs()
    with _named_at(plan, "recording", "preprocessing"):
        recording = preprocessing.preprocess(loaded, steps, log, base=plan.base, hashes=hashes, jobs=jobs)
    return Inputs(loaded, recording, {name: _fitting(plan, name, analyses[name], recording, log) for name in analyses}, steps)


def check_inputs(plan: Plan, log: logging.Logger) -> None:
    """Read what the params name without computing or writing anything, and raise what `read_inputs` would, as far as it shows."""
    given = Given()
    analyses = read_analyses(plan, given)
    loaded = read_recording(plan, given, log)
    if not _steps(plan, given):  # which may change the rate or the length
        for name, sorting in analyses.items():
            _fitting(plan, name, sorting, loaded, log)


def read_analyses(plan: Plan, given: Given) -> dict[str, BaseSorting]:
    """Read the analyses, and check that the categories that passes work on can exist."""
    analyses = {name: _analysis(plan, name, path) for name, path in plan.params.analyses.items()} | dict(given.sortings)
    plan.check_categories({category for sorting in analyses.values() for category in srt.categories(sorting).values()})
    return analyses


def read_recording(plan: Plan, given: Given, log: logging.Logger) -> BaseRecording:
    """Return the recording before its preprocessing."""
    if given.recording is not None:
        return _checked(given.recording, log)
    if plan.params.recording is None:
        raise InputError("No recording is given. Add the section 'recording' to the params, or give one as an object.")
    with _named_at(plan, "recording"):
        return loading.load(plan.params.recording, plan.base, log)


@contextlib.contextmanager
def _named_at(plan: Plan, *keys: str) -> Iterator[None]:
    """Say where the params name what can't be used."""
    try:
        yield
    except InputError as error:
        raise InputError(plan.document.problem(keys, str(error), key=True).render(plan.document.file)) from error


def _analysis(plan: Plan, name: str, path: Path) -> BaseSorting:
    with _named_at(plan, "analyses", name):
        return load_analysis(path)


def _steps(plan: Plan, given: Given) -> preprocessing.Steps:
    """Return the preprocessing; a recording given as an object has it behind it."""
    if given.recording is not None or plan.params.recording is None:
        return {}
    return plan.params.recording.preprocessing


def _checked(recording: BaseRecording, log: logging.Logger) -> BaseRecording:
    if not recording.has_probe():
        raise InputError("The recording has no probe. Attach one: recording.set_probe(probe).")
    return rec.in_microvolts(recording, log)


def _fitting(plan: Plan, name: str, sorting: BaseSorting, recording: BaseRecording, log: logging.Logger) -> BaseSorting:
    with _named_at(plan, "analyses", name):
        checked, notes = srt.check(name, sorting, recording)
    for note in notes:
        log.warning("%s", note)
    return checked


def read_hashes(logs_folder: Path) -> dict[str, str]:
    """Return what earlier runs of this logs folder know of the files that they read."""
    try:
        hashes = json.loads((logs_folder / HASHES_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) else {}


def input_files(plan: Plan) -> list[Path]:
    """Return the files that a plan reads, as far as the params, or the SpikeInterface files that they name, name them."""
    recording = plan.params.recording
    analyses = [path for file in plan.params.analyses.values() for path in (file, *_named_in(file))]
    named = [*analyses]
    if recording is not None:
        named += [path for path in (recording.probe_file,) if path is not None]
        named += _existing(recording.extractor_params, plan.base)
    files = dict.fromkeys(file for path in named for file in (files_below(path) if path.is_dir() else [path]))
    return [file for file in files if file.stat().st_size <= LARGE or not any(map(file.is_relative_to, analyses))]


def _named_in(file: Path) -> list[Path]:
    """Return what a SpikeInterface json names."""
    if file.suffix != ".json" or not file.is_file():
        return []
    try:
        return _existing(json.loads(file.read_text(encoding="utf-8")).get("kwargs"), file.parent)
    except (ValueError, AttributeError):
        return []


def _existing(value: object, base: Path) -> list[Path]:
    """Return the files and folders that the texts inside a value name; not the folder itself where they start."""
    paths = [base / text for text in _texts(value)]
    return [path for path in paths if path != base and os.path.exists(path)]  # noqa: PTH110 - any text: Path.exists raises on some


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
